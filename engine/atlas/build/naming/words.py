"""From captions, keywords and labels to terms: which words and pairs of words each item carries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix

from engine.words import find_words, is_long_enough

# Words that say nothing about what a picture shows: function words, and what captions of any picture are made of.
STOP_WORDS = frozenset(
    """
    a about above across after again against all almost along also although always am among an and another any anyone
    anything are around as at away back be became because become been before being below beneath beside between beyond both
    but by came can cannot come could did do does doing done down during each either else enough etc even ever every few for
    from further gave get gets getting give given gives go goes going gone got had has have having he her here hers him his
    how however i if in inside instead into is it its itself just kept kind know known large later least less let like little
    long made make makes making many may me might mine more most much must my near need never next no nobody none nor not
    nothing now of off often on once one only onto or other others our out outside over own part per perhaps put quite
    rather really said same say see seen several shall she should show showing shown shows since small so some someone
    something sometimes soon sort still such take taken takes taking than that the their them then there these they thing
    things this those though three through thus to together too toward towards turned two type under until up upon us use
    used uses using usually various very via view viewed want was way we well went were what whatever when where whether
    which while who whole whom whose why will with within without would yet you your yours
    background close closeup clip clipart depicting depiction depicts drawing drawn emoji icon illustration image images photo
    photograph photographed photos pic picture pictures portrait render rendered rendering scene sketch vector
    """.split()
)


@dataclass
class TermTable:
    """The vocabulary and which item carries which term.

    Attributes
    ----------
    names : list of str
        Terms: single words and pairs of words.
    presence : csr float32 [n_items, V]
        1 where an item carries a term.
    """

    names: list[str]
    presence: csr_matrix


def collect_terms(captions: Sequence[str], keywords: Sequence[Iterable[str]], labels: Sequence[str]) -> TermTable:
    """Terms of all items.

    Captions, keywords and labels (the last part of ``animal/bird``) are cut into words; stop words go; a plural becomes its
    singular where the singular occurs too. Two words that follow each other directly also make a term. A term has to occur
    in two items to be kept.
    """
    texts = [
        [_words(caption), *(_words(word) for word in words), _words(label.rsplit("/", 1)[-1])]
        for caption, words, label in zip(captions, keywords, labels, strict=True)
    ]
    known = {word for phrases in texts for phrase in phrases for word in phrase}
    singular = {word: _singular(word, known) for word in known}
    carried = [_terms([[singular[word] for word in phrase] for phrase in phrases]) for phrases in texts]
    counts = Counter(term for terms in carried for term in terms)
    names = sorted(term for term, count in counts.items() if count > 1)
    index = {term: i for i, term in enumerate(names)}
    rows = [[index[term] for term in sorted(terms) if term in index] for terms in carried]
    crow = np.cumsum([0, *(len(row) for row in rows)])
    col = np.array([i for row in rows for i in row], np.int32)
    return TermTable(names, csr_matrix((np.ones(len(col), np.float32), col, crow), (len(rows), len(names))))


def _words(text: str) -> list[str]:
    """Words of a text in order, lower case, with ``""`` where a stop word stood (it parts the words around it)."""
    words = [word.lower().replace("’", "'").removesuffix("'s") for word in find_words(text.replace("_", " "))]
    return [word if word not in STOP_WORDS and is_long_enough(word) else "" for word in words]


def _singular(word: str, known: set[str]) -> str:
    """The singular of a plural when it occurs among the known words too, else the word itself."""
    if not word.endswith("s") or word.endswith(("ss", "us", "is")) or len(word) < 4:
        return word
    forms = [word[:-1]]
    if word.endswith("ies"):
        forms = [word[:-3] + "y", *forms]
    elif word.endswith("ves"):
        forms = [word[:-3] + "f", word[:-3] + "fe", *forms]
    elif word.endswith("es"):
        forms = [*forms, word[:-2]]
    return next((form for form in forms if form in known), word)


def _terms(phrases: list[list[str]]) -> set[str]:
    single = {word for phrase in phrases for word in phrase if word}
    pairs = {f"{a} {b}" for phrase in phrases for a, b in pairwise(phrase) if a and b and a != b}
    return single | pairs
