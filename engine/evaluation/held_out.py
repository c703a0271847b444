"""The held-out activations of an atlas: found, or extracted on demand and kept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.files import read_json
from engine.paths import cache_dir
from engine.progress import Progress

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.atlas import Atlas
    from engine.backbones.language import PackedTexts
    from engine.corpus import Corpus

# Folders below the cache in which a store may lie: cache/acts, cache/stores/demo, ...
_DEPTHS = ("*", "*/*", "*/*/*")


def held_out_store(
    atlas: Atlas, split: str, acts: Path | None, device: str, progress: Progress
) -> tuple[ActivationStore, NDArray[np.int64]]:
    """The activations of one split of the atlas's corpus, and their item rows.

    In this order: the store named by ``acts``; the store the atlas was built from, where the cache still has it; a store of
    just that split, extracted now with the atlas's backbone into the cache (a stopped extraction goes on).

    Raises
    ------
    InputError
        If the corpus has no such split, is not there or has changed.
    """
    if acts is not None:
        return named_store(acts, split)
    splits = atlas.meta["corpus"].get("splits") or {}
    if splits and not splits.get(split):
        raise InputError(f"The corpus of {atlas.path} has no split {split!r}; {_known(splits)}.")
    found = _find(str(atlas.meta["activations"]["hash"]))
    return named_store(found or _extract(atlas, split, device, progress), split)


def named_store(path: Path, split: str) -> tuple[ActivationStore, NDArray[np.int64]]:
    """The store at ``path`` and the item rows of one split.

    Raises
    ------
    InputError
        If there is no store, or it has no items of that split.
    """
    from engine.activations import ActivationStore

    store = ActivationStore.open(path)
    rows = store.rows(split)
    if not len(rows):
        raise InputError(f"{path} has no items of the split {split!r}; {_known(store.splits)}.")
    return store, rows


def _known(splits: Iterable[str]) -> str:
    """The splits there are, in words; items without a split have the empty name."""
    names = [name for name in splits if name]
    return f"it has: {', '.join(names)}" if names else "its items belong to no split"


def _find(wanted: str) -> Path | None:
    """The folder in the cache of the store with this content hash."""
    from engine.activations.layout import MANIFEST, content_hash

    for depth in _DEPTHS:
        for path in sorted(cache_dir().glob(f"{depth}/{MANIFEST}")):
            try:
                if content_hash(read_json(path)) == wanted:
                    return path.parent
            except (InputError, KeyError, TypeError):
                continue  # something else that has a manifest
    return None


def _extract(atlas: Atlas, split: str, device: str, progress: Progress) -> Path:
    """Run the atlas's backbone over one split of its corpus."""
    from engine.activations import extract
    from engine.activations.layout import MANIFEST
    from engine.atlas.format.header import corpus_folder
    from engine.backbones import load_backbone_of
    from engine.corpus import open_corpus

    folder = cache_dir() / "held-out" / f"{atlas.meta['activations']['hash'][:16]}-{split}"
    if (folder / MANIFEST).is_file():  # written last, so the store is whole
        return folder
    described, spec, dtype = atlas.meta["corpus"], atlas.meta["backbone"], atlas.meta["activations"]["dtype"]
    if atlas.is_text:
        backbone = load_backbone_of(spec, atlas.path, device, progress)
        extract(backbone, chunks_of(atlas, split), folder, dtype, progress=progress)
        return folder
    if not described.get("path"):
        raise InputError(
            f"The activations of {atlas.path} are not in the cache and its corpus does not ship with it: "
            "name an activation store with --acts."
        )
    corpus = open_corpus(corpus_folder(atlas.path, atlas.meta))
    if corpus.hash != described["hash"]:
        raise InputError(f"The corpus {corpus.path} is not the one {atlas.path} was built from: it has changed.")
    backbone = load_backbone_of(spec, atlas.path, device, progress)
    extract(backbone, only_split(corpus, split), folder, dtype, progress=progress)
    return folder


def chunks_of(atlas: Atlas, split: str) -> PackedTexts:
    """The chunks of one split as the atlas of texts itself holds them: its corpus need not be there."""
    import hashlib

    from engine.backbones.language import PackedTexts
    from engine.corpus import Corpus
    from engine.corpus.items import TEXT_COLUMNS, items_frame
    from engine.corpus.texts import TableTexts

    assert atlas.tokens is not None
    rows = np.flatnonzero((atlas.items["split"] == split).to_numpy())
    items = items_frame({name: atlas.items[name].iloc[rows].tolist() for name in TEXT_COLUMNS}, kind="text")
    digest = hashlib.sha256(f"{atlas.meta['corpus']['hash']} {split}".encode()).hexdigest()
    texts = Corpus(
        f"{atlas.title}, {split} split", atlas.path, items, TableTexts(items["caption"].tolist()), lambda: digest
    )
    ids, starts = (table[rows][:, atlas.prefix :] for table in atlas.tokens)
    return PackedTexts(texts, items, ids, starts, 0, ())


def only_split(corpus: Corpus, split: str) -> Corpus:
    """The items of one split as a corpus of their own; its hash follows from the whole corpus's and the split."""
    import hashlib

    from engine.corpus import Corpus

    rows = np.flatnonzero((corpus.items["split"] == split).to_numpy())
    items = corpus.items.iloc[rows].reset_index(drop=True)
    digest = hashlib.sha256(f"{corpus.hash} {split}".encode()).hexdigest()
    return Corpus(f"{corpus.name}, {split} split", corpus.path, items, _Rows(corpus, rows), lambda: digest)


class _Rows:
    """Some rows of a corpus as the source of another one."""

    def __init__(self, corpus: Corpus, rows: NDArray[np.int64]) -> None:
        self._corpus, self._rows = corpus, rows

    def read(self, item: int) -> bytes:
        return self._corpus.image_bytes(int(self._rows[item]))
