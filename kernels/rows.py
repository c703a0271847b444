"""What a backend makes of rows of scores: their supports, or the reason why a row has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from torch import Tensor

from kernels.codes import SparseCodes

Values = Literal["score", "probability"]


@dataclass(frozen=True, slots=True)
class Support:
    """The supports of N rows of scores over ``n_atoms`` atoms, in compressed sparse row (CSR) form.

    Attributes
    ----------
    crow : int64 [N + 1]
        Row ``i`` owns entries ``crow[i]:crow[i + 1]``.
    col : int32 [nnz]
        Atom of each entry, strictly ascending inside a row.
    z : float32 [nnz]
        Score of each entry.
    p : float32 [nnz]
        Its sparsemax probability ``z - tau``, taken before rounding ``tau``, so that rows sum to 1 whatever the size
        of the scores.
    tau : float32 [N]
        The threshold of each row: ``z > tau`` on the support and nowhere else.
    n_atoms : int
        M.
    fallback_rows : int
        Rows that took the longer way to the same result: their first lower bound failed its certificate (numba), or
        more groups than the quick kernel holds could matter (triton).

    float64 scores (the reference backend) give float64 ``z``, ``p`` and ``tau``.
    """

    crow: Tensor
    col: Tensor
    z: Tensor
    p: Tensor
    tau: Tensor
    n_atoms: int
    fallback_rows: int = 0

    def codes(self, values: Values) -> SparseCodes:
        """The codes of this support: scores, as a gate, or probabilities, which sum to 1."""
        if values == "score":
            return SparseCodes(self.crow, self.col, self.z, self.n_atoms)
        if values == "probability":
            return SparseCodes(self.crow, self.col, self.p, self.n_atoms)
        assert_never(values)


def explain_bad_row(row: int, scores: Tensor) -> ValueError:
    """The error for the first row that has no support; ``scores`` is that row."""
    if bool(scores.isnan().any()):
        cause = "holds NaN"
    elif bool((scores == torch.inf).any()):
        cause = "holds +inf"
    else:
        cause = "holds only -inf (every atom is masked)"
    return ValueError(f"Row {row} of the scores {cause}, so it has no sparsemax support; check what produced it.")
