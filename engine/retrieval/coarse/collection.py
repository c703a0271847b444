"""A corpus that can be searched: its items, their embeddings on disk, and an index over them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.backbones.vectors import Vectors, unit
from engine.corpus import Corpus, UnreadableItem
from engine.errors import AtomscopeError, InputError
from engine.files import read_json, write_json
from engine.paths import ASSETS, cache_dir
from engine.progress import Progress, SilentProgress
from engine.retrieval.coarse.embedders.base import Embedder, embedder_key
from engine.retrieval.coarse.index import ExactIndex, Index
from engine.retrieval.coarse.vectors import combine, embed_rows

Part = Literal["image", "text", "both"]
Backend = Literal["exact", "lance"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)

SHIPPED = ASSETS / "demo" / "retrieval"
_BATCH = 16


class Collection:
    """Made by :func:`open_collection`. Several threads may search it at the same time.

    Attributes
    ----------
    corpus : Corpus
    embedder : Embedder
    folder : Path
        Where its vectors are kept; may not exist when they ship with the project.
    parts : dict
        "image" and "text" -> vectors float32 [N, d], those the embedder and the corpus both have.
    warnings : list of str
        What was left out, a sentence each.
    """

    def __init__(
        self,
        corpus: Corpus,
        embedder: Embedder,
        folder: Path,
        parts: dict[str, tuple[Vectors, NDArray[np.bool_]]],
        backend: Backend = "exact",
        warnings: list[str] | None = None,
    ) -> None:
        self.corpus, self.embedder, self.folder = corpus, embedder, folder
        self.parts = {name: vectors for name, (vectors, _) in parts.items()}
        self.warnings = list(warnings or [])
        self._has = {name: has for name, (_, has) in parts.items()}
        if len(parts) == 2:
            self._has["both"] = self._has["image"] & self._has["text"]
        self._stated = _stated(corpus)
        self._backend = backend
        self._ids = corpus.items["id"].to_numpy(dtype=object)
        self._captions = corpus.items["caption"].to_numpy(dtype=object)
        self._splits = corpus.items["split"].to_numpy(dtype=object)
        self._index: Callable[[str, float], Index] = lru_cache(maxsize=8)(self._open_index)

    def __len__(self) -> int:
        return len(self.corpus)

    def id(self, item: int) -> str:
        """The corpus's id of an item."""
        return str(self._ids[item])

    def text(self, item: int) -> str:
        """An item's caption, or the text itself; "" if it has neither. Raises ``UnreadableItem``."""
        if self.corpus.items["kind"].iat[item] == "text":
            return self.corpus.text(item)
        return str(self._captions[item])

    def image(self, item: int) -> Image.Image:
        """An item's picture. Raises ``UnreadableItem``."""
        return self.corpus.load(item)

    def has_image(self, item: int) -> bool:
        """Whether the item is a picture (that may still turn out unreadable)."""
        return bool(self._stated["image"][item])

    def cache_key(self, item: int) -> str:
        """Unique and stable for an item's picture: the corpus's content and the item's id."""
        return hashlib.sha256(f"{self.corpus.hash} {self.id(item)}".encode()).hexdigest()

    def rows(self, split: str = "") -> NDArray[np.int64]:
        """Items of one split, ascending; all of them for "".

        Raises
        ------
        InputError
            If there is none.
        """
        if not split:
            return np.arange(len(self), dtype=np.int64)
        rows = np.flatnonzero(self._splits == split).astype(np.int64)
        if not len(rows):
            known = ", ".join(name for name in self.corpus.splits if name) or "none"
            raise InputError(f"{self.corpus.name} has no split {split!r}; its splits: {known}.")
        return rows

    def part(self, wanted: tuple[str, ...], rows: NDArray[np.int64]) -> str:
        """The first of ``wanted`` that every one of ``rows`` has, else the one that most of them have.

        One part for the whole gallery: cosines between two pictures and between a picture and a text lie on different
        scales, so a list that mixes them would put one kind first whatever it shows.
        """
        stated = {part: int(self._stated[part][rows].sum()) for part in wanted}
        whole = next((part for part in wanted if stated[part] == len(rows)), None)
        return whole or max(wanted, key=lambda part: stated[part])

    def embedded_part(self, wanted: tuple[str, ...], rows: NDArray[np.int64]) -> str:
        """``part`` among those that have vectors.

        Raises
        ------
        InputError
            If no row has anything the embedder can embed.
        """
        usable = tuple(part for part in wanted if part in self._has and self._has[part][rows].any())
        if not usable:
            kinds = " and ".join(f"{kind}s" for kind in sorted(self.embedder.modalities))
            raise InputError(
                f"Nothing in {self.corpus.name} can be searched with the embedder {self.embedder.identity['name']}, "
                f"which embeds {kinds}."
            )
        return self.part(usable, rows)

    def has(self, part: str) -> NDArray[np.bool_]:
        """Which items have a vector of ``part`` ("image", "text" or "both"), bool [N]."""
        return self._has[part]

    def vectors(self, part: str, share: float = 0.7) -> Vectors:
        """Vectors of ``part``, float32 [N, d]; ``share`` is the image's in "both"."""
        if part != "both":
            return self.parts[part]
        path = self.folder / f"both-{share:.3f}.npy"
        return combine(path, self.parts["image"], self.parts["text"], self._has["both"], share)

    def index(self, part: str, share: float = 0.7) -> Index:
        """The index over one part."""
        return self._index(part, share if part == "both" else 0.0)

    def describe(self) -> dict[str, Any]:
        """What was searched, JSON-ready."""
        return {"name": self.corpus.name, "hash": self.corpus.hash, "items": len(self)}

    def _open_index(self, part: str, share: float) -> Index:
        vectors = self.vectors(part, share)
        if self._backend == "exact":
            return ExactIndex(vectors)
        from engine.retrieval.coarse.index_lance import LanceIndex

        name = part if part != "both" else f"both-{share:.3f}"
        return LanceIndex.build(self.folder / "lance", name, vectors)


