"""Which terms tell a row (an atom or a cluster) from everything else.

A term is scored by its log-odds among the documents of a row against its log-odds in the corpus, in units of its standard
error (the weighted log-odds ratio of Monroe, Colaresi and Quinn, "Fightin' Words", Political Analysis 2008, eq. 15-22, with
the corpus as the prior). A term must be carried by a fair share of the documents; where none is, the label stays empty: no
name is better than noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

CANDIDATES = 6
PRIOR = 2.0
LEAST_Z = 2.5
SHARE_POWER = 0.5


@dataclass
class RankedNames:
    """Labels of rows (atoms or clusters): the best one, ``""`` for none, and further candidates, best first."""

    label: list[str]
    candidates: list[list[str]]


def best_terms(
    share: csr_matrix,
    size: NDArray[np.float64],
    document: NDArray[Any],
    n_documents: int,
    names: list[str],
    least_share: float,
) -> RankedNames:
    """The best terms of every row of ``share``; ``size`` is how many documents stand behind a row."""
    out = RankedNames([], [])
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
