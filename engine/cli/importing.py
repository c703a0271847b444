"""``atomscope import``: an SAE that was trained elsewhere, as a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.console import err, next_step

app = typer.Typer(add_completion=False)


@app.command()
def import_(
    source: Annotated[Path, typer.Argument(help="SAELens folder, or .pt file of the published sparsemax SAE.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write the run to.")],
    format: Annotated[
        str, typer.Option(help="Format of the source: auto (found out), saelens or sparsemax-sae.")
    ] = "auto",
    dtype: Annotated[str, typer.Option(help="Number format of the weights: float32 or float16.")] = "float32",
) -> None:
    """Read an SAE of another tool and write it as a run folder, to evaluate it or to build an atlas of it.

    Nothing in a file is executed: safetensors are read as they are, and a .pt file with weights_only.

    Example: atomscope import downloads/gpt2-layer-8 -o cache/runs/gpt2-layer-8
    """
    from engine.sae.interchange import import_sae, write_run

    imported = import_sae(source, format)
    write_run(imported, out, dtype)
    config, metadata = imported.sae.config, imported.origin["metadata"]
    model = metadata.get("model_name")
    err.print(
        f"{out}: {config.architecture}, {config.n_atoms:,} atoms of width {config.d_model}"
        + (
            f", trained on {model} {metadata.get('hook_name') or metadata.get('block_layer', '')}".rstrip()
            if model
            else ""
        ),
        markup=False,
        soft_wrap=True,
    )
    next_step(f"atomscope atlas --sae {out} --acts STORE -o ATLAS")
