"""``atomscope extract``: run a model over pictures or texts and store one layer's activations."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.console import TerminalProgress, duration, err, next_step
from engine.errors import InputError

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.backbones import Backbone, LanguageBackbone

app = typer.Typer(add_completion=False)


@app.command()
def extract(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the activation store to write.")],
    images: Annotated[Path | None, typer.Option(help="Folder of images; sub-folders are labels.")] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="A corpus in any other form: Hugging Face dataset folder, Parquet shards.")
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(
            help="Texts: a .txt file (one a line), a JSONL, CSV or Parquet file with a text column, a folder."
        ),
    ] = None,
    captions: Annotated[
        Path | None, typer.Option(help="CSV, JSONL or Parquet file with captions and labels for --images.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Embedded model (clip-vit-b16, dinov2-small-focus, smollm2-135m), local folder, or hub id.",
            show_default="clip-vit-b16, for texts smollm2-135m",
        ),
    ] = None,
    layer: Annotated[int, typer.Option(help="Block: 0 is the first, -1 the last, -2 the one before.")] = -2,
    site: Annotated[
        str, typer.Option(help="residual (the stream after the block), mlp or attention (what it adds to the stream).")
    ] = "residual",
    tokens: Annotated[
        str | None,
        typer.Option(
            help="Positions to keep: all, cls or patches of a picture; of a text text, or all with the beginning-of-text "
            "position, whose norm dwarfs the others.",
            show_default="all, for texts text",
        ),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(help="Tokens of a chunk: texts are joined and cut, nothing is padded.", show_default="128"),
    ] = None,
    dtype: Annotated[str, typer.Option(help="Stored as float32, or float16 at half the size.")] = "float32",
    limit: Annotated[
        int | None, typer.Option(help="Take this many images or chunks of text, spread evenly over the corpus.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto (a GPU when there is one), cpu, cuda or cuda:N.")] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(help="Images or chunks at a time; by default what fits into memory.")
    ] = None,
) -> None:
    """Run a model over a corpus and store the activations of one layer.

    Images that cannot be read are reported and skipped. Run the same command again after a stop and it goes on where it
    was; the result is the same. On several GPUs: torchrun --nproc-per-node N --no-python atomscope extract ...

    Examples: atomscope extract --images photos/ -o cache/stores/photos,
    atomscope extract --texts stories.jsonl --layer 15 -o cache/stores/stories
    """
    given = [path for path in (images, texts, corpus) if path is not None]
    if len(given) != 1:
        raise InputError("Name the pictures with --images DIR or --corpus DIR, or texts with --texts FILE.")
    if captions is not None and images is None:
        raise InputError("--captions goes with --images; a --corpus brings its own captions.")
    if context is not None and texts is None:
        raise InputError("--context goes with --texts: pictures have as many positions as the model has patches.")

    from engine.corpus import open_corpus
    from engine.distributed import joined

    with joined() as group:
        progress = group.progress(TerminalProgress())
        pictures = open_corpus(given[0], captions)
        for warning in pictures.warnings:
            progress.warn(warning)

        from engine.activations import extract as run
        from engine.backbones import load_backbone

        backbone: Backbone | LanguageBackbone
        where = group.device(device)
        if texts is not None:
            name = model or "smollm2-135m"
            backbone = load_backbone(name, layer, site, tokens, where, progress, modality="text", context=context)
        else:
            backbone = load_backbone(model or "clip-vit-b16", layer, site, tokens, where, progress)
        spec = backbone.spec
        if group.first:
            err.print(
                f"{spec.name}: block {spec.layer_index} of 0-{spec.n_layers - 1}, {spec.site}, {spec.n_positions} positions of "
                f"width {spec.d_model}, on {backbone.device}" + (f", {group.size} processes" if group.size > 1 else ""),
                soft_wrap=True,
            )
            if spec.note:
                err.print(f"note: {spec.note}", markup=False, soft_wrap=True)
        began = time.monotonic()
        store = run(backbone, pictures, out, dtype, batch_size, limit, progress, group)
        if group.first:
            _summary(store, out, backbone.noun, time.monotonic() - began)
            next_step(f"atomscope train --acts {out} --sae sparsemax -o {_run_folder(out)}")


def _summary(store: ActivationStore, out: Path, noun: str, seconds: float) -> None:
    size = sum(shard["bytes"] for shard in store.manifest["shards"])
    skipped = len(store.manifest["skipped"])
    left_out = f", {skipped:,} skipped (listed in {out}/manifest.json)" if skipped else ""
    err.print(
        f"{out}: {store.n_items:,} {noun}, {store.n_tokens:,} activations of width {store.d_model} in {store.dtype}, "
        f"{size / 1e9:,.2f} GB{left_out}; {duration(seconds)}, peak memory {_peak_memory() / 1e9:.1f} GB",
        markup=False,
        soft_wrap=True,
    )


def _peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes


def _run_folder(out: Path) -> Path:
    """Beside ``stores/NAME``, ``runs/NAME``; elsewhere ``NAME-run``."""
    return out.parent.parent / "runs" / out.name if out.parent.name == "stores" else out.with_name(f"{out.name}-run")
