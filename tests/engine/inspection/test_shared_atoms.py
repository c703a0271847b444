"""Shared atoms: what fires where, and what counts as shared."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from engine.atlas import Atlas
from engine.corpus import UnreadableItem
from engine.inspection.encoding import EncodedImage, Encoder, collect, sampled
from engine.inspection.shared_atoms import EncodedCandidate, atlas_item, encode_candidate, shared_atoms
from tests.synthetic_atlas import write_synthetic_atlas


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """192 atoms, 60 items; some atoms dead, one dense."""
    return Atlas.open(write_synthetic_atlas(tmp_path_factory.mktemp("atlas") / "small", 192, 60, seed=3))


def seen(peaks: dict[int, float]) -> EncodedImage:
    atoms = np.array(sorted(peaks), np.int32)
    values = np.array([peaks[int(a)] for a in atoms], np.float32)
    heat = np.zeros((len(atoms), 2, 2), np.float16)
    heat[:, 0, 0] = values
    return EncodedImage(atoms, values, heat, "live")


def test_codes_become_peaks_and_heat_on_the_patches() -> None:
    crow, col = np.array([0, 1, 3, 3, 4, 5]), np.array([7, 2, 5, 5, 2])
    found = collect(crow, col, np.array([9.0, 0.5, 0.25, 1.0, 0.125]), prefix=1, grid=(2, 2), source="live")
    assert found.atoms.tolist() == [2, 5]  # atom 7 fires on CLS only, which has no place in the picture
    peak, heat = found.of(5)
    assert peak == 1.0 and heat is not None and heat.tolist() == [[0.25, 0], [1.0, 0]]
    assert found.of(7) == (0.0, None)


def test_the_atlas_knows_its_sampled_items(shown: Atlas) -> None:
    item = int(shown.sampled_items[0])
    found = sampled(shown, item)
    assert found is not None and found.source == "atlas"
    atom = int(found.atoms[0])
    heat = shown.item_heat(item, atom)
    assert heat is not None and found.of(atom)[0] == pytest.approx(heat[shown.prefix :].max(), rel=1e-2)
    others = np.setdiff1d(np.arange(shown.n_items), shown.sampled_items)
    assert not len(others) or sampled(shown, int(others[0])) is None


def test_an_atlas_of_another_corpus_knows_none_of_its_items(shown: Atlas) -> None:
    assert atlas_item(shown, "0" * 64, 0) is None


def live_atoms(atlas: Atlas) -> list[int]:
    return [int(a) for a in atlas.atoms.index[atlas.atoms["status"] == "live"][:4]]


def test_shared_means_in_both_by_the_smaller_share(shown: Atlas) -> None:
    a, b, c, _ = live_atoms(shown)
    top = shown.atoms["max_activation"]
    query = seen({a: float(top[a]), b: float(0.5 * top[b])})
    candidates = [seen({a: float(0.2 * top[a]), c: float(top[c])}), seen({b: float(top[b])})]
    found = {one.atom: one for one in shared_atoms(shown, query, candidates)}
    assert set(found) <= {a, b} and c not in found
    rarity = np.log(shown.n_items / shown.atoms["item_count"])
    if a in found:
        assert found[a].strength == pytest.approx(0.2 * rarity[a], rel=1e-3) and found[a].count == 1


def test_without_a_query_picture_two_candidates_must_share(shown: Atlas) -> None:
    a, b, _, _ = live_atoms(shown)
    top = shown.atoms["max_activation"]
    one, two = seen({a: float(top[a]), b: float(top[b])}), seen({a: float(top[a])})
    assert [s.atom for s in shared_atoms(shown, None, [one, two])] in ([a], [])
    assert shared_atoms(shown, None, []) == []


def test_dense_atoms_say_nothing(shown: Atlas) -> None:
    dense = [int(a) for a in shown.atoms.index[shown.atoms["status"] == "dense"][:1]]
    assert dense, "the synthetic atlas has a dense atom"
    peak = {dense[0]: float(shown.atoms["max_activation"][dense[0]])}
    assert shared_atoms(shown, seen(peak), [seen(peak)]) == []


def test_a_picture_that_cannot_be_read_is_a_sentence(shown: Atlas) -> None:
    def vanished() -> Image.Image:
        raise UnreadableItem("a.png is missing.")

    class Blind(Encoder):
        def __init__(self) -> None:
            pass

    assert encode_candidate(Blind, shown, 3, None, vanished) == EncodedCandidate(3, None, "a.png is missing.")


def test_sampled_items_need_no_model(shown: Atlas) -> None:
    def models() -> Encoder:
        raise AssertionError("the atlas has the codes")

    item = int(shown.sampled_items[0])
    assert encode_candidate(models, shown, 0, item, lambda: Image.new("RGB", (8, 8))).encoded is not None
