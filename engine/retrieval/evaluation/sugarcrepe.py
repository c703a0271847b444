"""SugarCrepe (Hsieh et al., 2023): a picture, its caption, and one that differs in an object, an attribute or a relation.

Two options a picture; chance is one half. The order in which they are shown is drawn anew for every picture: a script that
always shows the right one second measures a model's liking for the second place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.corpus.captions import CaptionRow
from engine.corpus.listed import open_listed
from engine.corpus.matching import finder
from engine.errors import InputError
from engine.files import read_json
from engine.progress import Progress
from engine.retrieval.coarse.collection import open_collection
from engine.retrieval.coarse.embedders.base import Embedder, embed_text_queries
from engine.retrieval.evaluation.measures import interval, median
from engine.retrieval.evaluation.pairs import evenly_spaced
from engine.retrieval.evaluation.scorebook import ScoreBook
from engine.retrieval.fine.scorer import Scorer
from engine.retrieval.search.events import Mode

_FIELDS = ("filename", "caption", "negative_caption")
_SEED = 2026


@dataclass(frozen=True)
class CaptionChoice:
    """A picture's file and two captions: the right one and the altered one."""

    file: str
    caption: str
    negative: str


def is_sugarcrepe(path: Path) -> bool:
    """Whether a file is one of SugarCrepe's."""
    if not path.is_file() or path.suffix.lower() != ".json":
        return False
    document = read_json(path)
    rows = list(document.values())[:1] if isinstance(document, dict) else document[:1]
    return bool(rows) and isinstance(rows[0], dict) and all(name in rows[0] for name in _FIELDS)


def load_sugarcrepe(path: Path) -> list[CaptionChoice]:
    """The choices of a SugarCrepe file, in the order of the file.

    Raises
    ------
    InputError
        If a row lacks a field.
    """
    document = read_json(path)
    rows = document.values() if isinstance(document, dict) else document
    try:
        return [CaptionChoice(*(str(row[name]).strip() for name in _FIELDS)) for row in rows]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is not a SugarCrepe file: a row has no {error}.") from None


def benchmark_sugarcrepe(
    path: Path,
    images: Path,
    embedder: Embedder,
    scorer: Scorer | None,
    modes: Sequence[Mode],
    progress: Progress,
    queries: int | None = None,
    scores: Path | None = None,
) -> dict[str, Any]:
    """Accuracy of the embedder's cosine and of every mode: how often the right caption gets the higher score.

    Equal scores count half. For the cosine both captions are embedded as queries, the picture as what is found. The
    listwise mode sees both captions in one prompt, in drawn order.

    Returns
    -------
    dict
        JSON-ready: "accuracy" -> "coarse" and the modes, each with a 95% bootstrap interval; "label_mass" by mode.

    Raises
    ------
    InputError
        If no picture is there.
    """
    choices = load_sugarcrepe(path)
    choices = [choices[place] for place in evenly_spaced(len(choices), queries)]
    corpus = open_listed(path.stem, images, [CaptionRow(one.file, {}) for one in choices])
    find = finder(corpus.items["id"].tolist())
    rows = {one.file: find(one.file) for one in choices}
    choices = [one for one in choices if rows[one.file] >= 0]
    collection = open_collection(corpus, embedder, progress)
    vectors = collection.vectors("image")
    right, wrong = (
        embed_text_queries(embedder, [getattr(one, name) for one in choices]) for name in ("caption", "negative")
    )
    seen = vectors[[rows[one.file] for one in choices]]
    margins = ((right - wrong) * seen).sum(1)
    accuracy: dict[str, Any] = {"coarse": interval((np.sign(margins) + 1) / 2)}
    masses: dict[str, float | None] = {}
    for mode in modes if scorer is not None else ():
        assert scorer is not None
        book, rng = ScoreBook(scorer, mode, folder=scores), np.random.default_rng(_SEED)
        outcomes, mass = [], []
        progress.start(f"Reading pairs ({mode})", len(choices), "choices")
        for one in choices:
            row = rows[one.file]
            shown = [one.caption, one.negative] if rng.random() < 0.5 else [one.negative, one.caption]
            key = collection.cache_key(row) + (f" {shown!r}" if mode == "listwise" else "")
            book.fill(lambda row=row: collection.image(row), key, shown, progress, joint=mode == "listwise")  # type: ignore[misc]
            own, other = book.get(key, one.caption), book.get(key, one.negative)
            if own is None or other is None or own.score is None or other.score is None:
                outcomes.append(0.0)  # a failure is no right answer
            else:
                outcomes.append((float(np.sign(own.score - other.score)) + 1) / 2)
                mass += [judged.label_mass for judged in (own, other) if judged.label_mass is not None]
            progress.advance()
        progress.finish()
        accuracy[mode], masses[mode] = interval(outcomes), median(mass)
    return {
        "corpus": collection.describe() | {"file": path.name},
        "models": {"embedder": embedder.identity, "mllm": scorer.identity if scorer is not None else None},
        "riddles": len(choices),
        "chance": 0.5,
        "accuracy": accuracy,
        "label_mass": masses,
    }
