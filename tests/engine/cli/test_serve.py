"""``atomscope serve`` before it serves: arguments of any kind end in one sentence."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from engine.cli.main import FAILED, WRONG_INPUT, run


def test_a_missing_atlas_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--atlas", str(tmp_path / "none"), "--no-browser"]) == WRONG_INPUT
    said = capsys.readouterr().err
    assert "does not exist" in said and "atomscope atlas" in said and "Traceback" not in said


def test_a_folder_that_is_no_atlas_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--atlas", str(tmp_path), "--no-browser"]) == WRONG_INPUT
    assert "is not a concept atlas" in capsys.readouterr().err


def test_a_corpus_that_cannot_be_searched_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--corpus", str(tmp_path / "none"), "--no-browser"]) == WRONG_INPUT
    assert "does not exist" in capsys.readouterr().err
    assert run(["serve", "--corpus", str(tmp_path), "--no-browser"]) == WRONG_INPUT
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--mllm", str(tmp_path), "--no-browser"]) == WRONG_INPUT
    assert "has no config.json" in capsys.readouterr().err


def test_a_taken_port_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run(["serve", "--port", str(taken.getsockname()[1]), "--no-browser"]) == WRONG_INPUT
    assert "is in use. Try: atomscope serve --port" in capsys.readouterr().err


def test_without_the_app_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("engine.cli.serve.DASHBOARD", "no_such_app.launch:prepare_launch")
    assert run(["serve", "--no-browser"]) == FAILED
    said = capsys.readouterr().err
    assert "The dashboard could not be loaded" in said and "Traceback" not in said


def test_where_it_is_and_who_can_reach_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    served: list[bool] = []
    monkeypatch.setattr("app.launch.Launch.run", lambda launch, browser: served.append(browser))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    assert run(["serve", "--port", port, "--no-browser"]) == 0
    said = capsys.readouterr().err
    assert f"Atomscope is at http://localhost:{port}" in said and "warning" not in said
    assert run(["serve", "--port", port, "--host", "0.0.0.0"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "whoever reaches 0.0.0.0 can read these atlases and corpora; there is no log-in." in said
    assert served == [False, True]
