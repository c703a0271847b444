"""Pictures and the captions that belong to them: what a benchmark asks, and what counts as a right answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.corpus import Corpus
from engine.errors import InputError


@dataclass(frozen=True)
class PairSet:
    """A corpus of pictures with one caption or several of each.

    Attributes
    ----------
    corpus : Corpus
        The pictures.
    split : str
        The part of it that is the gallery; "" all.
    captions : list of str
        The gallery of texts, C of them.
    owners : int64 [C]
        The corpus row of each caption's picture.
    own : bool
        Whether the captions are the corpus's own, one a picture (their embeddings may be known then).
    """

    corpus: Corpus
    split: str
    captions: list[str]
    owners: NDArray[np.int64]
    own: bool = True

    @cached_property
    def pictures(self) -> NDArray[np.int64]:
        """The gallery of pictures: corpus rows that have a caption, ascending, int64 [G]."""
        return np.unique(self.owners)

    @cached_property
    def meaning(self) -> NDArray[np.int64]:
        """A number for each caption's words: captions that are the same, capitals aside, share one. int64 [C]"""
        _, numbers = np.unique([caption.casefold().strip() for caption in self.captions], return_inverse=True)
        return numbers.astype(np.int64)

    def right_pictures(self, caption: int) -> set[int]:
        """Corpus rows that answer a caption: its own picture, and those that carry the same words."""
        return set(self.owners[self.meaning == self.meaning[caption]].tolist())

    def right_captions(self, picture: int) -> set[int]:
        """Captions that answer a picture: its own, and those with the same words as one of them."""
        meant = np.unique(self.meaning[self.owners == picture])
        return set(np.flatnonzero(np.isin(self.meaning, meant)).tolist())


def from_corpus(corpus: Corpus, split: str = "") -> PairSet:
    """The captioned pictures of one split, with all of their captions.

    Raises
    ------
    InputError
        If there are fewer than two.
    """
    items = corpus.items
    kept = (items["kind"] == "image") & (items["caption"] != "")
    if split:
        if split not in corpus.splits:
            known = ", ".join(name for name in corpus.splits if name) or "none"
            raise InputError(f"{corpus.name} has no split {split!r}; its splits: {known}.")
        kept &= items["split"] == split
    rows = np.flatnonzero(kept.to_numpy()).astype(np.int64)
    if len(rows) < 2:
        raise InputError(
            f"{corpus.name} has {len(rows)} captioned pictures{f' in the split {split!r}' if split else ''}: a benchmark "
            "needs at least two. Captions come from captions.csv in the folder, or with the data set."
        )
    captions = [corpus.captions(int(row)) for row in rows]
    owners = np.repeat(rows, [len(said) for said in captions])
    said = [caption for several in captions for caption in several]
    return PairSet(corpus, split, said, owners, own=len(said) == len(rows))


def evenly_spaced(count: int, wanted: int | None) -> Sequence[int]:
    """``wanted`` of ``count`` places, evenly spread; all of them for None."""
    if wanted is None or wanted >= count:
        return range(count)
    return [number * count // wanted for number in range(wanted)]
