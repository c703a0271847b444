"""``atomscope serve``: open the dashboard."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.console import err
from engine.errors import AtomscopeError, InputError
from engine.paths import ASSETS, demo_atlases

app = typer.Typer(add_completion=False)

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@app.command(help="Open the dashboard in the browser. Without --atlas it shows the demo atlases.")
def serve(
    atlas: Annotated[list[Path] | None, typer.Option(help="An atlas folder; repeat for several.")] = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            help="A folder of images, with or without captions, to search beside the demo's; repeat for several."
        ),
    ] = None,
    mllm: Annotated[
        str,
        typer.Option(
            help='The multimodal model that reads candidates on the Retrieval page: hub id, folder, or "demo".'
        ),
    ] = "demo",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
    host: Annotated[
        str, typer.Option(help="Address to listen on. The default answers this machine only.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
) -> None:
    """Check the arguments, say where the dashboard is, and serve until it is interrupted."""
    folders = [path.expanduser().resolve() for path in atlas or demo_atlases()]
    if atlas:  # a missing demo is explained on the page, with the command that builds it
        check_atlases(folders)
    corpora = [path.expanduser().resolve() for path in corpus or []]
    check_corpora(corpora)
    model = check_mllm(mllm)
    check_port(host, port)
    url = f"http://{'localhost' if host in LOOPBACK else host}:{port}"
    err.print(f"Atomscope is at {url}   (Ctrl+C stops it)", markup=False, soft_wrap=True)
    if host not in LOOPBACK:
        err.print(
            f"warning: whoever reaches {host} can read these atlases and corpora; there is no log-in.", markup=False
        )
    if browser:
        threading.Thread(target=_open_when_ready, args=(host, port, url), daemon=True).start()
    run(folders, host, port, corpora, model)


def check_atlases(folders: list[Path]) -> None:
    """Refuse folders that cannot be shown.

    Raises
    ------
    InputError
        For the first folder that is missing, damaged, or of a newer format.
    """
    from engine.atlas import Atlas

    for folder in folders:
        if not folder.exists():
            raise InputError(f"{folder} does not exist. Build an atlas with `atomscope atlas`, or leave out --atlas.")
        Atlas.open(folder)


def check_corpora(folders: list[Path]) -> None:
    """Refuse folders that cannot be searched.

    Raises
    ------
    InputError
        For the first folder that is missing or holds nothing to search.
    """
    from engine.corpus import open_corpus

    for folder in folders:
        for warning in open_corpus(folder).warnings:
            err.print(f"warning: {folder.name}: {warning}", markup=False, soft_wrap=True)


def check_mllm(name: str) -> str:
    """The model's name as the server should know it: a folder by its whole path. Weights are read when they are needed.

    Raises
    ------
    InputError
        If it is a folder that holds no checkpoint.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return name
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{folder} is no multimodal model: it has no config.json. Name a transformers folder or a hub id."
        )
    return str(folder.resolve())


def check_port(host: str, port: int) -> None:
    """Refuse a port that is taken, and name one that is free.

    Raises
    ------
    InputError
        If the port is in use or may not be used, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise InputError(f"Port {port} is in use. Try: atomscope serve --port {_free_port(host)}") from None
            if error.errno == errno.EACCES:
                raise InputError(f"Port {port} needs more rights than you have. Use a port above 1023.") from None
            raise InputError(f"Cannot listen on {host!r} ({error.strerror or error}).") from None


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def run(folders: list[Path], host: str, port: int, corpora: Sequence[Path] = (), mllm: str = "demo") -> None:
    """Serve until interrupted. Streamlit's settings live here, so that no file of the user's changes the dashboard."""
    os.environ["ATOMSCOPE_ATLASES"] = os.pathsep.join(map(str, folders))
    os.environ["ATOMSCOPE_CORPORA"] = os.pathsep.join(map(str, corpora))
    os.environ["ATOMSCOPE_MLLM"] = mllm
    try:
        dashboard = import_module("app.server").app
    except ImportError as error:
        raise AtomscopeError(f"The dashboard could not be loaded ({error}). Run: pip install -e .") from error
    # Streamlit reads its script-level settings beside argv[0]; ours are all given below.
    sys.argv = [str(ASSETS.parent / "app" / "server.py")]
    dashboard.run(config=settings(host, port))


def settings(host: str, port: int) -> dict[str, object]:
    """The Streamlit configuration of the dashboard."""
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.enableWebsocketCompression": True,
        "server.maxUploadSize": 32,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "theme.base": str(ASSETS / "theme.toml"),
        "logger.level": "warning",
    }


def _open_when_ready(host: str, port: int, url: str) -> None:
    for _ in range(150):
        try:
            with socket.create_connection((host, port), timeout=0.2):
                webbrowser.open(url)
                return
        except OSError:
            time.sleep(0.2)
