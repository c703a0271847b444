"""The dashboard before it serves: its arguments are checked, and nothing heavy is loaded."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app import launch
from engine.errors import InputError
from engine.progress import SilentProgress


def test_a_taken_port_names_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"Port {port} is in use. Try: atomscope serve --port") as refused:
            launch.check_port("127.0.0.1", port)
    free = int(re.findall(r"--port (\d+)", str(refused.value))[0])
    launch.check_port("127.0.0.1", free)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InputError, match="Cannot listen on '203.0.113.7'"):
        launch.check_port("203.0.113.7", 8501)


def test_only_this_machine_is_answered_unless_asked() -> None:
    settings = launch.settings("127.0.0.1", 8501)
    assert settings["server.address"] == "127.0.0.1"
    assert settings["client.showErrorDetails"] == "none" and settings["browser.gatherUsageStats"] is False


def test_the_server_and_the_pages_load_no_model_library() -> None:
    code = (
        "import sys, app.server, app.main, app.pages.concepts.page, app.pages.counts.page, app.pages.retrieval.page;"
        "print([m for m in ('torch', 'transformers', 'umap', 'numba', 'sklearn', 'triton') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_is_known_by_its_whole_path(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert launch.check_mllm(str(tmp_path)) == str(tmp_path.resolve()) and launch.check_mllm("demo") == "demo"


def test_nothing_of_streamlit_is_loaded_to_check_arguments() -> None:
    code = "import sys, app.launch; print([m for m in ('streamlit', 'torch', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_an_atlas_the_demo_is_shown() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ready = launch.prepare_launch([], [], "demo", "127.0.0.1", port, SilentProgress())
    assert ready.atlases == launch.demo_atlases() and ready.url == f"http://localhost:{port}" and ready.local
