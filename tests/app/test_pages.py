"""The pages as scripts: what the URL does, what a bad URL does, what is shown when nothing can be shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import app
from app.opened import atlases
from app.ui import browser
from engine.atlas import Atlas

SCRIPT = Path(app.__file__).parent / "entry" / "dashboard.py"


def _concepts() -> None:
    from app.pages.concepts import page as concepts

    concepts.page()


def _counts() -> None:
    from app.pages.counts import page as activation_counts

    activation_counts.page()


def _run(page: object, **query: str) -> AppTest:
    test = AppTest.from_function(page, default_timeout=30)  # type: ignore[arg-type]
    for name, value in query.items():
        test.query_params[name] = value
    return test.run()


def _html(test: AppTest) -> str:
    assert not test.exception, test.exception
    return "".join(browser.unpack(element.proto.bytes)["html"] for element in test.get("bidi_component"))


def _query(test: AppTest, name: str) -> str:
    """One parameter of the URL (given ones are lists, written ones are strings)."""
    value = test.query_params[name]
    return value if isinstance(value, str) else value[0]


def test_the_frame_draws_and_names_the_atlas(shown: Atlas) -> None:
    test = AppTest.from_file(str(SCRIPT), default_timeout=30).run()
    assert not test.exception
    (card,) = test.sidebar.get("bidi_component")
    assert shown.title in browser.unpack(card.proto.bytes)["html"]


def test_without_an_atlas_the_page_says_which_command_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(atlases.VARIABLE, str(tmp_path / "nothing"))
    atlases.forget()
    test = AppTest.from_file(str(SCRIPT), default_timeout=30).run()
    assert not test.exception
    commands = [code.value for code in test.code]
    assert any(command.startswith("atomscope validate") for command in commands)
    assert any("atomscope extract" in command for command in commands)
    atlases.forget()


def test_a_deep_link_opens_its_atom(shown: Atlas) -> None:
    assert "atom 17<" in _html(_run(_concepts, atom="17"))


@pytest.mark.parametrize("bad", ["99999", "-1", "1e2", "١٢", "<script>", "../../etc/passwd", "", "7 ", "9" * 400])
def test_a_bad_atom_falls_back_with_a_notice(shown: Atlas, bad: str) -> None:
    test = _run(_concepts, atom=bad)
    first = int(shown.atoms.index[shown.atoms["status"] != "dead"][0])
    assert f"atom {first}<" in _html(test)
    assert len(test.info) == 1 and "There is no atom" in test.info[0].value
    assert "atom" not in test.query_params


def test_a_bad_atlas_falls_back_with_a_notice(shown: Atlas) -> None:
    test = _run(_concepts, atlas="../../etc")
    assert "No atlas with the id" in test.info[0].value


def test_next_previous_and_random_write_the_url(shown: Atlas) -> None:
    test = _run(_concepts, atom="17")
    test.button(key="concepts_next").click().run()
    after = int(_query(test, "atom"))
    assert after > 17 and f"atom {after}<" in _html(test)
    test.button(key="concepts_previous").click().run()
    assert _query(test, "atom") == "17"
    test.button(key="concepts_random").click().run()
    assert shown.atoms["status"].iloc[int(_query(test, "atom"))] == "live"


def test_the_search_box_opens_an_id_and_lists_words(shown: Atlas) -> None:
    test = _run(_concepts)
    test.text_input(key="concepts_q").set_value("31").run()
    assert _query(test, "atom") == "31" and test.text_input(key="concepts_q").value == ""
    test.text_input(key="concepts_q").set_value("blue").run()
    assert "atoms match" in _html(test)
    test.text_input(key="concepts_q").set_value("123456789").run()
    assert "There is no atom 123456789" in test.info[0].value


def test_view_options_come_from_the_url(shown: Atlas) -> None:
    html = _html(_run(_concepts, atom="17", concepts_heat="Off", concepts_peak="false"))
    assert "/heat/" not in html and "as-peak" not in html


def test_counts_open_a_patch_from_the_url(shown: Atlas) -> None:
    item = int(shown.sampled_items[1])
    html = _html(_run(_counts, item=str(item), position="30"))
    assert "row 3, column 2" in html and f"/support/{shown.key}/{item}.json" in html


def test_counts_fall_back_from_a_bad_item_and_position(shown: Atlas) -> None:
    test = _run(_counts, item="x", position="9999")
    assert not test.exception and len(test.info) == 2


def test_the_half_per_atom_lists_atoms_of_a_bin(shown: Atlas) -> None:
    from app.pages.counts import figures as counts

    firing = counts.firing(shown)
    bin_ = int(firing.atoms.argmax())
    test = _run(_counts, counts_half="Firing count per atom", counts_bin=str(bin_))
    assert not test.exception
    assert sorted(test.dataframe[0].value["atom"]) == sorted((firing.bin == bin_).nonzero()[0])
    test.button(key="counts_clear").click().run()
    assert "counts_bin" not in test.query_params and len(test.dataframe[0].value) == shown.n_atoms


def test_the_panel_can_be_closed(shown: Atlas) -> None:
    test = _run(_concepts)
    test.button(key="concepts_got_it").click().run()
    assert not [b for b in test.button if b.key == "concepts_got_it"]
