"""``atomscope demo``: fetch the embedded weights, rebuild the demo from its sources."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
build = typer.Typer(no_args_is_help=True, help="Rebuild a demo artefact from its sources.")
app.add_typer(build, name="build")
