"""Held-out activations: one split of a corpus or of a store, and clear words when there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.corpus import open_corpus
from engine.errors import InputError
from engine.evaluation.held_out import named_store, only_split


def test_one_split_of_a_corpus_is_a_corpus(image_folder: Path) -> None:
    corpus = open_corpus(image_folder)
    part = only_split(corpus, "test")
    whole = np.flatnonzero((corpus.items["split"] == "test").to_numpy())
    assert 0 < len(part) < len(corpus) and part.hash != corpus.hash
    assert part.items["id"].tolist() == corpus.items["id"].iloc[whole].tolist()
    assert [part.image_bytes(i) for i in range(len(part))] == [corpus.image_bytes(int(i)) for i in whole]


def test_a_named_store_has_the_split_or_says_which_it_has(make_store) -> None:
    made = make_store(items=24)
    store, rows = named_store(made.path, "test")
    assert set(store.items["split"].to_numpy()[rows]) == {"test"}
    with pytest.raises(InputError, match="no items of the split 'exam'; it has: train, validation, test"):
        named_store(made.path, "exam")


def test_a_store_without_splits_says_so(make_store) -> None:
    made = make_store("bare", items=8, splits=("",))
    with pytest.raises(InputError, match="no items of the split 'test'; its items belong to no split."):
        named_store(made.path, "test")
