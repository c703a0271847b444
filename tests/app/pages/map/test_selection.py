"""What a selection shares: counts against a plain recount, the statistic against its definition."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pandas as pd
import pytest

from app.atlas_ui import exports
from app.pages.map import selection
from engine.atlas import Atlas


@pytest.fixture
def chosen(shown: Atlas) -> np.ndarray:
    """The atoms of one cluster."""
    return np.flatnonzero(shown.atoms["cluster"].to_numpy() == shown.atoms["cluster"].max())


def test_table_has_one_row_an_atom_most_frequent_first(shown: Atlas, chosen: np.ndarray) -> None:
    table = selection.selection_table(shown, chosen)
    assert sorted(table["atom"]) == chosen.tolist()
    assert (np.diff(table["firing_count"]) <= 0).all()
    assert table["cluster_label"].nunique() == 1


def test_shared_words_are_counted_right(shown: Atlas) -> None:
    atoms = np.flatnonzero(shown.atoms["label"].str.contains("red").to_numpy())
    shared = selection.shared_words(shown, atoms).set_index("word")
    assert "red" in shared.index
    row = shared.loc["red"]
    alive = shown.atoms["status"] != "dead"
    texts = [
        {*label.split(), *top.split(), *" ".join(more).split()}
        for label, top, more in zip(
            shown.atoms["label"], shown.atoms["top_label"], shown.atoms["label_candidates"], strict=True
        )
    ]
    carries = np.array(["red" in words for words in texts])
    inside = np.isin(np.arange(shown.n_atoms), atoms) & alive
    assert row["atoms"] == (carries & inside).sum()
    assert row["share"] == pytest.approx((carries & inside).sum() / inside.sum())
    assert row["share_all"] == pytest.approx((carries & alive).sum() / alive.sum())
    assert (shared["lift"] > 1).all() and (np.diff(shared["g2"]) <= 1e-9).all()


def test_g2_by_its_definition() -> None:
    k, total, n_in, n_all = 30, 50, 40, 200
    observed = [[30, 20], [10, 140]]
    g2 = sum(
        2 * o * math.log(o * n_all / (sum(observed[i]) * (observed[0][j] + observed[1][j])))
        for i, pair in enumerate(observed)
        for j, o in enumerate(pair)
    )
    assert selection._g2(np.array([k], float), np.array([total], float), n_in, n_all)[0] == pytest.approx(g2)


def test_independent_words_are_chance(shown: Atlas) -> None:
    everything = np.arange(shown.n_atoms)
    assert selection.shared_words(shown, everything).empty
    assert selection.shared_words(shown, everything[:0]).empty


def test_union_puts_shared_items_first(shown: Atlas, chosen: np.ndarray) -> None:
    union = selection.exemplar_union(shown, chosen)
    assert union["item"].is_unique
    assert (np.diff(union["atoms"]) <= 0).all()
    tops = {int(atom): shown.exemplars(int(atom), "top").set_index("rank")["item"] for atom in chosen}
    for row in union.itertuples():
        assert tops[row.atom][row.rank] == row.item
        assert sum(row.item in set(items) for items in tops.values()) == row.atoms


def test_csv_and_provenance(shown: Atlas, chosen: np.ndarray) -> None:
    table = pd.read_csv(io.BytesIO(selection.selection_csv(shown, chosen)))
    assert sorted(table["atom"]) == chosen.tolist()
    assert {"x", "y", "label_candidates"} <= set(table.columns)
    document = json.loads(exports.view_provenance(shown, {"color": "frequency"}, chosen))
    assert document["selection"] == chosen.tolist()
    assert document["atlas"]["key"] == shown.key
