"""Checks of ``entrants.parquet``, against the sampled codes."""

from __future__ import annotations

import numpy as np

from engine.atlas.format.schema import ENTRANTS_KEPT, TOKENS_PER_GROUP
from engine.atlas.grouping import place_in_group
from engine.atlas.validation.codes import read_codes
from engine.atlas.validation.context import ValidationContext


def check_entrants(context: ValidationContext) -> None:
    """``entrants.parquet``."""
    where, report, codes = "entrants.parquet", context.report, read_codes(context)
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
