"""The exemplars of all atoms at once, for cards, for search and for tables: read once for each atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.derived import derived

if TYPE_CHECKING:
    from engine.atlas import Atlas

PREVIEW = 3
"""Exemplars that a card of an atom shows."""


@derived
def exemplar_pairs(atlas: Atlas) -> pd.DataFrame:
    """Every top exemplar: columns atom, rank, item, position."""
    columns = pq.read_table(atlas.path / "exemplars.parquet", columns=["atom", "kind", "rank", "item", "position"])
    top = columns.filter(pc.equal(columns.column("kind"), "top")).drop_columns("kind")
    frame: pd.DataFrame = top.to_pandas()
    return frame


@derived(most=512)
def exemplars(atlas: Atlas, atom: int) -> pd.DataFrame:
    """``atlas.exemplars(atom)``, kept for the atoms shown last: a page asks once, and then each of its heat maps."""
    return atlas.exemplars(atom)


@derived
def top_items(atlas: Atlas) -> NDArray[np.int32]:
    """The items of every atom's first exemplars, int32 [M, PREVIEW]; -1 where there are fewer.

    They are read once for all atoms, so that a card of another atom costs nothing more.
    """
    return _first_of_each(atlas, "item")


@derived
def top_positions(atlas: Atlas) -> NDArray[np.int32]:
    """Where every atom's first exemplars reach their value, int32 [M, PREVIEW]; -1 where there are fewer."""
    return _first_of_each(atlas, "position")


def _first_of_each(atlas: Atlas, column: str) -> NDArray[np.int32]:
    pairs = exemplar_pairs(atlas)
    first = pairs[pairs["rank"] < PREVIEW]
    table = np.full((atlas.n_atoms, PREVIEW), -1, np.int32)
    table[first["atom"].to_numpy(), first["rank"].to_numpy()] = first[column].to_numpy()
    return table
