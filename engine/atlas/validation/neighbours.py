"""Checks of ``neighbours.parquet``, against the decoder directions of the SAE."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.atlas.format.schema import NEIGHBOUR_KINDS
from engine.atlas.validation.context import ValidationContext
from engine.atlas.validation.ranks import check_ranks, kind_numbers
from engine.atlas.validation.report import CheckStopped, same_float


def check_neighbours(context: ValidationContext, directions: NDArray[np.float32] | None) -> None:
    """``neighbours.parquet``; ``directions`` are the SAE's decoder directions, or None when it could not be loaded."""
    where, report = "neighbours.parquet", context.report
    live = context.firing > 0
    for table in context.groups(where):
        atom, other = (table.column(name).to_numpy() for name in ("atom", "other"))
        similarity = table.column("similarity").to_numpy()
        kind = kind_numbers(context, where, table, NEIGHBOUR_KINDS)
        check_ranks(context, where, atom, kind, table.column("rank").to_numpy())
        bad = (other < 0) | (other >= context.n_atoms) | (other == atom)
        report.rows(bad, where, "other is no other atom", atom)
        if bad.any():
            raise CheckStopped
        report.rows(~live[atom] | ~live[other], where, "a dead atom has neighbours or is one", atom)
        group = atom.astype(np.int64) * 2 + kind
        same = group[1:] == group[:-1]
        report.rows(same & (similarity[1:] > similarity[:-1]), where, "similarity rises with rank", atom[1:])
        pair = group * context.n_atoms + other
        report.expect(len(np.unique(pair)) == len(pair), where, "an atom names the same neighbour twice.")
        low = np.where(kind == 0, -1.0, 0.0)
        report.rows(~((similarity >= low) & (similarity <= 1 + 1e-5)), where, "similarity is out of range", atom)
        if directions is not None:
            rows = np.flatnonzero(kind == 0)
            cosine = (directions[atom[rows]] * directions[other[rows]]).sum(axis=1)
            wrong = ~same_float(similarity[rows], cosine, 1e-3)
            report.rows(wrong, where, "similarity is not the cosine of the decoder directions", atom[rows])
