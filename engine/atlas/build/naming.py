"""Text labels for atoms and clusters: the terms their exemplars share, contrasted with all items.

A term is scored by its log-odds among the exemplars against its log-odds in the corpus, in units of its standard error
(the weighted log-odds ratio of Monroe, Colaresi and Quinn, "Fightin' Words", Political Analysis 2008, eq. 15-22, with the
corpus as the prior). Exemplars count by their activation. A term must be carried by a fair share of the exemplars; where none
is, the label stays empty: no name is better than noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from engine.atlas.build.words import Terms
from engine.atlas.format.writer import Exemplars

CANDIDATES = 6
PRIOR = 2.0
LEAST_Z = 2.5
ATOM_COVERAGE = 0.3
CLUSTER_COVERAGE = 0.05
SHARE_POWER = 0.5
_ATOMS_AT_ONCE = 4096


@dataclass
class Names:
    """Labels of rows (atoms or clusters): the best one, ``""`` for none, and further candidates, best first."""

    label: list[str]
    candidates: list[list[str]]


def name_atoms(
    exemplars: Exemplars, terms: Terms, n_atoms: int, document: NDArray[np.int64] | None = None
) -> tuple[Names, csr_matrix]:
    """Labels of all atoms from their top exemplars.

    ``document`` int64 [rows of exemplars] says which row of ``terms.presence`` holds an exemplar's terms; by default the row
    of its item.

    Returns
    -------
    Names
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
    names, blocks = Names([], []), []
    for start in range(0, n_atoms, _ATOMS_AT_ONCE):
        rows = slice(start, min(start + _ATOMS_AT_ONCE, n_atoms))
        scale = np.divide(1.0, total[rows], out=np.zeros_like(total[rows]), where=total[rows] > 0)
        share = (weights[rows].multiply(scale[:, None]).tocsr() @ terms.presence).tocsr().astype(np.float32)
        block = _best_terms(share, effective[rows], frequency, int(worded.sum()), terms.names, ATOM_COVERAGE)
        names.label += block.label
        names.candidates += block.candidates
        blocks.append(share)
    from scipy.sparse import vstack

    return names, (vstack(blocks).tocsr() if blocks else csr_matrix((0, n_terms), dtype=np.float32))


def name_clusters(cluster: NDArray[np.int32], share: csr_matrix, names: list[str]) -> Names:
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
        return Names([], [])
    speaking = np.diff(share.indptr) > 0
    members = np.flatnonzero((cluster >= 0) & speaking)
    sums = csr_matrix((np.ones(len(members)), (cluster[members], members)), (count, share.shape[0]))
    size = np.bincount(cluster[members], minlength=count).astype(np.float64)
    scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    means = (sums.multiply(scale[:, None]).tocsr() @ share).tocsr()
    everywhere = np.asarray(share[speaking].sum(axis=0)).ravel()
    return told_apart(_best_terms(means, size, everywhere, int(speaking.sum()), names, CLUSTER_COVERAGE))


def told_apart(names: Names) -> Names:
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


def _best_terms(
    share: csr_matrix,
    size: NDArray[np.float64],
    document: NDArray[Any],
    n_documents: int,
    names: list[str],
    least_share: float,
) -> Names:
    """The best terms of every row of ``share``; ``size`` is how many documents stand behind a row."""
    out = Names([], [])
    for row in range(share.shape[0]):
        span = slice(share.indptr[row], share.indptr[row + 1])
        term, part = share.indices[span], share.data[span].astype(np.float64)
        enough = (part >= least_share) & (part * size[row] >= 1.5)
        term, part = term[enough], part[enough]
        odds, error = log_odds(part * size[row], size[row], document[term], n_documents)
        good = odds >= LEAST_Z * error
        # Ranked by what is sure of the contrast: the share alone would favour the most general word, the contrast alone
        # the rarest one.
        sure = (odds - error) * part**SHARE_POWER
        chosen = _without_echoes(term[good], sure[good], part[good], names)
        out.label.append(chosen[0] if chosen else "")
        out.candidates.append(chosen[1 : 1 + CANDIDATES])
    return out


def log_odds(
    count: NDArray[np.float64], total: float, document: NDArray[Any], n_documents: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-odds ratio of terms, ``count`` of ``total`` against ``document`` of ``n_documents``, and its standard error.

    The prior adds ``PRIOR`` documents in which every term is as frequent as in the corpus.
    """
    frequency = (document + 0.5) / (n_documents + 1.0)
    prior = PRIOR * frequency
    here = np.log(count + prior) - np.log(np.maximum(total - count, 0.0) + PRIOR - prior)
    there = np.log(frequency) - np.log1p(-np.minimum(frequency, 1 - 1e-9))
    return here - there, np.sqrt(1.0 / (count + prior) + 1.0 / (document + 0.5))


def _without_echoes(term: NDArray[Any], score: NDArray[Any], part: NDArray[Any], names: list[str]) -> list[str]:
    """Terms by score; a pair of words goes before its single words when nearly as many exemplars carry it, and what
    repeats a chosen term is left out."""
    carried = {names[t]: p for t, p in zip(term, part, strict=True)}
    chosen: list[str] = []
    order = sorted(range(len(term)), key=lambda i: (-score[i], names[term[i]]))
    for i in order:
        name = names[term[i]]
        words = set(name.split())
        if len(words) == 1:
            pairs = [pair for pair in carried if len(pair.split()) == 2 and name in pair.split()]
            strong = [pair for pair in pairs if carried[pair] >= 0.75 * carried[name]]
            if strong and (pair := max(strong, key=lambda p: (carried[p], p))) not in chosen:
                name, words = pair, set(pair.split())
        elif carried[name] < 0.5 * max(carried.get(word, 0.0) for word in words):
            continue
        if not any(words <= set(other.split()) or set(other.split()) <= words for other in chosen):
            chosen.append(name)
    return chosen