def open_collection(
    corpus: Corpus, embedder: Embedder, progress: Progress | None = None, backend: Backend = "exact"
) -> Collection:
    """Embed what is not embedded yet, and open the result.

    Vectors lie in ``cache_dir()/retrieval/KEY``; the key covers the corpus's content and the model with its revision and
    preprocessing. A stopped run goes on where it was. Pictures that cannot be read are reported and left out. The demo
    corpus's vectors ship with the project and are taken from there.

    Raises
    ------
    InputError
        If no item can be embedded: none can be read, or the model has no side for what they are.
    AtomscopeError
        If the corpus changes meanwhile, or the disk is full.
    """
    progress = progress or SilentProgress()
    key = hashlib.sha256(f"{embedder_key(embedder.identity)} {corpus.hash}".encode()).hexdigest()[:32]
    folder = cache_dir() / "retrieval" / key
    if (shipped := _shipped(corpus, embedder)) is not None:
        return Collection(corpus, embedder, folder, shipped, backend)
    stated, faults = _stated(corpus), list[str]()
    parts: dict[str, tuple[Vectors, NDArray[np.bool_]]] = {}
    for name in ("image", "text"):
        rows = np.flatnonzero(stated[name]).astype(np.int64)
        if name in embedder.modalities and len(rows):
            embed = _embed_with(embedder, corpus, name, progress, faults)
            noun = "pictures" if name == "image" else "captions"
            parts[name] = embed_rows(folder, name, rows, len(corpus), embedder.width, embed, progress, noun)
    if not parts or not any(has.any() for _, has in parts.values()):
        reason = faults[0] if faults else f"the embedder {embedder.identity['name']} has no side for what it holds."
        raise InputError(f"Nothing in {corpus.name} can be embedded: {reason}")
    if not (folder / "collection.json").is_file():
        if not corpus.is_unchanged():
            shutil.rmtree(folder, ignore_errors=True)  # of two contents, and never to be taken for those of the first
            raise AtomscopeError(f"{corpus.name} was changed while it was being read. Run the same command again.")
        about = {"embedder": embedder.identity, "corpus": {"name": corpus.name, "hash": corpus.hash}}
        write_json(folder / "collection.json", about)
    warnings = list(corpus.warnings)
    if lost := int(sum((stated[name] & ~has).sum() for name, (_, has) in parts.items())):
        what = "item" if lost == 1 else "items"
        warnings.append(f"{lost:,} {what} of {corpus.name} could not be read, left out of the search.")
    return Collection(corpus, embedder, folder, parts, backend, warnings)


def _embed_with(
    embedder: Embedder, corpus: Corpus, name: str, progress: Progress, faults: list[str]
) -> Callable[[NDArray[np.int64]], tuple[Vectors, NDArray[np.bool_]]]:
    """How a block of rows becomes vectors; unreadable items are reported to ``progress`` and to ``faults``."""
    captions = corpus.items["caption"].to_numpy(dtype=object)
    is_text = (corpus.items["kind"] == "text").to_numpy()

    def read(row: int) -> Any:
        if name == "image":
            return corpus.load(row)
        return corpus.text(row) if is_text[row] else str(captions[row])

    def embed(rows: NDArray[np.int64]) -> tuple[Vectors, NDArray[np.bool_]]:
        vectors, readable = np.zeros((len(rows), embedder.width), np.float32), np.zeros(len(rows), bool)
        for start in range(0, len(rows), _BATCH):
            places, items = [], []
            for place in range(start, min(start + _BATCH, len(rows))):
                try:
                    items.append(read(int(rows[place])))
                except UnreadableItem as fault:
                    faults.append(str(fault))
                    progress.warn(f"{fault} Skipped.")
                else:
                    places.append(place)
            if items:
                vectors[places] = embedder.embed_images(items) if name == "image" else embedder.embed_texts(items)
                readable[places] = True
        return vectors, readable

    return embed


def _stated(corpus: Corpus) -> dict[str, NDArray[np.bool_]]:
    """Which items have an image, a text, both, as far as the corpus's table tells."""
    is_text = (corpus.items["kind"] == "text").to_numpy()
    text = is_text | (corpus.items["caption"] != "").to_numpy()
    return {"image": ~is_text, "text": text, "both": ~is_text & text}


def _shipped(corpus: Corpus, embedder: Embedder) -> dict[str, tuple[Vectors, NDArray[np.bool_]]] | None:
    """The vectors in ``assets/``, where they are of this corpus and this embedder."""
    if embedder.identity["name"] != "demo" or not (SHIPPED / "embeddings.npy").is_file():
        return None
    record = read_json(SHIPPED / "config.json").get("embeddings", {})
    if record.get("corpus") != corpus.hash or record.get("embedder") != embedder_key(embedder.identity):
        return None
    halves = np.load(SHIPPED / "embeddings.npy", allow_pickle=False)
    everything = np.ones(len(corpus), bool)
    return {
        name: (unit(values.astype(np.float32)), everything)
        for name, values in zip(("image", "text"), halves, strict=True)
    }
