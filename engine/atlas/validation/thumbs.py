"""Checks of the pictures: thumbnails in shards, or the corpus beside the atlas."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from engine.atlas.format.header import corpus_folder
from engine.atlas.format.reading import open_parquet
from engine.atlas.format.schema import THUMBS_PER_GROUP
from engine.atlas.validation.context import ValidationContext
from engine.atlas.validation.report import CheckStopped, check_columns


def check_thumbs(context: ValidationContext) -> None:
    """The pictures: shards of thumbnails, or the corpus beside the atlas."""
    kind = context.meta["thumbs"]["kind"]
    shards = sorted(name for name in context.meta["files"] if name.startswith("thumbs/"))
    if kind != "shards":
        context.report.expect(not shards, "thumbs", f"there are thumbnails, but thumbs.kind is {kind}.")
    if kind == "corpus":
        _check_corpus(context)
    if kind != "shards":
        return
    following = 0
    for number, name in enumerate(shards):
        if name != f"thumbs/thumbs-{number:05d}.parquet":
            context.report.add(name, f"shard {number} should be called thumbs-{number:05d}.parquet.")
            raise CheckStopped
        file = open_parquet(context.need(name))
        check_columns(context.report, name, file.schema_arrow, "thumbs")
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        good = all(size == THUMBS_PER_GROUP for size in sizes[:-1]) and all(
            0 < s <= THUMBS_PER_GROUP for s in sizes[-1:]
        )
        context.report.expect(good, name, f"its row groups are not of {THUMBS_PER_GROUP}.")
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            item = table.column("item").to_numpy()
            if not np.array_equal(item, np.arange(following, following + len(item))):
                context.report.add(name, f"its items do not go on from {following}.")
                raise CheckStopped
            pictures = table.column("webp").to_pylist()
            bad = [bool(picture) and not _good_webp(picture, context.meta["thumbs"]["size"]) for picture in pictures]
            context.report.rows(bad, name, "a picture is not WebP of at most thumbs.size", item, "item")
            following += len(item)
    context.report.expect(
        following == context.n_items, "thumbs", f"it holds {following} pictures for {context.n_items} items."
    )


def _good_webp(picture: bytes, size: int) -> bool:
    try:
        with Image.open(io.BytesIO(picture), formats=["WEBP"]) as image:
            return max(image.size) <= size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return False


def _check_corpus(context: ValidationContext) -> None:
    from engine.corpus import open_corpus

    corpus = open_corpus(corpus_folder(context.folder, context.meta))
    report, index = context.report, context.items["corpus_index"]
    report.expect(
        corpus.hash == context.meta["corpus"]["hash"], "corpus", "the corpus beside the atlas is another one."
    )
    bad = index >= len(corpus)
    report.rows(bad, "items.parquet", "corpus_index is no row of the corpus", kind="item")
    if not bad.any():
        ids = corpus.items["id"].to_numpy()[index]
        report.rows(ids != context.items["id"], "items.parquet", "its id is not that of the corpus", kind="item")
