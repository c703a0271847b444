"""The sampled items: chosen by hash and encoded before the pass. They give the histogram edges, ``codes/`` and the entrants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from engine.atlas.build.hashing import choose
from engine.atlas.format.schema import ENTRANTS_KEPT
from engine.errors import AtomscopeError

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.progress import Progress
    from engine.sae import SparseAutoencoder

BINS = 64
COACTIVATION_TOKENS = 131_072
COACTIVATION_ENTRIES = 8_000_000
COACTIVATION_PAIRS = 2_000_000_000

# Dense scores of this many tokens at once, for the entrants: 64 tokens of 49,152 atoms are 12 MB.
_SCORE_TOKENS = 64


@dataclass
class Encoded:
    """CSR codes of some tokens on the CPU, and their thresholds (None when the SAE has none)."""

    crow: NDArray[np.int64]
    col: NDArray[np.int32]
    val: NDArray[np.float32]
    tau: NDArray[np.float32] | None


@dataclass
class Sample:
    """The sampled items' codes and what follows from them.

    Attributes
    ----------
    items : int32 [S]
        Sampled items, ascending.
    codes : Encoded
        Codes of their S P tokens.
    token, rank, atom, gap
        Rows of ``entrants.parquet``.
    edges : float64 [BINS + 1]
        Histogram edges.
    coactivation_tokens : int
        How many tokens of the whole store the co-activation sample should hold.
    """

    items: NDArray[np.int32]
    codes: Encoded
    token: NDArray[np.int32]
    rank: NDArray[np.int16]
    atom: NDArray[np.int32]
    gap: NDArray[np.float32]
    edges: NDArray[np.float64]
    coactivation_tokens: int


@torch.no_grad()
def encode(sae: SparseAutoencoder, x: torch.Tensor) -> Encoded:
    """Encode tokens [n, d] and bring the codes to the CPU.

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
    return Encoded(
        codes.crow.cpu().numpy(), codes.col.cpu().numpy(), values, None if tau is None else tau.float().cpu().numpy()
    )


def draw_sample(
    sae: SparseAutoencoder, store: ActivationStore, size: int, device: torch.device, progress: Progress
) -> Sample:
    """Encode ``size`` items chosen by hash, the same for every order of the data and every SAE."""
    items = choose(store.n_items, min(size, store.n_items)).astype(np.int32)
    progress.start("encoding the sample", len(items), "items")
    parts, entrants = [], []
    for place, item in enumerate(items):
        x = torch.as_tensor(store.item(int(item))).to(device)
        part = encode(sae, x)
        parts.append(part)
        if part.tau is not None:
            entrants.append(_entrants(sae, x, part, place * store.n_positions))
        progress.advance()
    progress.finish()
    sizes = np.concatenate([np.diff(part.crow) for part in parts])
    codes = Encoded(
        crow=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        col=np.concatenate([part.col for part in parts]),
        val=np.concatenate([part.val for part in parts]),
        tau=None if not entrants else np.concatenate([part.tau for part in parts if part.tau is not None]),
    )
    none = (np.zeros(0, np.int32), np.zeros(0, np.int16), np.zeros(0, np.int32), np.zeros(0, np.float32))
    token, rank, atom, gap = (np.concatenate(rows) for rows in zip(*entrants, strict=True)) if entrants else none
    edges = histogram_edges(codes.val)
    return Sample(items, codes, token, rank, atom, gap, edges, coactivation_size(sizes, store.n_tokens))


@torch.no_grad()
def _entrants(
    sae: SparseAutoencoder, x: torch.Tensor, codes: Encoded, first_token: int
) -> tuple[NDArray[np.int32], NDArray[np.int16], NDArray[np.int32], NDArray[np.float32]]:
    """The atoms outside each token's support with the largest finite scores, and their distance from the threshold."""
    assert codes.tau is not None
    tokens, ranks, atoms, gaps = [], [], [], []
    for start in range(0, len(x), _SCORE_TOKENS):
        scores = sae.scores(x[start : start + _SCORE_TOKENS]).float().cpu()
        crow = codes.crow[start : start + len(scores) + 1]
        row = np.repeat(np.arange(len(scores)), np.diff(crow))
        scores[torch.from_numpy(row), torch.from_numpy(codes.col[crow[0] : crow[-1]].astype(np.int64))] = -torch.inf
        best, index = scores.topk(min(ENTRANTS_KEPT, scores.shape[1]), dim=1)
        found = torch.isfinite(best).numpy()
        place = np.nonzero(found)
        tokens.append((first_token + start + place[0]).astype(np.int32))
        ranks.append(place[1].astype(np.int16))
        atoms.append(index.numpy()[found].astype(np.int32))
        # Rounding may lift a score at the threshold above it by a last bit.
        gap = codes.tau[start : start + len(scores), None] - best.numpy()
        gaps.append(np.maximum(gap[found], 0).astype(np.float32))
    return np.concatenate(tokens), np.concatenate(ranks), np.concatenate(atoms), np.concatenate(gaps)


def histogram_edges(values: NDArray[np.float32], bins: int = BINS) -> NDArray[np.float64]:
    """Bin edges for activations like ``values``: even steps of asinh(v / s), linear near 0 and logarithmic beyond.

    s is the median of \\|v\\|; the range is the sample's, a tenth wider below and a quarter above (in that scale), and does not
    pass 0 when all values have one sign. The edges depend on the set of sampled values only, not on any order.
    """
    if len(values) == 0:
        return np.linspace(0.0, 1.0, bins + 1)
    scale = float(np.median(np.abs(values))) or 1.0
    low, high = (float(np.arcsinh(v / scale)) for v in (values.min(), values.max()))
    span = max(high - low, 0.5)
    lower, upper = low - 0.1 * span, high + 0.25 * span
    if low >= 0:
        lower = max(lower, 0.0)
    if high <= 0 and low < 0:
        upper = min(upper, 0.0)
    return scale * np.sinh(np.linspace(lower, upper, bins + 1))


def coactivation_size(support: NDArray[np.int64], n_tokens: int) -> int:
    """Tokens of the co-activation sample: all, or as many as keep its entries and its pairs of atoms bounded."""
    if len(support) == 0:
        return 0
    entries, pairs = max(support.mean(), 1.0), max(np.square(support.astype(np.float64)).mean(), 1.0)
    bounds = (n_tokens, COACTIVATION_TOKENS, COACTIVATION_ENTRIES / entries, COACTIVATION_PAIRS / pairs)
    return int(min(bounds))
