"""What the multimodal model is asked. A picture comes first and what changes from candidate to candidate comes last.

So the part before the caption is the same for every caption of one picture, and its keys and values are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.errors import AtomscopeError

JUDGE = "Does the picture match the caption? Answer True or False.\nCaption:"
RATE = "How well does the caption fit the picture, from 0 (not at all) to 9 (exactly)? Answer with one digit.\nCaption:"
SCORE = "Give a score between 0 and 1 for how well the caption fits the picture. Answer with the number only.\nCaption:"
DESCRIBE = "Describe the picture in one sentence."

Question = Literal["judge", "rate", "score"]

_CAPTION = {"judge": JUDGE, "rate": RATE, "score": SCORE}
_PAIR = {
    "judge": "Do the two pictures show the same thing? Answer True or False.",
    "rate": "How much do the two pictures show the same thing, from 0 (not at all) to 9 (exactly)? Answer with one digit.",
    "score": "Give a score between 0 and 1 for how much the two pictures show the same thing. Answer with the number only.",
}
_ASKED = {
    "judge": "Is the second picture what is asked for? Answer True or False.",
    "rate": "How well is the second picture what is asked for, from 0 (not at all) to 9 (exactly)? Answer with one digit.",
    "score": "Give a score between 0 and 1 for how well the second picture is what is asked for. Answer with the number only.",
}
_WORDS = {
    "judge": "Do the two captions describe the same picture? Answer True or False.\nCaption:",
    "rate": "How well do the two captions describe the same picture, from 0 (not at all) to 9 (exactly)? "
    "Answer with one digit.\nCaption:",
    "score": "Give a score between 0 and 1 for how well the two captions describe the same picture. "
    "Answer with the number only.\nCaption:",
}
PICK_CAPTION = "Which caption fits the picture best? Answer with its number only."
PICK_PICTURE = "Which of the pictures fits the caption best? Answer with its number only."


@dataclass(frozen=True)
class Content:
    """The query, or what of a candidate is read: a picture, a text, or both."""

    picture: bool
    text: str


@dataclass(frozen=True)
class Statement:
    """The statement about a query and one candidate that the model judges.

    A text query against a picture and a picture query against a caption are the same statement: (picture, caption).

    Attributes
    ----------
    pictures : tuple of str
        Whose pictures stand in front, in order: "query", "candidate".
    about : str
        "caption" (one picture, one caption), "pair" (two pictures), "asked" (two pictures and words), "words" (no picture).
    before : str
        Words that belong to the pictures and come before the question; "" for none.
    caption : str
        The caption that is judged, last of all; "" where there is none.
    """

    pictures: tuple[str, ...]
    about: Literal["caption", "pair", "asked", "words"]
    before: str
    caption: str


def make_statement(query: Content, candidate: Content) -> Statement:
    """The statement to judge.

    Raises
    ------
    AtomscopeError
        If the candidate has nothing to read.
    """
    if not candidate.picture and not candidate.text:
        raise AtomscopeError("The candidate has neither a picture nor a text that can be read.")
    if query.picture and candidate.picture:
        if not query.text and not candidate.text:
            return Statement(("query", "candidate"), "pair", "", "")
        named = f"The second picture's caption: {candidate.text}\n" if candidate.text else ""
        if not query.text:
            return Statement(("query", "candidate"), "pair", named, "")
        return Statement(("query", "candidate"), "asked", named, f"Asked for, beside the first picture: {query.text}")
    if query.picture:
        before = f"The picture comes with the words: {query.text}\n" if query.text else ""
        return Statement(("query",), "caption", before, candidate.text)
    if candidate.picture:
        before = f"The picture comes with the words: {candidate.text}\n" if candidate.text else ""
        return Statement(("candidate",), "caption", before, query.text)
    return Statement((), "words", "", f"{candidate.text}\nCaption: {query.text}")


def question_about(statement: Statement, question: Question) -> str:
    """The words of the user's turn: the pictures stand before them, the caption is their end."""
    if statement.about == "pair":
        return statement.before + _PAIR[question]
    if statement.about == "asked":
        return f"{statement.before}{statement.caption}\n{_ASKED[question]}"
    asked = _WORDS if statement.about == "words" else _CAPTION
    return f"{statement.before}{asked[question]} {statement.caption}"


def chat(words: str, pictures: int) -> list[dict[str, Any]]:
    """A user's turn in the form of chat templates: ``pictures`` placeholders, then the words."""
    content: list[dict[str, Any]] = [{"type": "image"} for _ in range(pictures)]
    return [{"role": "user", "content": [*content, {"type": "text", "text": words}]}]


def list_captions(captions: Sequence[str]) -> str:
    """The listwise question about one picture."""
    return PICK_CAPTION + "".join(f"\n{number}: {caption}" for number, caption in enumerate(captions, 1))


def list_pictures(count: int, caption: str) -> str:
    """The listwise question about several pictures, which are numbered in the order they stand in."""
    return f"The {count} pictures are numbered 1 to {count}. {PICK_PICTURE}\nCaption: {caption}"
