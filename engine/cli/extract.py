"""``atomscope extract``: run a model over pictures or texts and store one layer's activations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.console import TerminalProgress, duration, err, next_step
from engine.cli.options import Device
from engine.errors import InputError

if TYPE_CHECKING:
    from engine.activations.from_path import Extraction, LoadedModel

app = typer.Typer(add_completion=False)


@app.command()
def extract(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write the activation store to.")],
    images: Annotated[Path | None, typer.Option(help="Folder of images; its sub-folders become labels.")] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(help="Pictures in any other form: a Hugging Face dataset folder or a folder of Parquet shards."),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(
            help="Texts: a .txt file with one text per line, a JSONL, CSV or Parquet file with a column named text, or a "
            "folder of .txt files."
        ),
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(help="CSV, JSONL or Parquet file with captions and labels of the pictures in --images."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model to run: an embedded one (clip-vit-b16, dinov2-small-focus, smollm2-135m), a local folder, or a hub id.",
            show_default="clip-vit-b16, for texts smollm2-135m",
        ),
    ] = None,
    layer: Annotated[
        int, typer.Option(help="Block to listen to: 0 is the first, -1 the last, -2 the last but one.")
    ] = -2,
    site: Annotated[
        str,
        typer.Option(
            help="What to store of the block: residual (the residual stream after it), mlp or attention (what either adds to "
            "that stream)."
        ),
    ] = "residual",
    tokens: Annotated[
        str | None,
        typer.Option(
            help="Positions to store. Of a picture: all, cls or patches. Of a text: text (its own tokens), or all (the "
            "beginning-of-text position as well, whose norm is far larger than the others').",
            show_default="all, for texts text",
        ),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            help="Tokens per chunk of text. Texts are joined and cut into chunks, so that nothing is padded.",
            show_default="128",
        ),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="Number format of the store: float32, or float16 at half the size.")
    ] = "float32",
    limit: Annotated[
        int | None,
        typer.Option(
            help="Number of pictures or chunks of text to take, spread evenly over the corpus.", show_default="all"
        ),
    ] = None,
    device: Device = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(help="Pictures or chunks per forward pass.", show_default="as many as fit into memory"),
    ] = None,
) -> None:
    """Run a model over a corpus and store the activations of one layer.

    A picture that cannot be read is reported and skipped. If the command was stopped, run it again: it goes on where it was,
    and the result is the same. On several GPUs: torchrun --nproc-per-node N --no-python atomscope extract ...

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

    from engine.activations.from_path import ExtractionOptions, extract_path

    options = ExtractionOptions(
        corpus=given[0],
        modality="image" if texts is None else "text",
        captions=captions,
        model=model,
        layer=layer,
        site=site,
        tokens=tokens,
        context=context,
        dtype=dtype,
        batch_size=batch_size,
        limit=limit,
        device=device,
    )
    done = extract_path(options, out, TerminalProgress(), on_model=_say_model)
    if done is not None:
        _say_store(done, out)
        next_step(f"atomscope train --acts {out} --sae sparsemax -o {_run_folder(out)}")


def _say_model(model: LoadedModel) -> None:
    spec = model.spec
    err.print(
        f"{spec.name}: block {spec.layer_index} of 0-{spec.n_layers - 1}, {spec.site}, {spec.n_positions} positions of "
        f"width {spec.d_model}, on {model.device}" + (f", {model.processes} processes" if model.processes > 1 else ""),
        markup=False,
        soft_wrap=True,
    )
    if spec.note:
        err.print(f"note: {spec.note}", markup=False, soft_wrap=True)


def _say_store(done: Extraction, out: Path) -> None:
    left_out = f", {done.skipped:,} skipped (listed in {out}/manifest.json)" if done.skipped else ""
    err.print(
        f"{out}: {done.store.n_items:,} {done.noun}, {done.store.n_tokens:,} activations of width {done.store.d_model} in "
        f"{done.store.dtype}, {done.bytes / 1e9:,.2f} GB{left_out}; {duration(done.seconds)}, "
        f"peak memory {done.peak_memory / 1e9:.1f} GB",
        markup=False,
        soft_wrap=True,
    )


def _run_folder(out: Path) -> Path:
    """Beside ``stores/NAME``, ``runs/NAME``; elsewhere ``NAME-run``."""
    return out.parent.parent / "runs" / out.name if out.parent.name == "stores" else out.with_name(f"{out.name}-run")
