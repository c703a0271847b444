"""The figures of the Activation counts page, recomputed from the arrays."""

from __future__ import annotations

import numpy as np

from app.pages.counts import figures as counts
from engine.atlas import Atlas


def test_the_summary_is_over_patches_and_leaves_cls_out(shown: Atlas) -> None:
    patches = shown.support[:, shown.prefix :].astype(float)
    summary = counts.summary(shown)
    assert summary.mean == patches.mean()
    assert summary.largest == patches.max()
    assert summary.single == (patches == 1).mean()
    assert summary.cls == shown.support[:, 0].mean()


def test_the_histogram_of_sizes_holds_every_patch(shown: Atlas) -> None:
    for most in (5, 60):
        edges, sizes = counts.size_histogram(shown, most)
        assert sizes.sum() == shown.support[:, shown.prefix :].size
        assert len(edges) == len(sizes) + 1 and len(sizes) <= most
        inside = shown.support[:, shown.prefix :]
        assert sizes[0] == ((inside >= edges[0]) & (inside < edges[1])).sum()


def test_picks_are_sorted_by_complexity_and_filtered_by_class(shown: Atlas) -> None:
    values = counts.complexity(shown)
    most, least = counts.pick(shown, "most"), counts.pick(shown, "least")
    assert (np.diff(values[most]) <= 0).all() and (np.diff(values[least]) >= 0).all()
    assert sorted(most) == sorted(counts.pick(shown, "random")) == list(range(shown.n_items))
    assert counts.pick(shown, "sampled").tolist() == shown.sampled_items.tolist()
    label = counts.classes(shown)[0]
    chosen = counts.pick(shown, "most", label)
    assert set(shown.items["label"].iloc[chosen]) == {label}
    assert len(chosen) == (shown.items["label"] == label).sum()


def test_firing_bins_hold_every_atom_that_fires(shown: Atlas) -> None:
    fired = shown.atoms["firing_count"].to_numpy()
    firing = counts.firing(shown)
    assert firing.atoms.sum() == (fired > 0).sum()
    assert ((firing.bin == -1) == (fired == 0)).all()
    for atom in np.flatnonzero(fired):
        b = firing.bin[atom]
        assert firing.edges[b] <= fired[atom] < firing.edges[b + 1]


def test_classes_are_spreads_of_their_members(shown: Atlas) -> None:
    for spread in counts.by_class(shown):
        members = counts.complexity(shown)[(shown.items["label"] == spread.name).to_numpy()]
        assert spread.n == len(members) >= counts.FEW
        assert spread.median == np.median(members)
    medians = [spread.median for spread in counts.by_class(shown)]
    assert medians == sorted(medians, reverse=True)


def test_the_busiest_atoms_share(shown: Atlas) -> None:
    fired = np.sort(shown.atoms["firing_count"].to_numpy(float))[::-1]
    assert counts.share_of_busiest(shown, 0.5) == fired[: shown.n_atoms // 2].sum() / fired.sum()
    assert 0 <= counts.rank_of(shown, 0) <= 1
