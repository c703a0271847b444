"""Stage 10, the pictures: thumbnails of what the backbone saw, so that patches line up, as WebP in Parquet shards."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from engine.atlas.format.schema import THUMBS_PER_GROUP, arrow_schema
from engine.errors import InputError
from engine.files import atomic_path

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.atlas.build.options import AtlasOptions
    from engine.corpus import Corpus
    from engine.progress import Progress

ITEMS_PER_SHARD = 4096
QUALITY = 80


@dataclass(frozen=True)
class PictureSource:
    """Where an atlas has its pictures from.

    Attributes
    ----------
    kind : str
        ``shards`` (thumbnails in the atlas), ``corpus`` (the corpus beside the atlas) or ``none``.
    size : int or None
        Longest side of the thumbnails, pixels; None when there are none.
    """

    kind: str
    size: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """``thumbs`` of ``atlas.json``."""
        return {"kind": self.kind} if self.size is None else {"kind": self.kind, "size": self.size}


def write_pictures(folder: Path, store: ActivationStore, options: AtlasOptions, progress: Progress) -> PictureSource:
    """Write thumbnails, or none when the items are texts, or the corpus lies beside the atlas or is gone."""
    if store.token_ids is not None:
        return PictureSource("none")
    corpus = open_pictures(store, progress)
    if corpus is None:
        return PictureSource("none")
    if not options.corpus_beside:
        write_thumbs(folder, store, corpus, options.thumb_size, progress)
        return PictureSource("shards", options.thumb_size)
    if wrong := smaller_pictures(corpus, store.backbone):
        progress.warn(
            f"The corpus holds {wrong[0]} (and maybe more) in another shape than the model saw: heat maps on it "
            "will be a little off. Leave out --corpus-beside to store thumbnails that fit."
        )
    return PictureSource("corpus")


def open_pictures(store: ActivationStore, progress: Progress) -> Corpus | None:
    """The corpus the store was made from, or None with a warning when it is gone or has changed."""
    from engine.corpus import open_corpus

    path = Path(str(store.corpus.get("path") or ""))
    try:
        if not store.corpus.get("path") or not path.exists():
            raise InputError(f"the images are no longer at {path}")
        corpus = open_corpus(path)
        if corpus.hash != store.corpus["hash"]:
            raise InputError(f"the images at {path} have changed since their activations were stored")
    except InputError as error:
        progress.warn(f"The atlas is built without pictures: {error}.".replace("..", "."))
        return None
    return corpus


def write_thumbs(folder: Path, store: ActivationStore, corpus: Corpus, size: int, progress: Progress) -> None:
    """Write ``thumbs/`` into ``folder``; shards that are there already are kept.

    Parameters
    ----------
    size : int
        Longest side, pixels. A picture the model saw smaller keeps its size.
    """
    view = viewer(store.backbone)
    index = store.items["corpus_index"].to_numpy()
    (folder / "thumbs").mkdir(parents=True, exist_ok=True)
    progress.start("thumbnails", store.n_items, "items")

    def thumb(item: int) -> bytes:
        try:
            picture = view(corpus.load(int(index[item])))
        except InputError:
            return b""
        if max(picture.size) > size:
            picture.thumbnail((size, size), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=QUALITY, method=4)
        return buffer.getvalue()

    with ThreadPoolExecutor(2) as pool:
        for number, start in enumerate(range(0, store.n_items, ITEMS_PER_SHARD)):
            end = min(start + ITEMS_PER_SHARD, store.n_items)
            path = folder / "thumbs" / f"thumbs-{number:05d}.parquet"
            if path.is_file():
                progress.advance(end - start)
                continue
            schema = arrow_schema("thumbs")
            with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, compression="none") as writer:
                for first in range(start, end, THUMBS_PER_GROUP):
                    items = np.arange(first, min(first + THUMBS_PER_GROUP, end), dtype=np.int32)
                    pictures = list(pool.map(thumb, items))
                    writer.write_table(pa.table({"item": items, "webp": pictures}, schema))
                    progress.advance(len(items))
    progress.finish()


def viewer(backbone: dict[str, Any]) -> Any:
    """The function that resizes and crops a picture as the backbone did, from its record; the model is not loaded."""
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    from engine.backbones.preprocessing import Preprocessor

    record = {k: v for k, v in backbone["preprocessing"].items() if k not in ("processor", "source")}
    size = backbone["image_size"]
    return Preprocessor(ViTImageProcessorPil(**record), "record", (int(size[0]), int(size[1]))).view


def smaller_pictures(corpus: Corpus, backbone: dict[str, Any], sample: int = 8) -> list[str]:
    """Ids of a few pictures that the corpus does not hold as the backbone saw them (empty when all fit).

    An atlas whose pictures come from the corpus itself lays its heat maps on them; that needs the same shape.
    """
    height, width = backbone["image_size"]
    wrong = []
    for item in islice(range(len(corpus)), 0, None, max(len(corpus) // sample, 1)):
        if corpus.load(item).size != (width, height):
            wrong.append(str(corpus.items["id"].iat[item]))
    return wrong
