"""Several atlases at once, and the last boundary for errors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import app
from app.opened import atlases
from app.ui import browser
from tests.synthetic_atlas import write_synthetic_atlas

SCRIPT = Path(app.__file__).parent / "entry" / "dashboard.py"


@pytest.fixture
def two(atlas_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    other = write_synthetic_atlas(tmp_path / "other", 64, 20, seed=9)
    monkeypatch.setenv(atlases.VARIABLE, os.pathsep.join([str(atlas_folder), str(other)]))
    atlases.forget()
    return list(atlases.atlases())


def _card(test: AppTest) -> str:
    assert not test.exception, test.exception
    return str(browser.unpack(test.sidebar.get("bidi_component")[0].proto.bytes)["html"])


def test_the_sidebar_switches_atlases_and_forgets_what_only_the_first_had(two: list[str]) -> None:
    test = AppTest.from_file(str(SCRIPT), default_timeout=30)
    test.query_params["atom"] = "150"
    test.run()
    assert "192 atoms" in _card(test)
    test.sidebar.selectbox(key="sidebar_atlas").set_value(two[1]).run()
    assert "64 atoms" in _card(test)
    assert test.query_params["atlas"] == two[1] and "atom" not in test.query_params


def test_a_link_names_its_atlas_when_there_are_several(two: list[str]) -> None:
    def script() -> None:
        from app.pages.concepts import page as concepts

        concepts.page()

    test = AppTest.from_function(script, default_timeout=30)
    test.query_params["atlas"] = two[1]
    test.run()
    test.button(key="concepts_next").click().run()
    assert test.query_params["atlas"] in (two[1], [two[1]]) and "atom" in test.query_params


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("InputError('The shard is damaged.')", "The shard is damaged."),
        ("ValueError('/secret/path')", "could not be shown"),
    ],
)
def test_a_viewer_sees_one_sentence_and_no_traceback(error: str, says: str) -> None:
    script = (
        f"from app.server import on_script_error\nfrom engine.errors import InputError\nassert on_script_error({error})"
    )
    test = AppTest.from_string(script, default_timeout=30).run()
    assert not test.exception and len(test.error) == 1
    assert says in test.error[0].value and "secret" not in test.error[0].value
