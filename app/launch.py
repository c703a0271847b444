"""``atomscope serve``: the dashboard's arguments checked, then its server. Nothing of Streamlit is loaded before it serves."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import AtomscopeError, InputError
from engine.paths import ASSETS, demo_atlases
from engine.progress import Progress

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_TRIES, _PAUSE = 150, 0.2
"""How often, and after how many seconds each, it is asked whether the server is ready for the browser."""


@dataclass(frozen=True)
class Launch:
    """A dashboard that is ready to be served: its arguments are checked and its port is free.

    Attributes
    ----------
    atlases, corpora : list of Path
        What it shows and what it searches beside the demo's corpus, as whole paths.
    mllm : str
        Model that reads the candidates: a hub id, a folder by its whole path, or "demo".
    host, port
        Where it listens.
    """

    atlases: list[Path]
    corpora: list[Path]
    mllm: str
    host: str
    port: int

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK

    @property
    def url(self) -> str:
        """Its address for a browser on this machine."""
        return f"http://{'localhost' if self.local else self.host}:{self.port}"

    def run(self, browser: bool) -> None:
        """Serve until interrupted; with ``browser``, open the browser once the server is ready.

        Raises
        ------
        AtomscopeError
            If the dashboard's libraries cannot be loaded.
        """
        os.environ["ATOMSCOPE_ATLASES"] = os.pathsep.join(map(str, self.atlases))
        os.environ["ATOMSCOPE_CORPORA"] = os.pathsep.join(map(str, self.corpora))
        os.environ["ATOMSCOPE_MLLM"] = self.mllm
        try:
            from app.server import app
        except ImportError as error:
            raise AtomscopeError(f"The dashboard could not be loaded ({error}). Run: pip install -e .") from error
        if browser:
            threading.Thread(target=self._open_when_ready, daemon=True).start()
        # Streamlit reads its script-level settings beside argv[0]; ours are all given below.
        sys.argv = [str(ASSETS.parent / "app" / "server.py")]
        app.run(config=settings(self.host, self.port))

    def _open_when_ready(self) -> None:
        for _ in range(_TRIES):
            try:
                with socket.create_connection((self.host, self.port), timeout=_PAUSE):
                    webbrowser.open(self.url)
                    return
            except OSError:
                time.sleep(_PAUSE)


def prepare_launch(
    atlases: Sequence[Path], corpora: Sequence[Path], mllm: str, host: str, port: int, progress: Progress
) -> Launch:
    """Check the arguments of a dashboard. Weights are read when they are needed.

    Parameters
    ----------
    atlases : sequence of Path
        Empty: the demo atlases. When they are missing, the page says so and names the command that builds them.

    Raises
    ------
    InputError
        For the first folder that is missing, damaged or not what it should be, and for a port that cannot be used.
    """
    folders = [path.expanduser().resolve() for path in atlases or demo_atlases()]
    if atlases:
        check_atlases(folders)
    searched = [path.expanduser().resolve() for path in corpora]
    check_corpora(searched, progress)
    model = check_mllm(mllm)
    check_port(host, port)
    return Launch(folders, searched, model, host, port)


def check_atlases(folders: Sequence[Path]) -> None:
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


def check_corpora(folders: Sequence[Path], progress: Progress) -> None:
    """Refuse folders that cannot be searched; what is odd about the others is a warning.

    Raises
    ------
    InputError
        For the first folder that is missing or holds nothing to search.
    """
    from engine.corpus import open_corpus

    for folder in folders:
        for warning in open_corpus(folder).warnings:
            progress.warn(f"{folder.name}: {warning}")


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


def settings(host: str, port: int) -> dict[str, object]:
    """The Streamlit configuration of the dashboard. It lives here, so that no file of the user's changes the dashboard."""
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
