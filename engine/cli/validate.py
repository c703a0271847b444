"""``atomscope validate``: check every file of an atlas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.console import TerminalProgress, err, next_step, out, print_json

app = typer.Typer(add_completion=False)

FAULTY = 2


@app.command()
def validate(
    atlas: Annotated[Path, typer.Argument(help="Folder of the atlas.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Check every file of an atlas against the format, one line a fault. Exit status 2 when there are faults."""
    from engine.atlas.validation import validate_atlas

    faults = validate_atlas(atlas, TerminalProgress())
    if json:
        print_json({"atlas": str(atlas), "sound": not faults, "faults": faults})
    else:
        for fault in faults:
            out.print(fault, markup=False, soft_wrap=True)
    if faults:
        err.print(f"{len(faults)} fault{'s' if len(faults) > 1 else ''} in {atlas}.", markup=False, soft_wrap=True)
        raise typer.Exit(FAULTY)
    err.print(f"{atlas} is sound.", markup=False, soft_wrap=True)
    next_step(f"atomscope serve --atlas {atlas}")
