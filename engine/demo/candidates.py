"""A picture that may enter the demo corpus, with everything that is known about it before it is rendered."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Candidate:
    """One picture of one source.

    Attributes
    ----------
    id
        ``source/path``, unique and stable from build to build.
    path
        Where the original lies.
    caption, label, keywords
        What it shows. Captions are clean English; labels are members of ``engine.demo.labels.LABELS``.
    source, licence, credit
        The package it comes from, its terms, and whom to thank ("" when the source does not say).
    group
        What must stay in one split: crops of one photograph, variants of one drawing, one emoji in several genders.
    photo
        True: fill the square by cropping. False: a cut-out, fitted whole on white.
    crop
        Left, top, right, bottom as fractions of the original, before anything else; None for the whole picture.
    """

    id: str
    path: Path
    caption: str
    label: str
    keywords: tuple[str, ...]
    source: str
    licence: str
    credit: str
    group: str
    photo: bool = False
    crop: Box | None = field(default=None)
