"""Overview and Dictionary map as scripts: what the URL asks for reaches the map, and what it sends stays small."""

from __future__ import annotations

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.components.atom_map.ids import encode_ids
from engine.atlas import Atlas


def _map() -> None:
    from app.pages.map import page as dictionary_map

    dictionary_map.page()


def _overview() -> None:
    from app.pages.overview import page as overview

    overview.page()


def run(page: object, **query: str) -> AppTest:
    test = AppTest.from_function(page, default_timeout=30)  # type: ignore[arg-type]
    for name, value in query.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception, test.exception
    return test


def sent(test: AppTest) -> dict[str, object]:
    """What the map component was given."""
    (element,) = [e for e in test.get("bidi_component") if e.proto.component_name == "atomscope_atom_map"]
    assert len(element.proto.SerializeToString()) < 4000
    data: dict[str, object] = json.loads(element.proto.json)
    return data


def test_the_link_reaches_the_map(shown: Atlas) -> None:
    selection = encode_ids(np.arange(5, 25))
    test = run(_map, color="monosemanticity", hide="rare,dead", find="red", sel=selection, atom="7")
    data = sent(test)
    assert data["color"]["column"] == "monosemanticity"  # type: ignore[index]
    assert data["filter"] == "hide=rare%2Cdead"
    assert (data["query"], data["selection"], data["focus"]) == ("red", selection, 7)
    assert not test.info
    assert len(test.dataframe) == 1
    assert len(test.dataframe[0].value) == 20


def test_without_a_selection_there_is_no_table(shown: Atlas) -> None:
    test = run(_map)
    assert not test.dataframe
    assert sent(test)["focus"] is None


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"color": "rainbow"}, "colour"),
        ({"hide": "all"}, "status"),
        ({"range": "frequency:x:y"}, "range"),
        ({"sel": "%%%"}, "selection"),
        ({"atom": "100000"}, "atom"),
    ],
)
def test_bad_values_are_named_in_a_notice(shown: Atlas, query: dict[str, str], word: str) -> None:
    test = run(_map, **query)
    assert word in test.info[0].value
    assert not test.error


def test_widgets_write_the_link(shown: Atlas) -> None:
    test = run(_map)
    test.selectbox(key="map_color").set_value("cluster").run()
    assert test.query_params["color"] in ("cluster", ["cluster"])
    assert sent(test)["color"]["kind"] == "categorical"  # type: ignore[index]
    test.text_input(key="map_find").set_value("  blue ").run()
    assert test.query_params["find"] in ("blue", ["blue"])
    test.selectbox(key="map_range_column").set_value("frequency").run()
    assert sent(test)["filter"] == "range=frequency%3A%3A"
    (slider,) = test.select_slider
    slider.set_value(tuple(float(stop) for stop in slider.options[10:12])).run()
    assert str(sent(test)["filter"]).count("%3A") == 2


def test_an_atlas_without_a_layout_says_which_command_makes_one(shown: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    blank = shown.atoms.assign(x=np.float32(np.nan), y=np.float32(np.nan))
    monkeypatch.setattr(shown, "atoms", blank)
    test = run(_map)
    assert "atomscope atlas" in test.code[0].value
    assert not [e for e in test.get("bidi_component") if e.proto.component_name == "atomscope_atom_map"]


def test_overview_draws_and_sends_little(shown: Atlas) -> None:
    data = sent(run(_overview))
    axes = data["axes"]
    assert [axis["column"] for axis in axes] == ["frequency", "mean_activation"]  # type: ignore[attr-defined, index]
    assert all(axis["log"] for axis in axes)  # type: ignore[attr-defined, index]
