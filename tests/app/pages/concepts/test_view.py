"""One atom as it is drawn."""

from __future__ import annotations

import pytest

from app.pages.concepts import view as concept_view
from app.pages.concepts.view import ViewOptions
from app.ui import browser
from engine.atlas import Atlas, search, top_exemplars


def test_a_live_atom_shows_examples_weak_ones_figures_and_neighbours(linked: Atlas) -> None:
    atom = int(linked.atoms["item_count"][linked.atoms["status"] == "live"].idxmax())
    markup = concept_view.body(linked, atom, ViewOptions(top=8))
    shown = linked.exemplars(atom, "top").head(8)
    for row in shown.itertuples():
        assert f"/atomscope/thumb/{linked.key}/{row.item}.webp" in markup
        assert f"/atomscope/heat/{linked.key}/{atom}/top-{row.rank}.png" in markup
    weak = linked.exemplars(atom, "quantile")["rank"]
    assert len(weak) > 4  # half as many as strong ones are shown, from the first band to the last
    assert f"quantile-{weak.iloc[0]}.png" in markup and f"quantile-{weak.iloc[-1]}.png" in markup
    assert markup.count("as-peak") == len(shown) + 4
    for part in (
        "Fires most",
        "Fires weaker",
        "monosemanticity",
        "Nearest by decoder",
        "Fires together with",
        "provenance.json",
    ):
        assert part in markup


def test_a_dead_atom_says_so(linked: Atlas) -> None:
    markup = concept_view.body(linked, first(linked, "dead"), ViewOptions())
    assert "fires on no token" in markup and "<img" not in markup


def test_a_dense_atom_warns(linked: Atlas) -> None:
    assert "Dense: it fires on more than a tenth" in concept_view.body(linked, first(linked, "dense"), ViewOptions())


@pytest.mark.parametrize(
    ("options", "absent"), [(ViewOptions(heat="off"), "/heat/"), (ViewOptions(outline=False), "as-peak")]
)
def test_layers_can_be_taken_away(linked: Atlas, options: ViewOptions, absent: str) -> None:
    markup = concept_view.body(linked, first(linked, "live"), options)
    assert absent not in markup and "/thumb/" in markup


def test_heat_can_be_scaled_by_the_picture(linked: Atlas) -> None:
    assert "top-0.png?scale=picture" in concept_view.body(linked, first(linked, "live"), ViewOptions(heat="picture"))


def test_a_step_stays_small(linked: Atlas) -> None:
    sizes = [len(browser.pack(concept_view.body(linked, atom, ViewOptions()))) for atom in range(0, linked.n_atoms, 7)]
    assert max(sizes) < 8_000, f"the largest step is {max(sizes):,} bytes"


def test_hostile_labels_and_captions_are_text(linked: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "</span><script>alert(1)</script>"
    atoms, items = linked.atoms.copy(), linked.items.copy()
    atoms["label"], items["caption"] = hostile, hostile
    monkeypatch.setitem(linked.__dict__, "atoms", atoms)
    monkeypatch.setitem(linked.__dict__, "items", items)
    markup = concept_view.body(linked, first(linked, "live"), ViewOptions())
    assert "<script" not in markup and "&lt;script&gt;" in markup


def test_results(linked: Atlas) -> None:
    found = search.find_atoms(linked, "blue")
    assert f"{len(found)} atoms match" in concept_view.results(linked, "blue", found)
    assert "No atom matches “&lt;b&gt;”" in concept_view.results(linked, "<b>", [])


def test_prefetch_names_pictures_of_the_next_atoms(linked: Atlas) -> None:
    atom = first(linked, "live")
    item = int(top_exemplars.top_items(linked)[atom][0])
    urls = concept_view.prefetch(linked, [atom], ViewOptions())
    assert f"/atomscope/thumb/{linked.key}/{item}.webp" in urls
    assert not any("heat" in url for url in concept_view.prefetch(linked, [atom], ViewOptions(heat="off")))


def first(atlas: Atlas, status: str) -> int:
    """The first atom of a status."""
    return int(atlas.atoms.index[atlas.atoms["status"] == status][0])
