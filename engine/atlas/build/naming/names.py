"""Names for atoms from the terms that their exemplars share, and for clusters from the terms that their atoms share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from engine.atlas.build.naming.scores import RankedNames, best_terms
from engine.atlas.build.naming.words import TermTable
from engine.atlas.format.writer import Exemplars

ATOM_COVERAGE = 0.3
CLUSTER_COVERAGE = 0.05
_ATOMS_AT_ONCE = 4096


def name_atoms(
    exemplars: Exemplars, terms: TermTable, n_atoms: int, document: NDArray[np.int64] | None = None
) -> tuple[RankedNames, csr_matrix]:
    """Labels of all atoms from their top exemplars.

    ``document`` int64 [rows of exemplars] says which row of ``terms.presence`` holds an exemplar's terms; by default the row
    of its item.

    Returns
    -------
    RankedNames
    csr float32 [M, V]
        Share of each atom's exemplars (by activation) that carry each term; clusters are named from it.
    """
    owner = exemplars.item if document is None else document
    top = np.flatnonzero((exemplars.kind == 0) & (exemplars.value > 0))
    worded = np.diff(terms.presence.indptr) > 0
    top = top[worded[owner[top]]]
    n_items, n_terms = terms.presence.shape
    weights = csr_matrix((exemplars.value[top], (exemplars.atom[top], owner[top])), (n_atoms, n_items))
    total = np.asarray(weights.sum(axis=1)).ravel()
    squares = np.asarray(weights.multiply(weights).sum(axis=1)).ravel()
    # Kish's effective sample size: an atom with one dominant exemplar has little evidence, however many follow.
    effective = np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)
    frequency = np.asarray(terms.presence.sum(axis=0)).ravel()
    names, blocks = RankedNames([], []), []
    for start in range(0, n_atoms, _ATOMS_AT_ONCE):
        rows = slice(start, min(start + _ATOMS_AT_ONCE, n_atoms))
        scale = np.divide(1.0, total[rows], out=np.zeros_like(total[rows]), where=total[rows] > 0)
        share = (weights[rows].multiply(scale[:, None]).tocsr() @ terms.presence).tocsr().astype(np.float32)
        block = best_terms(share, effective[rows], frequency, int(worded.sum()), terms.names, ATOM_COVERAGE)
        names.label += block.label
        names.candidates += block.candidates
        blocks.append(share)
    return names, (vstack(blocks).tocsr() if blocks else csr_matrix((0, n_terms), dtype=np.float32))


def name_clusters(cluster: NDArray[np.int32], share: csr_matrix, names: list[str]) -> RankedNames:
    """Labels of the clusters: terms that more of a cluster's atoms share than atoms elsewhere do.

    Parameters
    ----------
    cluster : int32 [M]
        Cluster of every atom, -1 for none; numbered from the largest.
    share : csr [M, V]
        What ``name_atoms`` gave.
    names : list of str
        Terms.
    """
    count = int(cluster.max(initial=-1)) + 1
    if count == 0:
        return RankedNames([], [])
    speaking = np.diff(share.indptr) > 0
    members = np.flatnonzero((cluster >= 0) & speaking)
    sums = csr_matrix((np.ones(len(members)), (cluster[members], members)), (count, share.shape[0]))
    size = np.bincount(cluster[members], minlength=count).astype(np.float64)
    scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    means = (sums.multiply(scale[:, None]).tocsr() @ share).tocsr()
    everywhere = np.asarray(share[speaking].sum(axis=0)).ravel()
    return disambiguate(best_terms(means, size, everywhere, int(speaking.sum()), names, CLUSTER_COVERAGE))


def disambiguate(names: RankedNames) -> RankedNames:
    """Where a larger cluster has the same label already, the best candidate joins it: ``face``, then ``face, smiley``."""
    taken: set[str] = set()
    for row, label in enumerate(names.label):
        if label in taken:
            further = next((c for c in names.candidates[row] if f"{label}, {c}" not in taken), None)
            if further is not None:
                names.candidates[row].remove(further)
                names.label[row] = f"{label}, {further}"
        taken.add(names.label[row])
    return names
