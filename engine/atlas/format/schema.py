"""The atlas format in code: names, versions and every column of every table with its type and its definition.

``FORMAT.md`` is normative. The writer, the reader and the validator take their columns from here, so that the page and the
three of them can only drift apart together, which the property tests would notice.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

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


class Column(NamedTuple):
    """One column of a table: its Arrow type, and what it holds in one sentence with its unit."""

    kind: pa.DataType
    definition: str


COLUMNS: dict[str, dict[str, Column]] = {
    "atoms.parquet": {
        "atom": Column(pa.int32(), "Index of the atom in the dictionary, from 0."),
        "firing_count": Column(pa.int64(), "Tokens on which the atom fires (is in the token's support)."),
        "item_count": Column(pa.int64(), "Items with at least one token on which the atom fires."),
        "frequency": Column(pa.float32(), "Share of all tokens on which the atom fires: firing_count / tokens."),
        "mean_activation": Column(
            pa.float32(), "Mean activation over the tokens on which the atom fires, in code units."
        ),
        "max_activation": Column(pa.float32(), "Largest activation over all tokens, in code units."),
        "status": Column(
            pa.string(),
            f"dead: never fires; rare: frequency below {RARE_BELOW:g}; dense: frequency above {DENSE_ABOVE:g}; else live.",
        ),
        "label_entropy": Column(
            pa.float32(),
            "Entropy, in bits, of the labels of the atom's top exemplars, weighted by activation; 0 means one label.",
        ),
        "top_label": Column(pa.string(), "The label that carries most of the activation of the atom's top exemplars."),
        "top_label_share": Column(
            pa.float32(), "Share of the top exemplars' activation that top_label carries, 0 to 1."
        ),
        "monosemanticity": Column(
            pa.float32(),
            "Activation-weighted mean pairwise cosine of the embeddings of the items on which the atom fires, -1 to 1.",
        ),
        "diversity": Column(
            pa.float32(), "1 - mean pairwise cosine of the embeddings of the atom's top exemplars, 0 to 2."
        ),
        "x": Column(pa.float32(), "Horizontal place on the map of atoms, no unit."),
        "y": Column(pa.float32(), "Vertical place on the map of atoms, no unit."),
        "cluster": Column(pa.int32(), "Row of clusters.parquet the atom belongs to, -1 for none."),
        "label": Column(
            pa.string(), "Best text label from captions and keywords of the exemplars, empty when there is none."
        ),
        "label_candidates": Column(_STRINGS, "Further text labels, best first."),
    },
    "exemplars.parquet": {
        "atom": Column(pa.int32(), "Index of the atom."),
        "kind": Column(pa.string(), "top: items of largest value; quantile: items sampled from lower quantile bands."),
        "rank": Column(pa.int16(), "Place within the atom and kind, from 0."),
        "item": Column(pa.int32(), "Row of items.parquet."),
        "position": Column(pa.int16(), "Position of the item at which the value is reached (the first, if several)."),
        "value": Column(pa.float32(), "Largest activation of the atom in the item, in code units."),
        "quantile": Column(pa.float32(), "Share of the atom's firing items whose value is not above this one, 0 to 1."),
        "heat_positions": Column(pa.list_(pa.uint16()), "Positions of the item on which the atom fires, ascending."),
        "heat_values": Column(pa.list_(pa.float32()), "Activation at each of heat_positions, in code units."),
    },
    "histograms.parquet": {
        "atom": Column(pa.int32(), "Index of the atom."),
        "counts": Column(pa.list_(pa.int64()), "Tokens whose activation lies in each bin of histogram_edges."),
    },
    "labels.parquet": {
        "atom": Column(pa.int32(), "Index of the atom."),
        "label": Column(pa.string(), "Label of the items."),
        "tokens": Column(pa.int64(), "Tokens of items with this label on which the atom fires."),
        "items": Column(pa.int64(), "Items with this label on which the atom fires."),
        "share": Column(pa.float32(), "tokens over the atom's firing_count, 0 to 1."),
    },
    "neighbours.parquet": {
        "atom": Column(pa.int32(), "Index of the atom."),
        "kind": Column(pa.string(), "decoder: by decoder direction; coactivation: by firing on the same tokens."),
        "rank": Column(pa.int16(), "Place within the atom and kind, from 0."),
        "other": Column(pa.int32(), "Index of the neighbouring atom."),
        "similarity": Column(pa.float32(), "Cosine of the decoder directions, or of the binary firing vectors."),
    },
    "clusters.parquet": {
        "cluster": Column(pa.int32(), "Index of the cluster, from 0."),
        "label": Column(pa.string(), "Best text label of the cluster, empty when there is none."),
        "keywords": Column(_STRINGS, "Further text labels, best first."),
        "size": Column(pa.int32(), "Atoms in the cluster."),
        "x": Column(pa.float32(), "Mean x of its atoms."),
        "y": Column(pa.float32(), "Mean y of its atoms."),
    },
    "items.parquet": {
        "item": Column(pa.int32(), "Index of the item, from 0."),
        "id": Column(pa.string(), "Name of the item in its corpus."),
        "kind": Column(pa.string(), "image or text."),
        "split": Column(pa.string(), "train, validation, test, or empty."),
        "label": Column(pa.string(), "Class of the item, empty when unknown."),
        "caption": Column(pa.string(), "Caption of an image; the text itself for a text item."),
        "source": Column(pa.string(), "Where the item comes from."),
        "license": Column(pa.string(), "Licence of the item."),
        "credit": Column(pa.string(), "Who made the item."),
        "width": Column(pa.int32(), "Width of the original, pixels; 0 for a text."),
        "height": Column(pa.int32(), "Height of the original, pixels; 0 for a text."),
        "corpus_index": Column(pa.int32(), "Row of the item in the corpus (items that could not be read leave gaps)."),
        "support": Column(pa.list_(pa.uint16()), "Support size (number of atoms that fire) at each position."),
        "tau": Column(
            pa.list_(pa.float32()), "Threshold of each position, in score units; empty when the SAE has none."
        ),
        "support_mean": Column(pa.float32(), "Mean support size over the positions."),
    },
    "tokens.parquet": {
        "item": Column(pa.int32(), "Row of items.parquet."),
        "ids": Column(pa.list_(pa.int32()), "Token id at each position, in the backbone's vocabulary."),
        "starts": Column(
            pa.list_(pa.int32()),
            "Where each position's token begins in the item's caption, characters; it ends where the next one begins.",
        ),
    },
    "entrants.parquet": {
        "token": Column(pa.int32(), "Token row of codes/: place in items.npy * positions + position."),
        "rank": Column(pa.int16(), "Place within the token, from 0."),
        "atom": Column(pa.int32(), "An atom outside the token's support."),
        "gap": Column(pa.float32(), "How far tau would have to drop for the atom to enter, in score units."),
    },
    "thumbs": {
        "item": Column(pa.int32(), "Row of items.parquet."),
        "webp": Column(pa.binary(), "The picture as the backbone saw it, WebP."),
    },
}
"""The columns of every file, in the order in which the file has them."""

TEXT_TABLES = ("tokens.parquet",)
"""Tables that an atlas of texts has and one of pictures has not."""
REQUIRED_TABLES = tuple(name for name in COLUMNS if name.endswith(".parquet") and name not in TEXT_TABLES)
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
    return pa.schema([(name, column.kind) for name, column in COLUMNS[file].items()])


def definitions() -> dict[str, dict[str, str]]:
    """``columns`` of ``atlas.json``: file -> column -> definition."""
    return {file: {name: column.definition for name, column in columns.items()} for file, columns in COLUMNS.items()}


def content_key(meta: dict[str, Any]) -> str:
    """Short id of an atlas: 12 hexadecimal digits of a hash over its files' hashes and its corpus.

    It changes when any table, tensor or picture changes, and only then, so it may name immutable URLs.
    """
    content = {
        "corpus": meta["corpus"].get("hash", ""),
        "files": {n: f["sha256"] for n, f in meta["files"].items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
