"""Atlases of texts: the token table, and what stands at and around a token."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.atlas.format.schema import arrow_schema
from engine.atlas.format.tables import TEXT_LEVEL, lists, make_table, parquet_options
from engine.atlas.format.writer import ITEMS_PER_GROUP
from engine.words import goes_on, has_word

if TYPE_CHECKING:
    from engine.activations import ActivationStore

AROUND = 60
"""Characters of context on each side of a token whose words may name an atom."""


def write_tokens(folder: Path, store: ActivationStore) -> None:
    """Write ``tokens.parquet`` from the token ids and starts of a store of texts."""
    ids, starts = store.token_ids, store.token_starts
    assert ids is not None and starts is not None
    schema = arrow_schema("tokens.parquet")
    # Starts rise by the length of a word, so that each difference fits into a byte.
    rising = {"use_dictionary": ["ids.list.element"], "column_encoding": {"starts.list.element": "DELTA_BINARY_PACKED"}}
    options = parquet_options(schema, TEXT_LEVEL) | rising
    with pq.ParquetWriter(folder / "tokens.parquet", schema, **options) as writer:
        for first in range(0, max(len(ids), 1), ITEMS_PER_GROUP):
            rows = slice(first, min(first + ITEMS_PER_GROUP, len(ids)))
            offsets = np.arange(rows.stop - first + 1) * ids.shape[1]
            columns = {
                "item": np.arange(first, rows.stop),
                "ids": lists(offsets, np.asarray(ids[rows]).reshape(-1), pa.int32()),
                "starts": lists(offsets, np.asarray(starts[rows]).reshape(-1), pa.int32()),
            }
            writer.write_table(make_table("tokens.parquet", columns))


@dataclass(frozen=True)
class Snippets:
    """What stands at and around the tokens of a text corpus.

    Attributes
    ----------
    captions : list of str
        Text of every item.
    starts : int [n_items, P]
        Where each token begins in it, characters.
    separator : str
        What the token between two texts looks like, "" when unknown.
    """

    captions: list[str]
    starts: NDArray[np.int32]
    separator: str

    def span(self, item: int, position: int) -> tuple[int, int]:
        """First character of a token and the one after its last."""
        starts = self.starts[item]
        end = int(starts[position + 1]) if position + 1 < len(starts) else len(self.captions[item])
        return int(starts[position]), end

    def text_bounds(self, item: int, first: int, last: int) -> tuple[int, int]:
        """The characters of the one text inside the chunk that holds ``first`` to ``last``."""
        caption = self.captions[item]
        if not self.separator:
            return 0, len(caption)
        before = caption.rfind(self.separator, 0, first)
        after = caption.find(self.separator, last)
        return (0 if before < 0 else before + len(self.separator)), (len(caption) if after < 0 else after)

    def word(self, item: int, position: int) -> str:
        """The whole word a token is part of, lower case; punctuation as it is; "end of text" for the separator."""
        first, last = self.span(item, position)
        caption = self.captions[item]
        piece = caption[first:last]
        if self.separator and piece == self.separator:
            return "end of text"
        if not has_word(piece):
            return piece.strip() or "space"
        first += len(piece) - len(piece.lstrip())
        last -= len(piece) - len(piece.rstrip())
        while first > 0 and goes_on(caption[first - 1]):
            first -= 1
        while last < len(caption) and goes_on(caption[last]):
            last += 1
        return unicodedata.normalize("NFC", caption[first:last].lower())

    def window(self, item: int, position: int) -> str:
        """The words around a token, at most ``AROUND`` characters each way and inside its own text."""
        first, last = self.span(item, position)
        low, high = self.text_bounds(item, first, last)
        left, right = max(low, first - AROUND), min(high, last + AROUND)
        caption = self.captions[item]
        if left > low:  # whole words only
            left = min(first, caption.find(" ", left) % (len(caption) + 1))
        if right < high:
            right = max(last, caption.rfind(" ", 0, right))
        words = caption[left:right]  # of the separator itself: the end of the text before it
        return words.replace(self.separator, " ").strip() if self.separator else words


def snippets_of(items: pd.DataFrame, starts: NDArray[np.int32], backbone: dict[str, object]) -> Snippets:
    """The snippets of a store's or an atlas's items."""
    preprocessing = backbone.get("preprocessing")
    separator = preprocessing.get("separator") if isinstance(preprocessing, dict) else None
    token = str(separator.get("token", "")) if isinstance(separator, dict) else ""
    return Snippets([str(caption) for caption in items["caption"]], starts, token)
