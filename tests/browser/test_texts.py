"""An atlas of texts in a real browser, beside one of pictures: every page loads, and one switches between the two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.paths import DEMO_LANGUAGE_ATLAS
from tests.text_atlases import text_atlas

if TYPE_CHECKING:
    from tests.browser.conftest import Server, View

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def both(start: Callable[..., Server], atlases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The shipped atlas of texts (a tiny one while there is none), then the demo's pictures."""
    from tests.browser.conftest import wait_for

    shipped = (DEMO_LANGUAGE_ATLAS / "atlas.json").is_file()
    texts = DEMO_LANGUAGE_ATLAS if shipped else text_atlas(tmp_path_factory.mktemp("texts"))
    server = start({"texts": texts, "pictures": atlases["demo"]})
    wait_for(server)
    return server


@pytest.mark.parametrize("path", ["", "counts", "concepts", "map"])
def test_every_page_shows_texts(new_view: Callable[..., View], both: Server, path: str) -> None:
    view = new_view(at=both).open(path, atlas=both.keys["texts"])
    view.page.locator("h1").first.wait_for()
    if path in ("", "concepts"):
        view.page.locator(".as-snippet mark").first.wait_for()
    if path == "counts":
        view.page.locator(".as-explorer .as-passage [data-on]").nth(3).click()
        view.settle()
        assert "token 4" in view.page.locator(".as-explorer").inner_text()
    assert not view.page.locator(".as-root .as-grid .as-pic").count()
    view.healthy()


def test_switching_to_the_pictures_and_back(new_view: Callable[..., View], both: Server) -> None:
    view = new_view(at=both).open("concepts", atlas=both.keys["texts"])
    view.page.locator(".as-lines").first.wait_for()
    view.open("concepts", atlas=both.keys["pictures"])
    view.page.locator(".as-grid .as-pic").first.wait_for()
    view.open("concepts", atlas=both.keys["texts"])
    view.page.locator(".as-lines").first.wait_for()
    view.healthy()
