"""How well an SAE recovers the true features: its directions and codes against those of a known world."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.metrics.reconstruction import fvu
from engine.metrics.stability import matching
from kernels.codes import SparseCodes

RECOVERED_ABOVE = 0.9


def recovery(directions: Tensor, dictionary: Tensor) -> tuple[dict[str, float], Tensor]:
    """How well the true directions are found, one atom for each by Hungarian matching of signed cosines.

    Parameters
    ----------
    directions : [M, d]
        Decoder directions of the SAE; M may differ from G.
    dictionary : [G, d]
        True directions.

    Returns
    -------
    (dict, int64 [M])
        ``cosine``: mean cosine over the true features, 0 for one without an atom; ``recovered``: share of the true features
        with a cosine above 0.9. And the true feature of every atom, -1 where it has none.
    """
    features, atoms, cosines = matching(dictionary, directions)
    matched = torch.full((len(directions),), -1, dtype=torch.int64)
    matched[torch.from_numpy(atoms)] = torch.from_numpy(features)
    figures = {
        "cosine": float(cosines.sum() / len(dictionary)),
        "recovered": float((cosines > RECOVERED_ABOVE).sum() / len(dictionary)),
    }
    return figures, matched


def code_f1(codes: SparseCodes, truth: SparseCodes, matched: Tensor) -> float:
    """F1 of firing: does the matched atom fire on the tokens on which its true feature is active?

    For every true feature 2 TP / (2 TP + FP + FN) over the tokens, amplitudes left out; the mean over the features that are
    active at least once. A feature without an atom scores 0.

    Parameters
    ----------
    codes, truth : SparseCodes
        Codes of the same N tokens over M atoms and G features.
    matched : int64 [M]
        True feature of every atom, -1 for none.
    """
    count = truth.n_atoms
    feature = matched[codes.col.long().cpu()]
    told = (codes.row.cpu() * count + feature)[feature >= 0]
    true = truth.row * count + truth.col.long()
    hits = torch.bincount(told[torch.isin(told, true)] % count, minlength=count).double()
    said = torch.bincount(told % count, minlength=count).double()
    active = torch.bincount(truth.col.long(), minlength=count).double()
    scores = (2 * hits / (said + active))[active > 0]
    return float(scores.mean()) if len(scores) else float("nan")


@torch.no_grad()
def score(
    directions: Tensor, dictionary: Tensor, codes: SparseCodes, truth: SparseCodes, x: Tensor, x_hat: Tensor
) -> dict[str, Any]:
    """All figures of one SAE on tokens ``x``: ``cosine``, ``recovered``, ``f1``, ``fvu``, ``l0`` and ``dead`` (share)."""
    figures, matched = recovery(directions.cpu(), dictionary)
    return figures | {
        "f1": code_f1(codes, truth, matched),
        "fvu": fvu(x, x_hat),
        "l0": codes.nnz / len(codes),
        "dead": float(np.mean(torch.bincount(codes.col.long().cpu(), minlength=codes.n_atoms).numpy() == 0)),
    }
