"""``atomscope benchmark-retrieval``: recall of coarse, fine, and fine + enhancement, with intervals, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.console import TerminalProgress, err, next_step, out, print_json
from engine.cli.search import chosen_enhancement, finite, load_scorer
from engine.errors import InputError
from engine.paths import DEMO_CORPUS

app = typer.Typer(add_completion=False)


@app.command()
def benchmark_retrieval(
    corpus: Annotated[
        Path, typer.Option(help="Any corpus with captions; a COCO, Karpathy or SugarCrepe JSON; a Flickr30k CSV.")
    ] = DEMO_CORPUS,
    images: Annotated[Path | None, typer.Option(help="Where the pictures of a JSON or CSV lie.")] = None,
    split: Annotated[
        str, typer.Option(help="The gallery; 'all' for everything. Default: test where there is one.")
    ] = "",
    queries: Annotated[
        int | None, typer.Option(help="Queries a direction, evenly spread; default: all.", min=1)
    ] = None,
    top_k: Annotated[str, typer.Option(help="Pool sizes, separated by commas.")] = "5,10",
    modes: Annotated[str, typer.Option(help="Fine scores, separated by commas; all; default: the model's own.")] = "",
    mllm: Annotated[str, typer.Option(help="demo, hub id, folder; none for the coarse stage only.")] = "demo",
    reranker: Annotated[
        str, typer.Option(help="A trained reranker (CrossEncoder) in the model's place: hub id or folder.")
    ] = "",
    embedder: Annotated[str, typer.Option(help="Model of the coarse stage.")] = "demo",
    directions: Annotated[str, typer.Option(help="text-image, image-text, or both.")] = "text-image,image-text",
    enhancement: Annotated[
        bool, typer.Option("--enhancement/--no-enhancement", help="Also with visual enhancement, in the first mode.")
    ] = False,
    preset: Annotated[str, typer.Option(help="Preset of the enhancement: paper or published-code.")] = "paper",
    timed: Annotated[int, typer.Option(help="Whole searches a direction to take the time of.", min=0)] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    save: Annotated[Path | None, typer.Option(help="Also write the JSON document to this file.")] = None,
) -> None:
    """Measure how often the right answer comes first, in the coarse order and after the model has read the pool.

    The gallery is the whole split. Every figure has a 95% bootstrap interval over queries; a right answer is also one
    with the same caption. What the model said is kept in the cache: run the same command after a stop and it goes on.

    Example: atomscope benchmark-retrieval --modes all --save figures.json
    """
    from engine.retrieval.coarse.embedders import load_embedder
    from engine.retrieval.evaluation import (
        BenchmarkOptions,
        benchmark,
        benchmark_sugarcrepe,
        is_sugarcrepe,
        load_pairs,
    )

    chosen = BenchmarkOptions(
        top_k=_sizes(top_k),
        modes=_modes(modes),
        directions=_directions(directions),
        queries=queries,
        enhancement=chosen_enhancement(preset) if enhancement else None,
        timed=timed,
    )
    progress = TerminalProgress()
    sugarcrepe = is_sugarcrepe(corpus)
    if sugarcrepe and images is None:
        raise InputError("Name the folder of the SugarCrepe pictures (COCO val2017) with --images.")
    if reranker and (chosen.modes or enhancement):
        raise InputError("A trained reranker has one score of its own: leave out --modes and --enhancement.")
    pairs = None if sugarcrepe else load_pairs(corpus, images, "" if split == "all" else split or None)
    loaded = load_embedder(embedder, device, progress)
    scorer = load_scorer(mllm, reranker, device, progress)
    if pairs is not None:
        for warning in pairs.corpus.warnings:
            progress.warn(warning)
        found = benchmark(pairs, loaded, scorer, chosen, progress)
    else:
        assert images is not None
        asked = chosen.modes or (scorer.default_mode if scorer is not None else "log-odds",)
        found = benchmark_sugarcrepe(corpus, images, loaded, scorer, asked, progress, queries)
    found = finite(found)
    if save is not None:
        from engine.files import write_json

        write_json(save, found)
    if json:
        print_json(found)
    elif sugarcrepe:
        print_accuracy(found)
    else:
        print_tables(found)
    next_step("atomscope search --text 'a red apple'")


def _sizes(written: str) -> tuple[int, ...]:
    try:
        sizes = sorted({int(part) for part in written.split(",")})
    except ValueError:
        raise InputError(f"--top-k wants numbers separated by commas, such as 5,10, not {written!r}.") from None
    if sizes[0] < 1:
        raise InputError(f"The pool needs at least one candidate, not {sizes[0]}.")
    return tuple(sizes)


def _names(written: str) -> tuple[str, ...]:
    """The names of a list separated by commas, each once."""
    return tuple(dict.fromkeys(part.strip() for part in written.split(",") if part.strip()))


def _modes(written: str) -> tuple[Any, ...]:
    from engine.retrieval.search.events import MODES

    if written == "all":
        return MODES
    chosen = _names(written)
    for mode in chosen:
        if mode not in MODES:
            raise InputError(f"There is no score mode {mode!r}; choose of {', '.join(MODES)}, or all.")
    return chosen


def _directions(written: str) -> tuple[Any, ...]:
    from engine.retrieval.evaluation.coarse import DIRECTIONS

    chosen = _names(written)
    wrong = [part for part in chosen if part not in DIRECTIONS]
    if wrong or not chosen:
        raise InputError(f"There is no direction {written!r}; choose of {', '.join(DIRECTIONS)}.")
    return chosen


def print_tables(found: dict[str, Any]) -> None:
    """Recall of both directions, then what the model's answers are worth, on stdout."""
    gallery, models = found["gallery"], found["models"]
    reader = models["mllm"]["name"] if models["mllm"] else "none"
    split = f", {found['corpus']['split']} split" if found["corpus"]["split"] else ""
    out.print(
        f"{found['corpus']['name']}{split}: {gallery['pictures']:,} pictures, {gallery['captions']:,} "
        f"captions; coarse: {models['embedder'].get('title') or models['embedder']['name']}; fine: {reader}",
        markup=False,
        soft_wrap=True,
    )
    for direction, part in found["directions"].items():
        rows = [["", "recall@1", "recall@5", "recall@10", "gain at 1", "ceiling"]]
        rows.append(["coarse", *map(_figure, part["coarse"].values()), "", ""])
        for kind in ("fine", "enhanced"):
            for mode, sizes in part[kind].items():
                for k, figures in sizes.items():
                    name = f"{mode}, pool of {k}{' + enhancement' if kind == 'enhanced' else ''}"
                    gain = _figure(figures["gain"]["recall@1"], signed=True)
                    ceiling = f"{100 * part['ceiling'][k]['value']:.1f}" if k in part["ceiling"] else ""
                    rows.append([name, *map(_figure, figures["recall"].values()), gain, ceiling])
        out.print(f"\n{direction}, {part['queries']:,} queries", markup=False)
        _print_rows(rows)
        for mode, sweep in part["sweep"].items():
            line = "  ".join(f"{point['k']}: {100 * point['recall@1']:.1f}" for point in sweep)
            out.print(f"recall@1 by pool size, {mode}:  {line}", markup=False, soft_wrap=True)
    for mode, mass in found.get("label_mass", {}).items():
        if mass is not None:
            out.print(f"median label mass, {mode}: {mass:.3f}", markup=False)
    for mode, verdict in found.get("true_false", {}).items():
        out.print(
            f"True / False, {mode}: {_figure(verdict['accuracy'])} right of {verdict['pairs']:,} pairs (matched "
            f"{_figure(verdict['matched'])}, hard mismatched {_figure(verdict['mismatched'])})",
            markup=False,
            soft_wrap=True,
        )
    if "enhancement" in found:
        out.print(f"enhancement fired in {found['enhancement']['fired']:.0%} of the pairs", markup=False)
    for direction, seconds in found.get("seconds", {}).items():
        out.print(
            f"seconds a query, {direction}, pool of {seconds['top_k']}: coarse {seconds['coarse']:.2f}, fine "
            f"{seconds['fine']:.2f} (median of {seconds['searches']})",
            markup=False,
        )
    err.print("intervals: 95%, bootstrap over queries; gains are paired. Figures in percent.", markup=False)


def _print_rows(rows: list[list[str]]) -> None:
    """Aligned columns however long they are: a narrow terminal wraps them and cuts nothing off."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, *cells in rows:
        line = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        out.print(f"{name.ljust(widths[0])}  {line}".rstrip(), markup=False, soft_wrap=True)


def print_accuracy(found: dict[str, Any]) -> None:
    """SugarCrepe's accuracies on stdout."""
    out.print(f"{found['corpus']['file']}: {found['riddles']:,} pictures, chance 50.0", markup=False)
    for name, figure in found["accuracy"].items():
        out.print(f"{name:<12} {_figure(figure)}", markup=False)


def _figure(figure: dict[str, float], signed: bool = False) -> str:
    """A share in percent with its interval."""
    low, high = 100 * figure["low"], 100 * figure["high"]
    return f"{100 * figure['value']:{'+' if signed else ''}.1f} ({low:.1f} – {high:.1f})"
