"""What a person reads on the steps: every figure, every warning, nothing a caption could break."""

from __future__ import annotations

import pandas as pd
import pytest

from app.pages.retrieval.request import STEPS, Request
from app.pages.retrieval.scene import Scene
from app.pages.retrieval.steps import cards, charts
from app.pages.retrieval.steps import drawing as steps
from app.pages.retrieval.steps.enhancement import enhance
from app.pages.retrieval.view import view_of
from engine.retrieval.search.events import (
    CandidateScored,
    Done,
    FineRecord,
    FineSkipped,
    Started,
    StoppedEarly,
)

ATTACK = "<img src=x onerror=alert(1)> 'quoted'"


@pytest.fixture
def scene() -> Scene:
    captions = [f"caption {row}" for row in range(30)]
    captions[11] = ATTACK
    items = pd.DataFrame({"id": [f"a/{r}" for r in range(30)], "caption": captions, "kind": ["image"] * 30})
    return Scene("0" * 12, items, Request(text="x", k=3), 11, "")


def test_cards_tell_everything_about_a_reading(stream, scene: Scene) -> None:
    html = cards.cards(scene, view_of(stream([0.5, 2.0, None])))
    for words in (
        "+2.00",
        "P(True)",
        "entropy",
        "label mass",
        "210 ms",
        "cache: image",
        "animals/1.png is missing.",
        "failed",
    ):
        assert words in html
    assert html.index("+2.00") < html.index("+0.50") and "the answer" in html
    assert "<img src=x" not in html and "&lt;img src=x" in html


def test_cards_wait_in_coarse_order(stream, scene: Scene) -> None:
    html = cards.cards(scene, view_of(stream([0.5, 2.0, 1.0])[:4]))
    assert html.count("as-wait'") == 1 and html.index("+0.50") < html.index("+2.00")


def test_low_mass_and_an_unread_answer_warn(stream, scene: Scene) -> None:
    assert "Label mass below 50%" in cards.cards(scene, view_of(stream([1.0], mass=0.1)))
    events = stream([1.0])
    record = events[2].record
    odd = FineRecord(record.entry, 0.0, "generated", text="maybe <b>", parsed=False)
    html = cards.cards(scene, view_of([*events[:2], CandidateScored(odd), Done([10], [odd], {})]))
    assert "could not be read as a score" in html and "maybe &lt;b&gt;" in html


def test_the_ceiling_says_when_the_answer_is_out_of_reach(stream, scene: Scene) -> None:
    inside = cards.ceiling(scene, view_of(stream([1.0, 2.0, 3.0], answer_rank=2)))
    outside = cards.ceiling(scene, view_of(stream([1.0, 2.0, 3.0], answer_rank=17)))
    assert "in the pool" in inside and "no fine score can bring it back" not in inside
    assert "A pool of 17 would hold it" in outside
    assert "recall ceiling" not in cards.ceiling(scene, view_of(stream([1.0, 2.0, 3.0])))


def test_a_gallery_smaller_than_the_pool_is_told(stream, scene: Scene) -> None:
    html = cards.ceiling(scene, view_of(stream([1.0], gallery=1)))
    assert "You asked for a pool of 3; the gallery has 1" in html


def test_the_tie_panel_shows_both_orders_and_a_confident_false(stream, scene: Scene) -> None:
    view = view_of(stream([2.0, 2.0, 1.0], entropies=[0.4, 0.1, 0.1]))
    html = cards.tie(scene, view)
    assert (
        html is not None and "By coarse rank" in html and "By lowest entropy" in html and "changed who is first" in html
    )
    assert cards.tie(scene, view_of(stream([3.0, 2.0]))) is None


def test_rules_that_acted_are_told(stream, scene: Scene) -> None:
    events = stream([1.0, 2.0, 3.0])
    skipped = [*events[:2], FineSkipped("The first leads by 0.2."), Done([10, 11, 12], [], {})]
    html = steps.fine(scene, view_of(skipped))
    assert "The first leads by 0.2." in html and html.count("not read") == 3
    stopped = [*events[:4], StoppedEarly("The best leads by 5."), Done([11, 10, 12], [], {})]
    assert "The best leads by 5." in steps.fine(scene, view_of(stopped))
    cancelled = [*events[:3], Done([10, 11, 12], [], {}, cancelled=True)]
    assert "Cancelled after 1 of 3" in steps.fine(scene, view_of(cancelled))


def test_enhancement_shows_off_and_on(stream, scene: Scene) -> None:
    from dataclasses import replace

    events = stream([1.0, 2.0])
    both = [CandidateScored(replace(e.record, fired_layer=1, score=e.record.score + 1), e.record) for e in events[2:4]]
    on = Scene(scene.content, scene.items, Request(text="x", enhance="paper"), None, "")
    view = view_of([*events[:2], *both, Done([11, 10], [], {})])
    html = enhance(on, view, None)
    assert "it fired for 2 of 2 candidates" in html and "+1.00" in html and "fired after layer 2" in html
    assert "Choose a preset" in enhance(scene, view_of(events), None)


def test_a_prompt_is_shown_as_it_is(stream, scene: Scene) -> None:
    html = steps.prompt(scene, view_of(stream([1.0, 2.0])), 10)
    assert "&lt;image x 49&gt;Does it match? &lt;script&gt;" in html and "61 tokens" in html and "⏎&lt;b&gt;" in html


def test_every_chart_has_a_name_and_its_numbers(stream, scene: Scene) -> None:
    view = view_of(stream([1.0, 2.0, None], answer_rank=1))
    assert view.pool is not None
    drawn = [charts.cosines(view.pool), charts.slope(scene, view), steps.pool_size(scene, view)]
    drawn.append(charts.layers(view.rows[0].record, None, None, 0, 0))
    for html in drawn:
        assert "aria-label='" in html and "<summary>Table</summary>" in html and ATTACK not in html


def test_charts_bear_one_candidate_and_fifty(stream, scene: Scene) -> None:
    for scores, gallery in (([1.0], 1), ([float(i % 7) for i in range(20)], 2000)):
        view = view_of(stream(scores, gallery=gallery))
        assert view.pool is not None
        assert "as-slope" in charts.slope(scene, view) and "<svg" in charts.cosines(view.pool)
        assert "nan" not in charts.cosines(view.pool)


def test_steps_wait_until_they_have_something(stream) -> None:
    html = steps.stepper("fine", view_of(stream([1.0])[:2]))
    assert html.count("as-later") == len(STEPS) - 2 and html.count("aria-current='step'") == 1
    assert "as-later" not in steps.stepper("fine", view_of(stream([1.0])))


def test_the_models_are_always_named(stream) -> None:
    view = view_of(stream([1.0]))
    assert "read by <b>Demo</b>: small" in steps.models(view, "Demo", "")
    events = stream([1.0])
    alone = [Started({"embedder": {"name": "e"}, "mllm": None, "corpus": {"name": "c"}}, {}), events[1]]
    html = steps.models(view_of([*alone, FineSkipped("There is none."), Done([10], [], {})]), "Demo", "a note")
    assert "read by no model" in html and "Demo" not in html
