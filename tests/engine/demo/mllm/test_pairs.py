"""Groups of hard negatives, forms of a caption, other views of a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from engine.demo.mllm.pairs import groups, phrase
from engine.demo.mllm.views import augmented


def test_groups_hold_every_item_at_most_once_and_near_ones_together() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(6), 4)
    near = (cluster[:, None] == cluster[None, :]).astype(np.float32)
    found = groups(near, 4, 0.01, rng)
    assert sorted(np.concatenate(found).tolist()) == list(range(24))
    assert all(len(set(cluster[members])) == 1 for members in found)
    noisy = groups(near, 4, 50.0, rng)
    assert any(len(set(cluster[members])) > 1 for members in noisy)
    assert len(groups(near[:7, :7], 4, 0.1, rng)) == 1


def test_phrase_gives_each_form_a_person_may_write() -> None:
    rng = np.random.default_rng(1)
    forms = {phrase("A drawing of a red apple.", ["red", "apple"], rng) for _ in range(200)}
    assert {"A drawing of a red apple.", "A red apple.", "a red apple", "red", "red apple"} == forms
    assert phrase("A sun.", [], np.random.default_rng(0))


def test_views_are_repeatable_and_keep_size() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (224, 224, 3), dtype=np.uint8))
    one, same, other = (np.asarray(augmented(image, np.random.default_rng(seed))) for seed in (5, 5, 6))
    assert one.shape == (224, 224, 3)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
