"""``atomscope evaluate``: measure the SAEs of an atlas, or of training runs, on held-out data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.console import TerminalProgress, err, next_step, out, print_json
from engine.errors import InputError

if TYPE_CHECKING:
    from engine.atlas import Atlas

app = typer.Typer(add_completion=False)


@app.command()
def evaluate(
    paths: Annotated[
        list[Path], typer.Argument(metavar="ATLAS | RUN...", help="An atlas, or run folders together with --acts.")
    ],
    split: Annotated[str, typer.Option(help="Split of the corpus to measure on.")] = "test",
    acts: Annotated[
        Path | None, typer.Option(help="Activation store to read, instead of looking in the cache or extracting.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Record the figures in the atlas.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Measure an atlas's SAE, and every SAE in its baselines/, on the held-out part of its corpus.

    The activations come from the cache; when they are not there, the model is run over that split and they are kept.
    Run folders of `atomscope train` are measured side by side on the store that --acts names.
    """
    from engine.atlas import Atlas
    from engine.atlas.measured import record
    from engine.cli.heldout import held_out_store, named_store
    from engine.metrics import evaluate as measure
    from engine.sae import load_sae
    from engine.training.loop import pick_device

    where, progress = pick_device(device), TerminalProgress()
    atlas = None if (paths[0] / "config.json").is_file() else Atlas.open(paths[0])
    if atlas is not None and len(paths) > 1:
        raise InputError("Measure one atlas at a time; only run folders are measured together.")
    saes = {name: load_sae(folder).to(where) for name, folder in sae_folders(atlas, paths).items()}
    if atlas is not None:
        store, rows = held_out_store(atlas, split, acts, device, progress)
    elif acts is None or write:
        raise InputError("A run folder brings no activations and no atlas to write to: give --acts, leave out --write.")
    else:
        store, rows = named_store(acts, split)
    for name, sae in saes.items():
        if sae.config.d_model != store.d_model:
            raise InputError(
                f"{store.path} has activations of width {store.d_model}, but {name} of {paths[0]} reads "
                f"{sae.config.d_model}: name the store it was trained on, or one of the same model and layer."
            )
    figures: dict[str, dict[str, Any]] = {}
    for name, sae in saes.items():
        err.print(f"measuring {name} on {len(rows):,} {split} items", markup=False)
        figures[name] = measure(sae, store, rows, progress)
    if atlas is not None and write:
        record(atlas, split, figures)
    if json:
        print_json({"path": str(paths[0]), "split": split, "saes": figures})
    else:
        print_table(figures)
    if atlas is not None:
        next_step(f"atomscope serve --atlas {atlas.path}")
    else:
        next_step(f"atomscope atlas --sae {paths[0]} --acts {acts} -o ATLAS")


def sae_folders(atlas: Atlas | None, paths: list[Path]) -> dict[str, Path]:
    """SAE folders by name: the atlas's own under its architecture, then every one in ``baselines/``; or the runs."""
    if atlas is None:
        return {str(path): path for path in paths}
    folders = {str(atlas.meta["sae"]["architecture"]): atlas.path / "sae"}
    for folder in sorted((atlas.path / "baselines").glob("*/config.json")):
        name = folder.parent.name
        folders[name if name not in folders else f"baselines/{name}"] = folder.parent
    return folders


FIGURES = {
    "fvu": ("FVU (centred)", "{:.4f}"),
    "explained_variance": ("explained variance", "{:.4f}"),
    "explained_variance_uncentred": ("explained variance, uncentred", "{:.4f}"),
    "l0_mean": ("L0, mean", "{:.1f}"),
    "l0_quantiles": ("L0, quantiles", ""),
    "dead": ("dead atoms", "{:,}"),
    "dead_share": ("  share of all", "{:.1%}"),
    "dense": ("dense atoms", "{:,}"),
    "dense_share": ("  share of all", "{:.1%}"),
    "label_entropy": ("label entropy, bits", "{:.3f}"),
    "label_entropy_atoms": ("  over atoms", "{:,}"),
    "monosemanticity": ("monosemanticity", "{:.4f}"),
    "monosemanticity_atoms": ("  over atoms", "{:,}"),
    "items": ("items", "{:,}"),
    "tokens": ("tokens", "{:,}"),
}


def print_table(figures: dict[str, dict[str, Any]]) -> None:
    """The figures of all SAEs side by side, on stdout."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in figures:
        table.add_column(name, justify="right")
    for key, (words, form) in FIGURES.items():
        table.add_row(words, *(written(measured[key], form) for measured in figures.values()))
    out.print(table)


def written(value: Any, form: str) -> str:
    """One figure as the table shows it."""
    if value is None:
        return "-"
    if isinstance(value, dict):
        return "  ".join(f"{float(quantile):.0%} {size}" for quantile, size in value.items())
    return form.format(value)
