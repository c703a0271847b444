"""Names of atoms in an atlas of texts, from the words at and around the tokens where their exemplars peak."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from engine.atlas.build.naming.scores import RankedNames
from engine.atlas.build.naming.words import STOP_WORDS, TermTable, collect_terms
from engine.atlas.format.texts import Snippets
from engine.atlas.format.writer import Exemplars
from engine.words import has_word

ONE_WORD = 0.5
"""Share of an atom's exemplars (by activation) above which the word they peak on is its name."""


def exemplar_terms(exemplars: Exemplars, snippets: Snippets) -> TermTable:
    """Terms of every exemplar (one row for each, in order): those around the token where its value is reached."""
    words = [
        snippets.window(int(item), int(position))
        for item, position in zip(exemplars.item, exemplars.position, strict=True)
    ]
    return collect_terms(words, [()] * len(words), [""] * len(words))


def prefer_one_word(names: RankedNames, exemplars: Exemplars, snippets: Snippets) -> None:
    """Where half of an atom's top exemplars peak on one word, that word becomes the name; the earlier names follow.

    A word that says nothing by itself ("of"), or punctuation, is put in quotes: the atom is about the token then.
    """
    weight: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in np.flatnonzero((exemplars.kind == 0) & (exemplars.value > 0)):
        word = snippets.word(int(exemplars.item[row]), int(exemplars.position[row]))
        weight[int(exemplars.atom[row])][word] += float(exemplars.value[row])
    for atom, words in weight.items():
        best = max(words, key=lambda word: (words[word], word))
        if words[best] < ONE_WORD * sum(words.values()):
            continue
        plain = has_word(best) and best not in STOP_WORDS
        name = best if plain else f"“{best}”"
        behind = [known for known in (names.label[atom], *names.candidates[atom]) if known and known != best]
        names.label[atom] = name
        names.candidates[atom] = behind[: max(len(names.candidates[atom]), 1)]
