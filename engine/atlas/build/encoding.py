"""Tokens through the SAE: their codes on the CPU, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import AtomscopeError

if TYPE_CHECKING:
    from engine.sae import SparseAutoencoder


@dataclass(frozen=True)
class EncodedTokens:
    """CSR codes of some tokens, on the CPU.

    Attributes
    ----------
    crow : int64 [tokens + 1]
        Where the codes of each token begin and end.
    col : int32 [entries]
        Atoms that fire, ascending inside a token.
    val : float32 [entries]
        Their activations, in code units.
    tau : float32 [tokens] or None
        Threshold of each token, in score units; None when the SAE has none.
    """

    crow: NDArray[np.int64]
    col: NDArray[np.int32]
    val: NDArray[np.float32]
    tau: NDArray[np.float32] | None

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Support size of each token, int64 [tokens]."""
        return np.diff(self.crow)


@torch.no_grad()
def encode(sae: SparseAutoencoder, x: torch.Tensor) -> EncodedTokens:
    """Encode tokens [n, d], on the device they are on.

    Raises
    ------
    AtomscopeError
        If a code is not a finite number.
    """
    codes, tau = sae.encode_with_threshold(x)
    values = codes.val.float().cpu().numpy()
    if not np.isfinite(values).all():
        raise AtomscopeError(
            "The SAE gives codes that are not finite numbers: its weights or the activations are broken."
        )
    return EncodedTokens(
        codes.crow.cpu().numpy(), codes.col.cpu().numpy(), values, None if tau is None else tau.float().cpu().numpy()
    )
