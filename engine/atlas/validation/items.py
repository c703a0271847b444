"""Checks of the files that have items or tokens for rows: items, codes, entrants, thumbnails, and of the SAEs."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from engine.atlas.build.grouping import place_in_group
from engine.atlas.format.header import corpus_folder
from engine.atlas.format.reading import open_parquet
from engine.atlas.format.schema import (
    CODE_ARRAYS,
    ENTRANTS_KEPT,
    ITEM_KINDS,
    THUMBS_PER_GROUP,
    TOKENS_PER_GROUP,
)
from engine.atlas.validation.context import Context
from engine.atlas.validation.report import Stop, check_columns, same_float


def check_items(context: Context) -> None:
    """``items.parquet``."""
    where, report, items, meta = "items.parquet", context.report, context.items, context.meta

    def say(bad: Any, sentence: str) -> None:
        report.rows(bad, where, sentence, kind="item")

    ids = Counter(items["id"])
    say([not name or ids[name] > 1 for name in items["id"]], "its id is empty or not its own")
    say([kind not in ITEM_KINDS for kind in items["kind"]], f"kind is not {' or '.join(ITEM_KINDS)}")
    say((items["width"] < 0) | (items["height"] < 0), "width or height is negative")
    say(np.diff(items["corpus_index"], prepend=-1) <= 0, "corpus_index does not ascend from 0")
    splits = Counter(items["split"])
    stated = {name: count for name, count in meta["corpus"]["splits"].items() if count}
    report.expect(dict(splits) == stated, where, "its splits are not those of corpus.splits.")
    sizes = np.array([len(row) for row in items["support"]])
    say(sizes != context.n_positions, f"support does not hold {context.n_positions} values")
    if (sizes != context.n_positions).any():
        raise Stop
    support = np.stack(list(items["support"])).astype(np.int64) if len(sizes) else np.zeros((0, context.n_positions))
    say((support > context.n_atoms).any(axis=1), "support is larger than the dictionary")
    say(~same_float(items["support_mean"], support.mean(axis=1), 1e-4), "support_mean is not the mean of support")
    if support.max(initial=0) < np.iinfo(np.uint16).max:  # larger supports are stored as the largest uint16
        report.expect(support.sum() == context.firing.sum(), where, "the supports do not sum to the firing counts.")
    thresholds = np.array([len(row) for row in items["tau"]])
    say(~np.isin(thresholds, (0, context.n_positions)), f"tau does not hold {context.n_positions} values, or none")
    report.expect(len(set(thresholds.tolist())) < 2, where, "some items have tau and some have none.")
    say([not np.isfinite(row).all() for row in items["tau"]], "tau is not finite")


def check_tokens(context: Context) -> None:
    """``tokens.parquet`` of an atlas of texts."""
    where, report = "tokens.parquet", context.report
    tokens = context.tokens
    report.rows([kind != "text" for kind in context.items["kind"]], "items.parquet", "kind is not text", kind="item")
    for name in ("ids", "starts"):
        short = [len(row) != context.n_positions for row in tokens[name]]
        report.rows(short, where, f"{name} does not hold {context.n_positions} values", kind="item")
        if any(short):
            raise Stop
    say = [bool((row < 0).any()) for row in tokens["ids"]]
    report.rows(say, where, "a token id is negative", kind="item")
    lengths = [len(caption) for caption in context.items["caption"]]
    outside = [
        bool(len(row)) and (row[0] < 0 or row[-1] > length or bool((np.diff(row) < 0).any()))
        for row, length in zip(tokens["starts"], lengths, strict=True)
    ]
    report.rows(outside, where, "its tokens do not lie in order inside the caption", kind="item")


def read_codes(context: Context) -> dict[str, NDArray[Any]]:
    """The arrays of ``codes/``, checked against each other, the items and the atoms."""
    report = context.report
    arrays = {}
    for name, dtype in CODE_ARRAYS.items():
        where = f"codes/{name}.npy"
        array = np.load(context.need(where), mmap_mode="r", allow_pickle=False)
        if array.ndim != 1 or array.dtype != np.dtype(dtype):
            report.add(where, f"it is {array.dtype} with {array.ndim} axes, not {dtype} with one.")
            raise Stop
        arrays[name] = array
    items, n = arrays["items"], len(arrays["items"]) * context.n_positions
    good = np.all(np.diff(items) > 0) and (len(items) == 0 or (items[0] >= 0 and items[-1] < context.n_items))
    report.expect(bool(good), "codes/items.npy", "its items do not ascend inside the atlas.")
    for axis, length, other in (("token", n, "token_col"), ("atom", context.n_atoms, "atom_row")):
        crow, where = arrays[f"{axis}_crow"], f"codes/{axis}_crow.npy"
        nnz = len(arrays[other])
        if len(crow) != length + 1 or crow[0] != 0 or crow[-1] != nnz or np.any(np.diff(crow) < 0):
            report.add(where, f"it does not cut {nnz:,} entries into {length:,} rows.")
            raise Stop
        report.expect(len(arrays[f"{axis}_val"]) == nnz, f"codes/{axis}_val.npy", f"it does not hold {nnz:,} values.")
    if (
        not good
        or len(arrays["token_val"]) != len(arrays["token_col"])
        or len(arrays["atom_val"]) != len(arrays["atom_row"])
    ):
        raise Stop
    _check_csr(context, arrays, n)
    return arrays


def _check_csr(context: Context, arrays: dict[str, NDArray[Any]], n: int) -> None:
    report, col, val = context.report, np.asarray(arrays["token_col"]), np.asarray(arrays["token_val"])
    token = np.repeat(np.arange(n), np.diff(arrays["token_crow"]))
    if len(col) and (col.min() < 0 or col.max() >= context.n_atoms):
        report.add("codes/token_col.npy", "an atom does not exist.")
        raise Stop
    report.expect(bool(np.isfinite(val).all()), "codes/token_val.npy", "a value is not finite.")
    rises = (token[1:] > token[:-1]) | (col[1:] > col[:-1])
    report.expect(bool(rises.all()), "codes/token_col.npy", "the atoms of a token do not ascend.")
    order = np.argsort(col, kind="stable")
    same = (
        np.array_equal(np.cumsum(np.bincount(col, minlength=context.n_atoms)), arrays["atom_crow"][1:])
        and np.array_equal(token[order], arrays["atom_row"])
        and np.array_equal(val[order], arrays["atom_val"])
    )
    report.expect(same, "codes", "the codes by atom are not the codes by token.")
    if not same:
        raise Stop
    dead = context.firing == 0
    report.rows(dead[col], "codes/token_col.npy", "a dead atom fires", col)
    maximum = context.atoms["max_activation"][col]
    report.rows(
        val > maximum + 1e-5 * np.maximum(1, np.abs(maximum)),
        "codes/token_val.npy",
        "a value is above max_activation",
        col,
    )
    support = np.concatenate([context.items["support"][item] for item in arrays["items"]] or [np.zeros(0)])
    sizes = np.minimum(np.diff(arrays["token_crow"]), np.iinfo(np.uint16).max)
    report.rows(support != sizes, "codes/token_crow.npy", "the support is not that of items.parquet", kind="token")


def check_entrants(context: Context) -> None:
    """``entrants.parquet``."""
    where, report, codes = "entrants.parquet", context.report, context.codes
    n_tokens = len(codes["token_crow"]) - 1
    has_tau = any(len(row) for row in context.items["tau"])
    rows = 0
    for table in context.groups(where, "token", n_tokens, TOKENS_PER_GROUP):
        token, rank, atom, gap = (table.column(name).to_numpy() for name in ("token", "rank", "atom", "gap"))
        rows += len(token)
        report.rows(rank != place_in_group(token), where, "its ranks do not count from 0", token, "token")
        report.rows(rank >= ENTRANTS_KEPT, where, f"it has more than {ENTRANTS_KEPT} entrants", token, "token")
        same = token[1:] == token[:-1]
        report.rows(~(gap >= 0) | ~np.isfinite(gap), where, "a gap is not 0 or more", token, "token")
        report.rows(same & (gap[1:] < gap[:-1]), where, "gaps fall with rank", token[1:], "token")
        bad = (atom < 0) | (atom >= context.n_atoms)
        report.rows(bad, where, "an atom does not exist", token, "token")
        pair = token.astype(np.int64) * context.n_atoms + atom
        report.expect(len(np.unique(pair)) == len(pair), where, "a token names the same atom twice.")
        crow = codes["token_crow"][[token.min(), token.max() + 1]] if len(token) else np.zeros(2, np.int64)
        span = slice(crow[0], crow[1])
        owner = np.searchsorted(codes["token_crow"], np.arange(crow[0], crow[1]), side="right") - 1
        inside = np.isin(pair, owner * np.int64(context.n_atoms) + codes["token_col"][span])
        report.rows(inside, where, "an entrant is in the support already", token, "token")
    report.expect(has_tau or not rows, where, "it has rows, but the SAE has no threshold.")


def check_thumbs(context: Context) -> None:
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
            raise Stop
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
                raise Stop
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


def _check_corpus(context: Context) -> None:
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


def load_saes(context: Context) -> NDArray[np.float32] | None:
    """Load ``sae/`` and every baseline; returns the unit decoder directions of ``sae/``."""
    from engine.sae import load_sae

    folders = sorted(
        {name.rsplit("/", 1)[0] for name in context.meta["files"] if name.startswith(("sae/", "baselines/"))}
    )
    directions = None
    for folder in folders:
        with context.report.guard(folder):
            context.need(f"{folder}/config.json")
            context.need(f"{folder}/weights.safetensors")
            sae = load_sae(context.folder / folder)
            good = sae.config.d_model == context.meta["backbone"]["d_model"]
            context.report.expect(good, folder, "its d_model is not that of the backbone.")
            if folder == "sae":
                stated = context.meta["sae"]
                same = all(stated.get(key) == value for key, value in sae.config.to_dict().items() if key in stated)
                context.report.expect(same, "atlas.json", "sae is not the config in sae/config.json.")
                rows = sae.directions().float().numpy()
                directions = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return directions
