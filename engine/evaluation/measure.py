"""One pass over stored activations that measures an SAE by every metric that needs no model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.files import without_nan
from engine.inspection.ledger import ledger
from engine.metrics.labels import label_entropy
from engine.metrics.monosemanticity import MonosemanticitySums
from engine.metrics.reconstruction import ReconstructionSums
from engine.metrics.sparsity import FiringCounts, l0_bins, l0_mean, l0_quantiles
from engine.progress import Progress, SilentProgress
from kernels.codes import SparseCodes

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.sae import SparseAutoencoder

TOP_EXEMPLARS = 16
BATCH_ITEMS = 16
LEDGER_TOKENS = 64


@torch.no_grad()
def measure(
    sae: SparseAutoencoder,
    store: ActivationStore,
    rows: NDArray[np.int64] | None = None,
    progress: Progress | None = None,
    top: int = TOP_EXEMPLARS,
    stage: str = "evaluate",
) -> dict[str, Any]:
    """Measure ``sae`` on the items ``rows`` of ``store`` (default: all).

    Parameters
    ----------
    rows : int64 [n], optional
        Items of the store.
    top : int
        Exemplars per atom that the label entropy reads.
    stage : str
        What the progress calls this pass.

    Returns
    -------
    dict of JSON-ready figures
        ``items``, ``tokens``; ``fvu``, ``explained_variance`` (centred) and ``explained_variance_uncentred``; ``l0_mean``,
        ``l0_quantiles``, ``l0_histogram`` (tokens by support size, see ``l0_bins``); ``atoms``, ``dead`` and ``dense``
        (counts), ``dead_share``, ``dense_share``; ``ledger_gap`` (see ``ledger_gap``); ``label_entropy``
        (bits; mean over the atoms that have at least two labelled exemplars, of the ``top`` items of largest activation)
        and ``monosemanticity`` (mean over the atoms that fire on at least two items), with the number of atoms each mean
        is over; a figure that cannot be measured (no labels, say) is None.
    """
    progress = progress or SilentProgress()
    rows = np.arange(store.n_items) if rows is None else np.asarray(rows)
    labels = store.items["label"].to_numpy()
    embeddings = torch.from_numpy(np.array(store.embeddings[rows], dtype=np.float32))
    device = next(sae.parameters()).device
    reconstruction = ReconstructionSums(sae.config.d_model)
    firing = FiringCounts(sae.config.n_atoms)
    similarity = MonosemanticitySums(sae.config.n_atoms, embeddings.shape[1])
    exemplars = TopItems(top)

    gap = None
    progress.start(stage, len(rows))
    for start in range(0, len(rows), BATCH_ITEMS):
        chosen = rows[start : start + BATCH_ITEMS]
        x = torch.cat([torch.as_tensor(store.item(int(row)), dtype=torch.float32) for row in chosen]).to(device)
        codes = sae.encode(x)
        reconstruction.add(x, sae.decode(codes, sae.norm(x)))
        gap = ledger_gap(sae, x[:LEDGER_TOKENS]) if gap is None else gap
        firing.add(codes)
        atom, item, value = item_maxima(codes, store.n_positions)
        exemplars.add(atom.numpy(), item.numpy() + start, value.numpy())
        similarity.add(atom, item, value, embeddings[start : start + BATCH_ITEMS])
        progress.advance(len(chosen))
    progress.finish()

    entropies = [label_entropy(labels[rows[items]], values) for items, values in exemplars.by_atom() if len(items) > 1]
    scores = similarity.score()
    return {
        "items": len(rows),
        "tokens": reconstruction.tokens,
        "fvu": without_nan(reconstruction.fvu),
        "explained_variance": without_nan(reconstruction.explained_variance),
        "explained_variance_uncentred": without_nan(reconstruction.explained_variance_uncentred),
        "l0_mean": without_nan(l0_mean(firing.l0_histogram)),
        "l0_quantiles": l0_quantiles(firing.l0_histogram),
        "l0_histogram": l0_bins(firing.l0_histogram),
        "atoms": sae.config.n_atoms,
        "dead": firing.dead,
        "dead_share": firing.dead / sae.config.n_atoms,
        "dense": firing.dense,
        "dense_share": firing.dense / sae.config.n_atoms,
        "ledger_gap": gap,
        "label_entropy": _mean(np.array(entropies)),
        "label_entropy_atoms": int(np.isfinite(entropies).sum()),
        "monosemanticity": _mean(scores),
        "monosemanticity_atoms": int(np.isfinite(scores).sum()),
    }


def ledger_gap(sae: SparseAutoencoder, x: Tensor) -> float:
    """How far the reconstruction ledgers of tokens ``x`` [N, d] are from adding up: rounding only, or the SAE is broken.

    max |base + contributions + error - x| over all entries, as a share of the largest |x|; see ``engine.inspection.ledger``.
    """
    return float(((ledger(sae, x).total - x).abs().max() / x.abs().max().clamp_min(1e-30)).item())


def item_maxima(codes: SparseCodes, n_positions: int) -> tuple[Tensor, Tensor, Tensor]:
    """Largest activation of every atom in every item it fires in.

    ``codes`` hold whole items of ``n_positions`` tokens each, in order. Returns atom int64 [n], item int64 [n] (from 0 in
    this batch) and value float32 [n], on the CPU, each pair once, sorted by (atom, item).
    """
    row, col, val = codes.row.cpu(), codes.col.long().cpu(), codes.val.detach().cpu()
    n_items = max(len(codes) // n_positions, 1)
    pair, place = torch.unique(col * n_items + row // n_positions, return_inverse=True)
    value = torch.full((len(pair),), -torch.inf).scatter_reduce_(0, place, val, "amax")
    return pair // n_items, pair % n_items, value


class TopItems:
    """The ``top`` items of largest value of every atom, over any number of batches; ties go to the smaller item."""

    def __init__(self, top: int) -> None:
        self.top = top
        self._atom = np.zeros(0, dtype=np.int64)
        self._item = np.zeros(0, dtype=np.int64)
        self._value = np.zeros(0, dtype=np.float32)

    def add(self, atom: NDArray[np.int64], item: NDArray[np.int64], value: NDArray[np.float32]) -> None:
        """Add (atom, item, value) triples; each (atom, item) pair comes once over the whole run."""
        atom, item = np.concatenate([self._atom, atom]), np.concatenate([self._item, item])
        value = np.concatenate([self._value, value])
        order = np.lexsort((item, -value, atom))
        atom = atom[order]
        rank = np.arange(len(atom)) - np.searchsorted(atom, atom)
        kept = rank < self.top
        self._atom, self._item, self._value = atom[kept], item[order][kept], value[order][kept]

    def by_atom(self) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Items and values of every atom that has any, best first, ascending atom."""
        cuts = np.flatnonzero(np.diff(self._atom)) + 1
        if not len(self._atom):
            return []
        return list(zip(np.split(self._item, cuts), np.split(self._value, cuts), strict=True))


def _mean(values: NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)] if len(values) else values
    return float(finite.mean()) if len(finite) else None
