"""``atomscope export``: a trained SAE as other tools read it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.console import TerminalProgress, err, next_step
from engine.errors import InputError

app = typer.Typer(add_completion=False)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder of `atomscope train`, or the sae/ folder of an atlas.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write the SAE to.")],
    format: Annotated[str, typer.Option(help="Format to write: saelens.")] = "saelens",
) -> None:
    """Write a trained SAE as a SAELens folder (cfg.json, sae_weights.safetensors).

    The input normalisation is folded into the weights, so the exported SAE reads raw activations and gives the same codes.

    Example: atomscope export cache/runs/demo/topk -o exported/topk
    """
    from engine.sae import load_sae
    from engine.sae.interchange import export_sae
    from engine.sae.interchange.writing import trained_on

    if format != "saelens":
        raise InputError(f"Unknown format {format!r}; what can be written is: saelens.")
    sae = load_sae(run)
    for note in export_sae(sae, out, trained_on(run)):
        TerminalProgress().warn(note)
    err.print(f"{out}: {sae.config.architecture}, {sae.config.n_atoms:,} atoms", markup=False, soft_wrap=True)
    next_step(f"python -c \"from sae_lens import SAE; print(SAE.load_from_disk('{out}'))\"")
