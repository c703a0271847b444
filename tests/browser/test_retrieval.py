"""The Retrieval page as a person uses it: the embedded models search, read and decide; nothing is faked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from app.opened import corpora, models
from engine.corpus import open_corpus
from engine.paths import ASSETS, DEMO_CORPUS
from tests.browser.conftest import PATIENCE, Server, View, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.weights,
    pytest.mark.skipif(
        bool(models.missing_weights("coarse") or models.missing_weights("fine"))
        or not (ASSETS / "demo" / "mllm" / "trained.safetensors").is_file(),
        reason="needs the embedded weights: atomscope demo weights",
    ),
]

LOADING = 240_000
"""ms until the first answer: torch, the encoders and the model are loaded, maybe beside a compiler."""
QUERY = "A red panda resting on a branch."
PENGUIN = "tuxpaint/animals/birds/penguin"
CARDS, READ = ".as-card", ".as-card.as-scored"


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph to upload, larger than the page keeps."""
    corpus = open_corpus(DEMO_CORPUS)
    row = int((corpus.items["id"] == PENGUIN).to_numpy().nonzero()[0][0])
    path = tmp_path_factory.mktemp("upload") / "my penguin.jpg"
    corpus.load(row).resize((1600, 1600)).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures without captions."""
    path = tmp_path_factory.mktemp("holiday") / "pictures"
    path.mkdir()
    for name, colour in (("sea", "blue"), ("wood", "green"), ("roof", "red")):
        Image.new("RGB", (300, 200), colour).save(path / f"{name}.png")
    return path


@pytest.fixture(scope="module")
def searching(start: Callable[..., Server], atlases: dict[str, Path], folder: Path) -> Server:
    """A server of its own, with the folder as a second corpus: what it loads does not count in the others' budgets."""
    server = start({"demo": atlases["demo"]}, "--corpus", str(folder))
    wait_for(server)
    return server


@pytest.fixture
def open_page(contexts: Callable[[str], BrowserContext], searching: Server) -> Iterator[Callable[..., View]]:
    """Open the page in a tab of its own; they are closed after the test."""
    from tests.browser.conftest import watch

    views: list[View] = []

    def new(theme: str = "light", **query: str | int) -> View:
        view = watch(contexts(theme).new_page(), searching)
        views.append(view)
        view.page.goto(f"{searching.url}/retrieval")
        return view.open("retrieval", atlas=None, **query) if query else view.settle()

    yield new
    for view in views:
        view.page.close()


def answered(view: View, cards: int = 5) -> View:
    """Wait until the search is over."""
    view.page.locator(".as-funnel .as-first em").get_by_text("first", exact=True).wait_for(timeout=LOADING)
    view.page.wait_for_selector(".st-key-retrieval_cancel", state="detached", timeout=PATIENCE)
    view.settle()
    assert view.page.locator(CARDS).count() in (0, cards)
    return view


def test_a_text_query_goes_to_its_end(open_page: Callable[..., View]) -> None:
    view = open_page()
    box = view.page.get_by_role("textbox", name="Query")
    box.fill(QUERY)
    box.press("Enter")
    view.page.locator(".as-card").first.wait_for(timeout=LOADING)  # the pool is there before it is read
    answered(view)
    assert view.page.locator(READ).count() == 5
    text = view.page.locator("[data-testid=stMain]").inner_text()
    for words in ("P(True)", "label mass", "entropy", "the answer", "small demo model"):
        assert words in text
    assert view.query["q"] == QUERY
    view.page.wait_for_function("[...document.querySelectorAll('.as-card img')].every(i => i.naturalWidth > 0)")
    view.healthy()


def test_the_steps_answer_keys_and_have_addresses(open_page: Callable[..., View]) -> None:
    view = answered(open_page(q=QUERY, k=4), 4)
    shown = view.page.locator(".as-steps .as-on")
    for key, step in (("ArrowRight", "Enhancement"), ("ArrowRight", "Movement"), ("ArrowLeft", "Enhancement")):
        view.page.keyboard.press(key)
        view.page.wait_for_function(f"document.querySelector('.as-steps .as-on').innerText.includes('{step}')")
    view.page.locator(".as-steps li", has_text="Prompt").click()
    view.page.wait_for_url("**step=prompt**")
    view.settle()
    assert "Prompt" in shown.inner_text()
    prompt = view.page.locator(".as-prompt").inner_text()
    assert "True or False" in prompt and "image x" in prompt
    # The link shows the same step of the same search to somebody else.
    other = answered(open_page("dark", **view.query), 4)
    assert other.page.locator(".as-prompt").inner_text() == prompt
    for one in (view, other):
        one.healthy()


