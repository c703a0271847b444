"""The pictures of an atlas: thumbnails in shards, or the corpus that lies beside it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.atlas.format.header import Header, corpus_folder
from engine.atlas.format.reading import GroupedTable, damaged_file, open_parquet
from engine.atlas.format.schema import THUMBS_PER_GROUP

if TYPE_CHECKING:
    from engine.corpus import Corpus


class PictureReader:
    """Reads single pictures; nothing is opened before the first one."""

    def __init__(self, header: Header) -> None:
        self._header = header

    def thumbnail(self, item: int) -> bytes:
        """The thumbnail of an item, WebP; empty when it has none."""
        shard = int(np.searchsorted(self._starts, item, side="right")) - 1
        place = item - int(self._starts[shard])
        rows = self._shards[shard].group(place // THUMBS_PER_GROUP)
        return bytes(rows.column("webp").to_pylist()[place % THUMBS_PER_GROUP] or b"")

    def from_corpus(self, row: int) -> bytes:
        """The picture in one row of the corpus beside the atlas, as it is stored there."""
        return self._corpus.image_bytes(row)

    @cached_property
    def _shards(self) -> list[GroupedTable]:
        paths = sorted((self._header.path / "thumbs").glob("*.parquet"))
        return [GroupedTable(path, keep=16, columns=["webp"]) for path in paths]

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """First item of each shard."""
        counts = [open_parquet(shard.path).metadata.num_rows for shard in self._shards]
        n_items = self._header.n_items
        if sum(counts) != n_items:
            raise damaged_file(self._header.path / "thumbs", f"it holds {sum(counts)} pictures for {n_items} items")
        return np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)

    @cached_property
    def _corpus(self) -> Corpus:
        from engine.corpus import open_corpus

        return open_corpus(corpus_folder(self._header.path, self._header.meta))
