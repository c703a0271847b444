"""``atomscope demo``: fetch the embedded weights, rebuild the demo from its sources."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
build = typer.Typer(no_args_is_help=True, help="Rebuild a demo artefact from its sources.")
app.add_typer(build, name="build")


@app.command("weights")
def weights(
    names: Annotated[list[str] | None, typer.Argument(help="Embedded models; without one, the demo's own.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Fetch every embedded model.")] = False,
) -> None:
    """Download the embedded weights, check them, and convert them once into the cache."""
    from engine.backbones import embedded
    from engine.backbones.registry import DEFAULT_MODEL, REGISTRY
    from engine.cli.console import TerminalProgress, err, next_step

    wanted = list(REGISTRY) if everything else names or [DEFAULT_MODEL]
    for model in [embedded.entry(name) for name in wanted]:  # an unknown name is refused before anything downloads
        ready = embedded.is_ready(model.name)
        folder = embedded.fetch(model.name, TerminalProgress())
        err.print(f"{model.name}: {model.title}, {'already in' if ready else 'now in'} {folder}", soft_wrap=True)
    next_step("atomscope serve")