@pytest.mark.parametrize(
    ("step", "wanted"),
    [("pool", ".as-pool figure"), ("ranks", ".as-slope"), ("sweep", ".as-pool figure"), ("export", ".as-export td")],
)
def test_every_step_draws(open_page: Callable[..., View], step: str, wanted: str) -> None:
    view = answered(open_page(q=QUERY, step=step))
    view.page.locator(wanted).first.wait_for()
    unnamed = view.page.locator(".as-root img:not([alt]), .as-root svg[role=img]:not([aria-label])")
    assert not unnamed.count(), unnamed.first.evaluate("e => e.outerHTML")
    view.healthy()


def test_an_upload_searches_and_is_no_part_of_the_link(open_page: Callable[..., View], picture: Path) -> None:
    view = open_page()
    view.page.locator("[class*='st-key-retrieval_picture_popover'] button").first.click()
    view.page.locator("input[type=file]").set_input_files(picture)
    view.page.locator(".as-query-picture").wait_for(timeout=PATIENCE)
    answered(view)
    assert not view.page.locator("input[type=file]").is_visible()  # nothing covers the answer
    assert "my penguin.jpg" in view.page.locator(".as-query-picture").inner_text()
    assert "1600 × 1600 pixels, uploaded" in view.page.locator(".as-query-picture").inner_text()
    assert view.page.locator(".as-query-picture img").get_attribute("src").startswith("data:image/webp")
    other = open_page(**view.query)
    assert "Upload the picture again" in other.page.get_by_test_id("stAlert").first.inner_text()
    for one in (view, other):
        one.healthy()


def test_a_text_file_named_png_is_refused(open_page: Callable[..., View], tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("Dear diary, this is no picture.\n" * 20)
    view = open_page()
    view.page.locator("[class*='st-key-retrieval_picture_popover'] button").first.click()
    view.page.locator("input[type=file]").set_input_files(path)
    told = view.page.get_by_test_id("stAlert").first
    told.wait_for()
    assert "notes.png" in told.inner_text() and "not a JPEG, PNG" in told.inner_text()
    assert not view.page.locator(".as-funnel, .as-query-picture").count()
    view.healthy()


def test_a_picture_shares_concepts_with_the_candidates(open_page: Callable[..., View]) -> None:
    view = answered(open_page(image=PENGUIN, step="concepts"))
    view.page.locator(".as-matrix tbody tr").first.wait_for(timeout=LOADING)
    assert "encoded now by clip-vit-b16" in view.page.locator("[data-testid=stMain]").inner_text()
    assert view.page.locator(".as-matrix .as-over").count() > 3
    view.healthy()


def test_two_people_at_once_both_finish_and_keep_apart(open_page: Callable[..., View]) -> None:
    one, two = open_page(q="A penguin."), open_page("dark", q="A drawing of a rubber duck.")
    answered(one)
    answered(two)
    boxes = [view.page.get_by_role("textbox", name="Query").input_value() for view in (one, two)]
    assert boxes == ["A penguin.", "A drawing of a rubber duck."]
    firsts = [view.page.locator(".as-winner").inner_text() for view in (one, two)]
    assert firsts[0] != firsts[1]
    for view in (one, two):
        view.healthy()


def test_cancel_keeps_what_was_read(open_page: Callable[..., View]) -> None:
    view = open_page(q="something round that nobody has asked for yet", k=50)
    view.page.locator(READ).first.wait_for(timeout=LOADING)
    view.page.locator(".st-key-retrieval_cancel button").click()
    view.page.get_by_text("the others keep their coarse order").wait_for(timeout=PATIENCE)
    read = view.page.locator(READ).count()
    assert 0 < read < 50 and view.page.locator(CARDS).count() == 50
    view.healthy()


def test_a_candidate_whose_file_has_vanished_fails_alone(open_page: Callable[..., View], folder: Path) -> None:
    view = answered(open_page(q="the colour of the sea", corpus=corpora.key_of(folder), k=1), 1)
    # What was read once is kept: the file of another one has to go.
    gone = next(path for path in sorted(folder.iterdir()) if path.name not in view.page.locator(CARDS).inner_text())
    gone.unlink()
    view = answered(open_page(q="the colour of the sea", corpus=corpora.key_of(folder)), 3)
    assert view.page.locator(READ).count() == 2
    assert gone.name in view.page.locator(".as-card.as-failed").inner_text()
    view.faults = [fault for fault in view.faults if "404" not in fault]  # its picture is gone, and the browser says so
    view.healthy()
