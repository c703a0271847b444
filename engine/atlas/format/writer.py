"""Writing the tables that hold lists, and the codes of the sampled items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.atlas.format.schema import (
    ATOMS_PER_GROUP,
    EXEMPLAR_KINDS,
    TOKENS_PER_GROUP,
    arrow_schema,
)
from engine.atlas.format.tables import TEXT_LEVEL, lists, make_table, parquet_options, save_array, write_grouped

_ITEM_WORDS = ("id", "kind", "split", "label", "caption", "source", "license", "credit")

ITEMS_PER_GROUP = 16_384


@dataclass(frozen=True)
class Exemplars:
    """Rows of ``exemplars.parquet`` in their final order.

    Attributes
    ----------
    atom : int32 [rows]
    kind : int8 [rows]
        Place in ``EXEMPLAR_KINDS``.
    rank : int16 [rows]
        Place within the atom and kind, from 0.
    item, position : int32, int16 [rows]
        Where the value is reached: the item, and the first position in it.
    value : float32 [rows]
        Largest activation of the atom in the item, in code units.
    quantile : float32 [rows]
        Share of the atom's firing items whose value is not above this one, 0 to 1.
    heat_offsets : int64 [rows + 1]
        Where each row's heat map begins and ends.
    heat_positions, heat_values : uint16, float32 [entries]
        Positions of the item on which the atom fires, ascending, and its activations there.
    """

    atom: NDArray[np.int32]
    kind: NDArray[np.int8]
    rank: NDArray[np.int16]
    item: NDArray[np.int32]
    position: NDArray[np.int16]
    value: NDArray[np.float32]
    quantile: NDArray[np.float32]
    heat_offsets: NDArray[np.int64]
    heat_positions: NDArray[np.uint16]
    heat_values: NDArray[np.float32]


def write_exemplars(folder: Path, rows: Exemplars, n_atoms: int) -> None:
    """Write ``exemplars.parquet``."""
    kinds = pa.DictionaryArray.from_arrays(pa.array(rows.kind), pa.array(EXEMPLAR_KINDS)).cast(pa.string())
    columns = {
        "atom": rows.atom,
        "kind": kinds,
        "rank": rows.rank,
        "item": rows.item,
        "position": rows.position,
        "value": rows.value,
        "quantile": rows.quantile,
        "heat_positions": lists(rows.heat_offsets, rows.heat_positions, pa.uint16()),
        "heat_values": lists(rows.heat_offsets, rows.heat_values, pa.float32()),
    }
    table = make_table("exemplars.parquet", columns)
    write_grouped(folder / "exemplars.parquet", table, "atom", n_atoms, ATOMS_PER_GROUP)


def write_histograms(folder: Path, counts: NDArray[np.int64]) -> None:
    """Write ``histograms.parquet`` from token counts [M, B]."""
    n_atoms, n_bins = counts.shape
    offsets = np.arange(n_atoms + 1, dtype=np.int64) * n_bins
    columns = {
        "atom": np.arange(n_atoms),
        "counts": lists(offsets, counts.reshape(-1), pa.int64()),
    }
    table = make_table("histograms.parquet", columns)
    write_grouped(folder / "histograms.parquet", table, "atom", n_atoms, ATOMS_PER_GROUP)


def write_codes(
    folder: Path,
    items: NDArray[np.int32],
    crow: NDArray[np.int64],
    col: NDArray[np.int32],
    val: NDArray[np.float32],
    n_atoms: int,
) -> None:
    """Write ``codes/`` from the sample's CSR by token; the CSR by atom is its transpose."""
    (folder / "codes").mkdir(parents=True, exist_ok=True)
    rows = np.repeat(np.arange(len(crow) - 1, dtype=np.int32), np.diff(crow))
    order = np.argsort(col, kind="stable")  # stable: token rows stay ascending inside an atom
    atom_crow = np.zeros(n_atoms + 1, np.int64)
    np.cumsum(np.bincount(col, minlength=n_atoms), out=atom_crow[1:])
    arrays: dict[str, NDArray[Any]] = {
        "items": items.astype(np.int32),
        "token_crow": crow.astype(np.int64),
        "token_col": col.astype(np.int32),
        "token_val": val.astype(np.float32),
        "atom_crow": atom_crow,
        "atom_row": rows[order],
        "atom_val": val[order].astype(np.float32),
    }
    for name, array in arrays.items():
        save_array(folder / "codes" / f"{name}.npy", array)


def write_entrants(
    folder: Path,
    token: NDArray[np.int32],
    rank: NDArray[np.int16],
    atom: NDArray[np.int32],
    gap: NDArray[np.float32],
    n_tokens: int,
) -> None:
    """Write ``entrants.parquet`` from rows sorted by (token, rank); ``n_tokens`` tokens are sampled."""
    table = make_table("entrants.parquet", {"token": token, "rank": rank, "atom": atom, "gap": gap})
    write_grouped(folder / "entrants.parquet", table, "token", n_tokens, TOKENS_PER_GROUP)


def write_items(
    folder: Path, items: pd.DataFrame, support: NDArray[np.uint16], tau: NDArray[np.float32] | None
) -> None:
    """Write ``items.parquet`` in chunks: ``support`` and ``tau`` [n_items, P] may be memory maps larger than memory.

    Parameters
    ----------
    items : DataFrame
        Items of the activation store, in order.
    """
    schema = arrow_schema("items.parquet")
    with pq.ParquetWriter(folder / "items.parquet", schema, **parquet_options(schema, TEXT_LEVEL)) as writer:
        for start in range(0, max(len(items), 1), ITEMS_PER_GROUP):
            part = items.iloc[start : start + ITEMS_PER_GROUP]
            sizes = np.asarray(support[start : start + len(part)])
            columns: dict[str, Any] = {name: part[name].astype(str).tolist() for name in _ITEM_WORDS}
            columns |= {name: part[name].to_numpy() for name in ("width", "height", "corpus_index")}
            offsets = np.arange(len(part) + 1) * sizes.shape[1]
            if tau is None:
                thresholds = lists(np.zeros(len(part) + 1, np.int64), np.zeros(0, np.float32), pa.float32())
            else:
                thresholds = lists(offsets, np.asarray(tau[start : start + len(part)]).reshape(-1), pa.float32())
            columns |= {
                "item": np.arange(start, start + len(part)),
                "support": lists(offsets, sizes.reshape(-1), pa.uint16()),
                "tau": thresholds,
                "support_mean": sizes.mean(axis=1).astype(np.float32),
            }
            writer.write_table(make_table("items.parquet", columns))
