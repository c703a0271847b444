"""What a word is, in every script: the one rule that names atoms, cuts tokens to words and counts words of labels.

A word is a run of letters of any script with their combining marks (Unicode category M: Hindi's vowel signs, Arabic's
points, Thai's tones), joined by apostrophes, hyphens or the zero-width joiners of Persian and Sinhala. Scripts without
spaces (Chinese, Japanese, Thai) are not cut: a run of them is one word. See Unicode Standard Annex 29, section 4.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from itertools import groupby

_PRESENTATION = "\ufe0e\ufe0f"  # they choose between an emoji and its text form, and belong to no word
_JOINERS = "\u200c\u200d"
_LETTER = r"[^\W\d_]"


def _mark_class() -> str:
    """The body of a regular expression's class that holds every combining mark."""
    planes = (*range(0x300, 0x20000), *range(0xE0000, min(0xE1000, sys.maxunicode)))  # the others have no marks
    codes = [code for code in planes if unicodedata.category(chr(code))[0] == "M" and chr(code) not in _PRESENTATION]
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0])]
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)


_MARKS = _mark_class()
_RUN = rf"{_LETTER}(?:{_LETTER}|[{_MARKS}]|[{_JOINERS}](?={_LETTER}))*"
_WORD = re.compile(rf"{_RUN}(?:['’\-]{_RUN})*")
_NAME = re.compile(rf"{_LETTER}(?:[\w'\-{_MARKS}]|[{_JOINERS}](?=\w))*")
_WORDLIKE = re.compile(rf"[^\W_]|[{_MARKS}]")
_INSIDE = re.compile(rf"[^\W_]|[{_MARKS}{_JOINERS}]")
_NO_LETTER = re.compile(rf"[{_MARKS}{_JOINERS}]")


def find_words(text: str) -> list[str]:
    """The words of a text in order, as they are written, in NFC; single letters too (see ``is_long_enough``)."""
    return _WORD.findall(unicodedata.normalize("NFC", text))


def find_name_words(text: str) -> list[str]:
    """The words of a label or a class name that are long enough, in order, in NFC; digits and "_" belong to them."""
    return [word for word in _NAME.findall(unicodedata.normalize("NFC", text)) if is_long_enough(word)]


def is_long_enough(word: str) -> bool:
    """Whether a word says something by its length: two characters without marks, or one letter of a script without case.

    A single Latin, Greek or Cyrillic letter says nothing; a single Han character or a Hindi syllable is a word.
    """
    bare = _NO_LETTER.sub("", word)
    return len(bare) > 1 or (len(bare) == 1 and unicodedata.category(bare) == "Lo" and bare not in "ªº")


def has_word(text: str) -> bool:
    """Whether a text holds a letter, a digit or a combining mark, so that it is no mere punctuation."""
    return _WORDLIKE.search(text) is not None


def goes_on(character: str) -> bool:
    """Whether a word goes on over this character: a letter, a digit, a combining mark or a zero-width joiner."""
    return _INSIDE.match(character) is not None
