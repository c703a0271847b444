"""A benchmark's document for people: lines and tables in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.table import Table

INTERVALS = "intervals: 95%, bootstrap over queries; gains are paired. Figures in percent."


def report(document: dict[str, Any]) -> Iterator[str | Table]:
    """Lines and tables of what ``benchmark_files`` returned."""
    return _accuracy(document) if "riddles" in document else _recall(document)


def _recall(document: dict[str, Any]) -> Iterator[str | Table]:
    """Recall of both directions, then what the model's answers are worth."""
    gallery, models, corpus = document["gallery"], document["models"], document["corpus"]
    reader = models["mllm"]["name"] if models["mllm"] else "none"
    split = f", {corpus['split']} split" if corpus["split"] else ""
    yield (
        f"{corpus['name']}{split}: {gallery['pictures']:,} pictures, {gallery['captions']:,} captions; coarse: "
        f"{models['embedder'].get('title') or models['embedder']['name']}; fine: {reader}"
    )
    for direction, part in document["directions"].items():
        yield f"\n{direction}, {part['queries']:,} queries"
        yield _recall_table(part)
        for mode, sweep in part["sweep"].items():
            line = "  ".join(f"{point['k']}: {100 * point['recall@1']:.1f}" for point in sweep)
            yield f"recall@1 by pool size, {mode}:  {line}"
    for mode, mass in document.get("label_mass", {}).items():
        if mass is not None:
            yield f"median label mass, {mode}: {mass:.3f}"
    for mode, verdict in document.get("true_false", {}).items():
        yield (
            f"True / False, {mode}: {percent(verdict['accuracy'])} right of {verdict['pairs']:,} pairs (matched "
            f"{percent(verdict['matched'])}, hard mismatched {percent(verdict['mismatched'])})"
        )
    if "enhancement" in document:
        yield f"enhancement fired in {document['enhancement']['fired']:.0%} of the pairs"
    for direction, seconds in document.get("seconds", {}).items():
        yield (
            f"seconds per query, {direction}, pool of {seconds['top_k']}: coarse {seconds['coarse']:.2f}, fine "
            f"{seconds['fine']:.2f} (median of {seconds['searches']})"
        )


def _recall_table(part: dict[str, Any]) -> Table:
    """One direction: the coarse stage, then a row for each mode, pool size, and with or without enhancement."""
    rows = [("coarse", *map(percent, part["coarse"].values()), "", "")]
    for kind in ("fine", "enhanced"):
        for mode, sizes in part[kind].items():
            for k, figures in sizes.items():
                name = f"{mode}, pool of {k}{' + enhancement' if kind == 'enhanced' else ''}"
                gain = percent(figures["gain"]["recall@1"], signed=True)
                ceiling = f"{100 * part['ceiling'][k]['value']:.1f}" if k in part["ceiling"] else ""
                rows.append((name, *map(percent, figures["recall"].values()), gain, ceiling))
    return Table(("", "recall@1", "recall@5", "recall@10", "gain at 1", "ceiling"), tuple(rows))


def _accuracy(document: dict[str, Any]) -> Iterator[str | Table]:
    """SugarCrepe's accuracies."""
    yield f"{document['corpus']['file']}: {document['riddles']:,} pictures, chance 50.0"
    yield Table((), tuple((name, percent(figure)) for name, figure in document["accuracy"].items()))


def percent(figure: dict[str, float], signed: bool = False) -> str:
    """A share in percent with its interval."""
    low, high = 100 * figure["low"], 100 * figure["high"]
    return f"{100 * figure['value']:{'+' if signed else ''}.1f} ({low:.1f} – {high:.1f})"
