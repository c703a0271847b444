"""Scores of picture-caption pairs, kept on disk as they come: a benchmark that was stopped continues there.

The statement "this picture matches this caption" is the same whichever of the two was the query. So a picture is read once
with all captions that any query needs of it, and its prefix serves them all.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from engine.corpus import UnreadableItem
from engine.files import explain_os_errors
from engine.paths import cache_dir
from engine.progress import Progress
from engine.retrieval.fine import prompts
from engine.retrieval.fine.candidates import CandidateView
from engine.retrieval.fine.scorer import Scorer
from engine.retrieval.search.events import MODES, CandidateScored, FineRecord, Mode, PoolEntry
from engine.retrieval.search.query import Enhancement, Query, SearchOptions

_KEPT = ("score", "p_true", "p_false", "label_mass", "entropy", "fired_layer", "milliseconds", "error")


@dataclass(frozen=True)
class Judgement:
    """The part of a ``FineRecord`` that is kept on disk; ``score`` is None where the model failed."""

    score: float | None
    p_true: float | None = None
    p_false: float | None = None
    label_mass: float | None = None
    entropy: float | None = None
    fired_layer: int | None = None
    milliseconds: float = 0.0
    error: str = ""

    @classmethod
    def of(cls, record: FineRecord) -> Judgement:
        values = {name: getattr(record, name) for name in _KEPT}
        broken = {name: None for name, value in values.items() if isinstance(value, float) and math.isnan(value)}
        return cls(**values | broken)

    def record(self, entry: PoolEntry, mode: Mode, prior: Callable[[float], float] | None = None) -> FineRecord:
        """A record for the ranking rule; ``prior`` gives the log-odds of a coarse cosine that are added to the score."""
        score = self.score + prior(entry.score) if prior is not None and self.score is not None else self.score
        return FineRecord(entry, score, mode, entropy=self.entropy, error=self.error)


class ScoreBook:
    """All judgements of one model in one mode, with one enhancement or none.

    Parameters
    ----------
    scorer : Scorer
    mode : str
    enhancement : Enhancement, optional
        Judgements without it are then kept as well, in ``plain``.
    folder : Path, optional
        Default: ``cache_dir()/retrieval/scores``.
    """

    def __init__(
        self, scorer: Scorer, mode: Mode, enhancement: Enhancement | None = None, folder: Path | None = None
    ) -> None:
        self.scorer, self.mode, self.enhancement = scorer, mode, enhancement
        # A pair's place in a pool is not known here: log-odds are kept, the prior is added when the pool is ordered.
        self.read_as: Mode = "log-odds" if mode == "posterior" else mode
        self.prior = scorer.prior.log_odds if mode == "posterior" else None
        self.folder = folder or cache_dir() / "retrieval" / "scores"
        self.judged: dict[str, Judgement] = {}
        self.plain = ScoreBook(scorer, mode, folder=folder) if enhancement is not None else None
        asked = {name: value for name, value in vars(prompts).items() if name.isupper() and isinstance(value, str)}
        known = {key: scorer.identity.get(key) for key in ("revision", "architecture", "dtype")}
        if not known["revision"]:
            known["name"] = scorer.identity.get("name")
        about = [known, self.read_as, asdict(enhancement) if enhancement else None, asked]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
        self.path = self.folder / f"{digest[:32]}.jsonl"
        self._torn = False
        self._read()

    def get(self, picture: str, caption: str) -> Judgement | None:
        """The judgement of the picture with this content key and this caption."""
        return self.judged.get(_key(picture, caption))

    def fill(
        self,
        image: Callable[[], Image.Image],
        picture: str,
        captions: Sequence[str],
        progress: Progress,
        joint: bool = False,
        batch: int = 16,
    ) -> None:
        """Judge the pairs of one picture and its captions that have no judgement yet.

        ``image`` loads the picture; ``picture`` is its content key. ``joint`` reads all captions in one prompt (the
        listwise mode): its scores hold for this list only, so the key should say which list it is.
        """
        missing = [caption for caption in dict.fromkeys(captions) if self.get(picture, caption) is None]
        if not missing:
            return
        wanted = list(dict.fromkeys(captions)) if joint else missing
        options = SearchOptions(
            top_k=len(wanted),
            mode=self.read_as if self.read_as in MODES else "",  # a reranker is not asked for a mode
            enhancement=self.enhancement,
            view="text",
            batch=batch,
            tie_rule=False,
        )
        found: dict[str, FineRecord] = {}
        plain: dict[str, FineRecord] = {}
        try:
            query = Query(image=image())
            for event in self.scorer.score(query, _views(wanted), options):
                caption = wanted[event.record.entry.item]
                found[caption] = event.record
                if isinstance(event, CandidateScored) and event.plain is not None:
                    plain[caption] = event.plain
        except UnreadableItem as fault:
            progress.warn(f"{fault} Its pairs count as failed.")
        lost = {caption: Judgement(None, error="no answer") for caption in wanted if caption not in found}
        self._keep(picture, {caption: Judgement.of(record) for caption, record in found.items()} | lost)
        if self.plain is not None and plain:
            self.plain._keep(picture, {caption: Judgement.of(record) for caption, record in plain.items()})

    def _keep(self, picture: str, judged: dict[str, Judgement]) -> None:
        lines = []
        for caption, judgement in judged.items():
            key = _key(picture, caption)
            self.judged[key] = judgement
            if judgement.score is not None:  # a failure is tried again next time
                known = {name: value for name, value in asdict(judgement).items() if value not in (None, "")}
                lines.append(json.dumps({"key": key} | known, allow_nan=False) + "\n")
        with explain_os_errors(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n" * self._torn + "".join(lines))
        self._torn = False

    def _read(self) -> None:
        if not self.path.is_file():
            return
        text = self.path.read_text("utf-8")
        self._torn = not text.endswith("\n")  # a run was killed while it wrote its last line
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                key = entry.pop("key")
                self.judged[key] = Judgement(**entry)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue


def _key(picture: str, caption: str) -> str:
    return hashlib.sha256(f"{picture}\0{caption}".encode()).hexdigest()[:32]


def _views(captions: Iterable[str]) -> list[CandidateView]:
    return [
        CandidateView(PoolEntry(number, str(number), number + 1, 0.0), "", None, caption)
        for number, caption in enumerate(captions)
    ]
