"""``atomscope serve``: open the dashboard."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated

import typer

from engine.cli.console import TerminalProgress, err
from engine.errors import AtomscopeError

app = typer.Typer(add_completion=False)

DASHBOARD = "app.launch:prepare_launch"
"""What checks the dashboard's arguments and starts its server. It is named, not imported, as console scripts name what they
start: the engine computes without the app, and works where the app is not installed."""


@app.command()
def serve(
    atlas: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of an atlas to show. May be given several times.", show_default="the atlases of the demo"
        ),
    ] = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of images, with or without captions, to search beside the demo's. May be given several times."
        ),
    ] = None,
    mllm: Annotated[
        str,
        typer.Option(
            help="Multimodal model that reads the candidates on the Retrieval page: demo, a hub id or a folder."
        ),
    ] = "demo",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
    host: Annotated[
        str, typer.Option(help="Address to listen on. With the default, only this machine can reach the dashboard.")
    ] = "127.0.0.1",
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Whether to open the dashboard in the browser.")
    ] = True,
) -> None:
    """Open the dashboard in the browser. Without --atlas it shows the atlases of the demo. Ctrl+C stops it."""
    try:
        prepare = resolve_name(DASHBOARD)
    except ImportError as error:
        raise AtomscopeError(f"The dashboard could not be loaded ({error}). Run: pip install -e .") from error
    launch = prepare(atlas or (), corpus or (), mllm, host, port, TerminalProgress())
    err.print(f"Atomscope is at {launch.url}   (Ctrl+C stops it)", markup=False, soft_wrap=True)
    if not launch.local:
        err.print(
            f"warning: whoever reaches {host} can read these atlases and corpora; there is no log-in.", markup=False
        )
    launch.run(browser)
