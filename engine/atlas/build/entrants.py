"""The entrants: for the sampled tokens, the atoms that would enter the support first if the threshold dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from engine.atlas.build.encoding import EncodedTokens
from engine.atlas.format.schema import ENTRANTS_KEPT

if TYPE_CHECKING:
    from engine.sae import SparseAutoencoder

# Dense scores of this many tokens at once: 64 tokens of 49,152 atoms are 12 MB.
_TOKENS_AT_ONCE = 64


@dataclass(frozen=True)
class Entrants:
    """Rows of ``entrants.parquet``, sorted by token and rank.

    Attributes
    ----------
    token : int32 [rows]
        Place of the token among the sampled tokens.
    rank : int16 [rows]
        Place of the atom among the token's entrants, from 0.
    atom : int32 [rows]
        An atom outside the token's support.
    gap : float32 [rows]
        How far the threshold would have to drop for the atom to enter, in score units; not below 0.
    """

    token: NDArray[np.int32]
    rank: NDArray[np.int16]
    atom: NDArray[np.int32]
    gap: NDArray[np.float32]


def join(parts: Sequence[Entrants]) -> Entrants:
    """The rows of all parts one after another; no rows when there are no parts."""
    return Entrants(
        np.concatenate([np.zeros(0, np.int32), *(part.token for part in parts)]),
        np.concatenate([np.zeros(0, np.int16), *(part.rank for part in parts)]),
        np.concatenate([np.zeros(0, np.int32), *(part.atom for part in parts)]),
        np.concatenate([np.zeros(0, np.float32), *(part.gap for part in parts)]),
    )


@torch.no_grad()
def find_entrants(sae: SparseAutoencoder, x: torch.Tensor, codes: EncodedTokens, first_token: int) -> Entrants:
    """The atoms outside each token's support with the largest finite scores, at most ``ENTRANTS_KEPT`` of them.

    Parameters
    ----------
    x : float [n, d]
        Tokens.
    codes : EncodedTokens
        Their codes; the SAE must have thresholds.
    first_token : int
        Number of the first one among the sampled tokens.
    """
    assert codes.tau is not None
    parts = []
    for start in range(0, len(x), _TOKENS_AT_ONCE):
        scores = sae.scores(x[start : start + _TOKENS_AT_ONCE]).float().cpu()
        crow = codes.crow[start : start + len(scores) + 1]
        row = np.repeat(np.arange(len(scores)), np.diff(crow))
        scores[torch.from_numpy(row), torch.from_numpy(codes.col[crow[0] : crow[-1]].astype(np.int64))] = -torch.inf
        best, index = scores.topk(min(ENTRANTS_KEPT, scores.shape[1]), dim=1)
        finite = torch.isfinite(best).numpy()
        token, rank = np.nonzero(finite)
        # Rounding may lift a score at the threshold above it by a last bit.
        gap = codes.tau[start : start + len(scores), None] - best.numpy()
        parts.append(
            Entrants(
                (first_token + start + token).astype(np.int32),
                rank.astype(np.int16),
                index.numpy()[finite].astype(np.int32),
                np.maximum(gap[finite], 0).astype(np.float32),
            )
        )
    return join(parts)
