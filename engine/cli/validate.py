"""``atomscope validate``: check every file of an atlas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.console import TerminalProgress, err, next_step, out, print_json
from engine.cli.options import Json

app = typer.Typer(add_completion=False)

FAULTY = 2


@app.command()
def validate(
    atlas: Annotated[Path, typer.Argument(help="Folder of the atlas to check.")],
    json: Json = False,
) -> None:
    """Check every file of an atlas against the format. Prints one line per fault; the exit status is then 2."""
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
