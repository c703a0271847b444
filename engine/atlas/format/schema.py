"""The atlas format in code: names, versions and every column of every table with its type and its definition.

``FORMAT.md`` is normative. The writer, the reader and the validator take their columns from here, so that the page and the
three of them can only drift apart together, which the property tests would notice.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pyarrow as pa

FORMAT_NAME = "atomscope-atlas"
FORMAT_MAJOR = 1
FORMAT_MINOR = 1

ATOMS_PER_GROUP = 256
TOKENS_PER_GROUP = 4096
THUMBS_PER_GROUP = 64

RARE_BELOW = 1e-5
DENSE_ABOVE = 0.1

LABELS_KEPT = 20
HEAT_KEPT = 64
ENTRANTS_KEPT = 8

STATUSES = ("dead", "rare", "live", "dense")
EXEMPLAR_KINDS = ("top", "quantile")
NEIGHBOUR_KINDS = ("decoder", "coactivation")
ITEM_KINDS = ("image", "text")

_STRINGS = pa.list_(pa.string())

# File -> column -> (Arrow type, definition in one sentence with its unit). The order is the order in the file.
COLUMNS: dict[str, dict[str, tuple[pa.DataType, str]]] = {
    "atoms.parquet": {
        "atom": (pa.int32(), "Index of the atom in the dictionary, from 0."),
        "firing_count": (
            pa.int64(),
            "Tokens on which the atom fires (is in the token's support).",
        ),
        "item_count": (
            pa.int64(),
            "Items with at least one token on which the atom fires.",
        ),
        "frequency": (
            pa.float32(),
            "Share of all tokens on which the atom fires: firing_count / tokens.",
        ),
        "mean_activation": (
            pa.float32(),
            "Mean activation over the tokens on which the atom fires, in code units.",
        ),
        "max_activation": (
            pa.float32(),
            "Largest activation over all tokens, in code units.",
        ),
        "status": (
            pa.string(),
            f"dead: never fires; rare: frequency below {RARE_BELOW:g}; dense: frequency above {DENSE_ABOVE:g}; else live.",
        ),
        "label_entropy": (
            pa.float32(),
            "Entropy, in bits, of the labels of the atom's top exemplars, weighted by activation; 0 means one label.",
        ),
        "top_label": (
            pa.string(),
            "The label that carries most of the activation of the atom's top exemplars.",
        ),
        "top_label_share": (
            pa.float32(),
            "Share of the top exemplars' activation that top_label carries, 0 to 1.",
        ),
        "monosemanticity": (
            pa.float32(),
            "Activation-weighted mean pairwise cosine of the embeddings of the items on which the atom fires, -1 to 1.",
        ),
        "diversity": (
            pa.float32(),
            "1 - mean pairwise cosine of the embeddings of the atom's top exemplars, 0 to 2.",
        ),
        "x": (pa.float32(), "Horizontal place on the map of atoms, no unit."),
        "y": (pa.float32(), "Vertical place on the map of atoms, no unit."),
        "cluster": (
            pa.int32(),
            "Row of clusters.parquet the atom belongs to, -1 for none.",
        ),
        "label": (
            pa.string(),
            "Best text label from captions and keywords of the exemplars, empty when there is none.",
        ),
        "label_candidates": (_STRINGS, "Further text labels, best first."),
    },
    "exemplars.parquet": {
        "atom": (pa.int32(), "Index of the atom."),
        "kind": (
            pa.string(),
            "top: items of largest value; quantile: items sampled from lower quantile bands.",
        ),
        "rank": (pa.int16(), "Place within the atom and kind, from 0."),
        "item": (pa.int32(), "Row of items.parquet."),
        "position": (
            pa.int16(),
            "Position of the item at which the value is reached (the first, if several).",
        ),
        "value": (
            pa.float32(),
            "Largest activation of the atom in the item, in code units.",
        ),
        "quantile": (
            pa.float32(),
            "Share of the atom's firing items whose value is not above this one, 0 to 1.",
        ),
        "heat_positions": (
            pa.list_(pa.uint16()),
            "Positions of the item on which the atom fires, ascending.",
        ),
        "heat_values": (
            pa.list_(pa.float32()),
            "Activation at each of heat_positions, in code units.",
        ),
    },
    "histograms.parquet": {
        "atom": (pa.int32(), "Index of the atom."),
        "counts": (
            pa.list_(pa.int64()),
            "Tokens whose activation lies in each bin of histogram_edges.",
        ),
    },
    "labels.parquet": {
        "atom": (pa.int32(), "Index of the atom."),
        "label": (pa.string(), "Label of the items."),
        "tokens": (
            pa.int64(),
            "Tokens of items with this label on which the atom fires.",
        ),
        "items": (pa.int64(), "Items with this label on which the atom fires."),
        "share": (pa.float32(), "tokens over the atom's firing_count, 0 to 1."),
    },
    "neighbours.parquet": {
        "atom": (pa.int32(), "Index of the atom."),
        "kind": (
            pa.string(),
            "decoder: by decoder direction; coactivation: by firing on the same tokens.",
        ),
        "rank": (pa.int16(), "Place within the atom and kind, from 0."),
        "other": (pa.int32(), "Index of the neighbouring atom."),
        "similarity": (
            pa.float32(),
            "Cosine of the decoder directions, or of the binary firing vectors.",
        ),
    },
    "clusters.parquet": {
        "cluster": (pa.int32(), "Index of the cluster, from 0."),
        "label": (
            pa.string(),
            "Best text label of the cluster, empty when there is none.",
        ),
        "keywords": (_STRINGS, "Further text labels, best first."),
        "size": (pa.int32(), "Atoms in the cluster."),
        "x": (pa.float32(), "Mean x of its atoms."),
        "y": (pa.float32(), "Mean y of its atoms."),
    },
    "items.parquet": {
        "item": (pa.int32(), "Index of the item, from 0."),
        "id": (pa.string(), "Name of the item in its corpus."),
        "kind": (pa.string(), "image or text."),
        "split": (pa.string(), "train, validation, test, or empty."),
        "label": (pa.string(), "Class of the item, empty when unknown."),
        "caption": (
            pa.string(),
            "Caption of an image; the text itself for a text item.",
        ),
        "source": (pa.string(), "Where the item comes from."),
        "license": (pa.string(), "Licence of the item."),
        "credit": (pa.string(), "Who made the item."),
        "width": (pa.int32(), "Width of the original, pixels; 0 for a text."),
        "height": (pa.int32(), "Height of the original, pixels; 0 for a text."),
        "corpus_index": (
            pa.int32(),
            "Row of the item in the corpus (items that could not be read leave gaps).",
        ),
        "support": (
            pa.list_(pa.uint16()),
            "Support size (number of atoms that fire) at each position.",
        ),
        "tau": (
            pa.list_(pa.float32()),
            "Threshold of each position, in score units; empty when the SAE has none.",
        ),
        "support_mean": (pa.float32(), "Mean support size over the positions."),
    },
    "tokens.parquet": {
        "item": (pa.int32(), "Row of items.parquet."),
        "ids": (pa.list_(pa.int32()), "Token id at each position, in the backbone's vocabulary."),
        "starts": (
            pa.list_(pa.int32()),
            "Where each position's token begins in the item's caption, characters; it ends where the next one begins.",
        ),
    },
    "entrants.parquet": {
        "token": (
            pa.int32(),
            "Token row of codes/: place in items.npy * positions + position.",
        ),
        "rank": (pa.int16(), "Place within the token, from 0."),
        "atom": (pa.int32(), "An atom outside the token's support."),
        "gap": (
            pa.float32(),
            "How far tau would have to drop for the atom to enter, in score units.",
        ),
    },
    "thumbs": {
        "item": (pa.int32(), "Row of items.parquet."),
        "webp": (pa.binary(), "The picture as the backbone saw it, WebP."),
    },
}

TEXT_TABLES = ("tokens.parquet",)
"""Tables that an atlas of texts has and one of pictures has not."""
REQUIRED_TABLES = tuple(name for name in COLUMNS if name.endswith(".parquet") and name not in TEXT_TABLES)
GROUPED_BY_ATOM = (
    "exemplars.parquet",
    "histograms.parquet",
    "labels.parquet",
    "neighbours.parquet",
)
CODE_ARRAYS = {
    "items": "int32",
    "token_crow": "int64",
    "token_col": "int32",
    "token_val": "float32",
    "atom_crow": "int64",
    "atom_row": "int32",
    "atom_val": "float32",
}


def arrow_schema(file: str) -> pa.Schema:
    """Arrow schema of one table of the atlas (``thumbs`` for a thumbnail shard)."""
    return pa.schema([(name, kind) for name, (kind, _) in COLUMNS[file].items()])


def definitions() -> dict[str, dict[str, str]]:
    """``columns`` of ``atlas.json``: file -> column -> definition."""
    return {file: {name: text for name, (_, text) in columns.items()} for file, columns in COLUMNS.items()}


def content_key(meta: dict[str, Any]) -> str:
    """Short id of an atlas: 12 hexadecimal digits of a hash over its files' hashes and its corpus.

    It changes when any table, tensor or picture changes, and only then, so it may name immutable URLs.
    """
    content = {
        "corpus": meta["corpus"].get("hash", ""),
        "files": {n: f["sha256"] for n, f in meta["files"].items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
