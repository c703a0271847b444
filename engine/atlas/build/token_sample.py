"""The tokens from which co-activation is counted: chosen by hash while the pass goes by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.atlas.build.encoding import EncodedTokens
from engine.atlas.build.hashing import hashes
from engine.atlas.grouping import segments

_SALT = 1


@dataclass(frozen=True)
class TokenSample:
    """Supports of the chosen tokens.

    Attributes
    ----------
    crow : int64 [T + 1]
        Where the support of each token begins and ends.
    atoms : int32 [entries]
        Atoms that fire, ascending inside a token.
    """

    crow: NDArray[np.int64]
    atoms: NDArray[np.int32]

    @property
    def n_tokens(self) -> int:
        """Chosen tokens, T."""
        return len(self.crow) - 1


class TokenSampler:
    """Keeps the supports of about ``wanted`` of ``n_tokens`` tokens; which ones depends on the tokens' numbers only."""

    def __init__(self, wanted: int, n_tokens: int) -> None:
        top = 2**64 - 1
        self._wanted = wanted
        self._limit = np.uint64(top if wanted >= n_tokens else int(top * (wanted / n_tokens)))
        self._sizes: list[NDArray[np.int64]] = []
        self._atoms: list[NDArray[np.int32]] = []

    def add(self, first_token: int, codes: EncodedTokens) -> None:
        """Keep the chosen ones among tokens that follow each other from ``first_token``."""
        sizes = codes.sizes
        tokens = np.arange(first_token, first_token + len(sizes))
        chosen = np.flatnonzero(hashes(tokens, _SALT) <= self._limit)
        if self._wanted and len(chosen):
            self._sizes.append(sizes[chosen])
            self._atoms.append(codes.col[segments(codes.crow[chosen], sizes[chosen])[0]])

    def sample(self) -> TokenSample:
        """The supports of all chosen tokens so far."""
        sizes = np.concatenate([np.zeros(1, np.int64), *self._sizes])
        return TokenSample(np.cumsum(sizes), np.concatenate([np.zeros(0, np.int32), *self._atoms]))

    def restore(self, sample: TokenSample) -> None:
        """Go on from what :meth:`sample` gave."""
        self._sizes, self._atoms = [np.diff(sample.crow)], [sample.atoms]
