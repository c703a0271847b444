"""``atomscope serve`` before it serves: arguments, ports, and a start that loads no model."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli import serve
from engine.cli.main import WRONG_INPUT, run
from engine.errors import InputError


def test_a_missing_atlas_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--atlas", str(tmp_path / "none"), "--no-browser"]) == WRONG_INPUT
    said = capsys.readouterr().err
    assert "does not exist" in said and "atomscope atlas" in said and "Traceback" not in said


def test_a_folder_that_is_no_atlas_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--atlas", str(tmp_path), "--no-browser"]) == WRONG_INPUT
    assert "is not a concept atlas" in capsys.readouterr().err


def test_a_taken_port_names_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"Port {port} is in use. Try: atomscope serve --port") as refused:
            serve.check_port("127.0.0.1", port)
    free = int(re.findall(r"--port (\d+)", str(refused.value))[0])
    serve.check_port("127.0.0.1", free)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InputError, match="Cannot listen on '203.0.113.7'"):
        serve.check_port("203.0.113.7", 8501)


def test_only_this_machine_is_answered_unless_asked() -> None:
    settings = serve.settings("127.0.0.1", 8501)
    assert settings["server.address"] == "127.0.0.1"
    assert settings["client.showErrorDetails"] == "none" and settings["browser.gatherUsageStats"] is False


def test_the_server_and_the_pages_load_no_model_library() -> None:
    code = (
        "import sys, app.server, app.main, app.pages.concepts.page, app.pages.counts.page, app.pages.retrieval.page;"
        "print([m for m in ('torch', 'transformers', 'umap', 'numba', 'sklearn', 'triton') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_corpus_that_cannot_be_searched_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--corpus", str(tmp_path / "none"), "--no-browser"]) == WRONG_INPUT
    assert "does not exist" in capsys.readouterr().err
    assert run(["serve", "--corpus", str(tmp_path), "--no-browser"]) == WRONG_INPUT
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--mllm", str(tmp_path), "--no-browser"]) == WRONG_INPUT
    assert "has no config.json" in capsys.readouterr().err
    (tmp_path / "config.json").write_text("{}")
    assert serve.check_mllm(str(tmp_path)) == str(tmp_path.resolve()) and serve.check_mllm("demo") == "demo"
