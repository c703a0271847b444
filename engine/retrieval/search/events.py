"""The events of a search, one per step. The page, the command line and the evaluation read the same stream.

Order: ``Started``, ``PoolReady``, then ``CandidateScored`` or ``CandidateFailed`` for every candidate of the pool (or
``FineSkipped`` / ``StoppedEarly`` when a rule says so), ``TieResolved`` when there was a tie at the top, ``Done``. A cancelled
search ends with ``Done(cancelled=True)``: what was scored counts, the rest keeps its coarse order behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Mode = Literal["log-odds", "posterior", "true-false", "generated", "expected", "likelihood", "listwise", "reranker"]
MODES: tuple[Mode, ...] = ("log-odds", "posterior", "true-false", "generated", "expected", "likelihood", "listwise")
"""The training-free scores, which a search may ask for; a trained reranker knows its own only."""


@dataclass(frozen=True)
class PoolEntry:
    """One candidate of the coarse pool.

    Attributes
    ----------
    item : int
        Row of the corpus.
    id : str
        The corpus's id of it.
    rank : int
        Coarse rank, from 1.
    score : float
        Cosine of the embeddings.
    """

    item: int
    id: str
    rank: int
    score: float


@dataclass(frozen=True)
class TokenChance:
    """A next token the model considered, as text, with its probability."""

    token: str
    probability: float


@dataclass(frozen=True)
class FineRecord:
    """Everything known about one candidate after the model read it.

    Attributes
    ----------
    entry : PoolEntry
        Where it stood in the coarse pool.
    score : float or None
        Fine score in the units of ``mode``; None when the candidate failed.
    mode : str
        How ``score`` was made.
    p_true, p_false : float or None
        Probability of the next token being a spelling of True / False (None in modes that do not ask for them).
    label_mass : float or None
        ``p_true + p_false``: how much of the model's probability went to the answers it was offered.
    entropy, binary_entropy : float or None
        Of the next token over the whole vocabulary, in nats; of True against False after normalising, in nats.
    top_tokens : list of TokenChance
        The ten likeliest next tokens.
    text : str
        What the model wrote, in modes that generate; "" otherwise.
    parsed : bool
        False when a written answer could not be read: it then counts 0.
    prompt : str
        The exact prompt, special tokens included; runs of image tokens shortened to ``<image x 49>``.
    prompt_tokens : int
        Its length.
    fired_layer : int or None
        The decoder layer after which visual enhancement acted, None if it did not.
    layer_entropy : list of float
        Logit-lens entropy after each layer (normalised, 0 to 1); empty unless it was asked for.
    milliseconds : float
        Wall time of this candidate (its share of a batch).
    cache : str
        What was reused: "" nothing, "image" the vision tower's output, "prefix" keys and values too, "score" the whole
        record.
    error : str
        Why it failed; "" when it did not.
    """

    entry: PoolEntry
    score: float | None
    mode: Mode
    p_true: float | None = None
    p_false: float | None = None
    label_mass: float | None = None
    entropy: float | None = None
    binary_entropy: float | None = None
    top_tokens: list[TokenChance] = field(default_factory=list)
    text: str = ""
    parsed: bool = True
    prompt: str = ""
    prompt_tokens: int = 0
    fired_layer: int | None = None
    layer_entropy: list[float] = field(default_factory=list)
    milliseconds: float = 0.0
    cache: str = ""
    error: str = ""


@dataclass(frozen=True)
class Started:
    """The search begins; ``models`` names embedder, MLLM and corpus with their revisions."""

    models: dict[str, Any]
    options: dict[str, Any]


@dataclass(frozen=True)
class PoolReady:
    """The coarse stage is done.

    Attributes
    ----------
    entries : list of PoolEntry
        Best first.
    seconds : float
        Embedding the query plus the search.
    scores : list of float
        Cosines of all items of the gallery, descending, for the distribution (thinned beyond 2,000).
    gallery : int
        Items searched.
    answer_rank : int or None
        Coarse rank of the known answer in the whole gallery, when the query is a corpus item's own caption or image.
    """

    entries: list[PoolEntry]
    seconds: float
    scores: list[float]
    gallery: int
    answer_rank: int | None = None


@dataclass(frozen=True)
class CandidateScored:
    """The model has read one candidate. ``plain`` is the record without enhancement when both were asked for."""

    record: FineRecord
    plain: FineRecord | None = None


@dataclass(frozen=True)
class CandidateFailed:
    """One candidate could not be read or scored; it is ranked by its coarse score behind those that were."""

    record: FineRecord


@dataclass(frozen=True)
class FineSkipped:
    """The fine stage was not needed (a decisive coarse margin) or is not there; ``reason`` says why in one sentence."""

    reason: str


@dataclass(frozen=True)
class StoppedEarly:
    """The best candidate leads by more than delta: the rest is not scored."""

    reason: str


@dataclass(frozen=True)
class TieResolved:
    """Several candidates shared the best fine score; the one with the lowest predictive entropy was put first.

    ``tied`` are their items in the order before, ``winner`` the item that is now first, ``moved`` whether that changed
    anything.
    """

    tied: list[int]
    winner: int
    moved: bool


@dataclass(frozen=True)
class Done:
    """The search is over.

    Attributes
    ----------
    order : list of int
        Items, best first: by fine score, then failures and unscored ones by their coarse score.
    records : list of FineRecord
        In that order (only candidates that were scored or failed).
    seconds : dict
        Wall time of "coarse", "fine" and "all".
    cancelled : bool
    """

    order: list[int]
    records: list[FineRecord]
    seconds: dict[str, float]
    cancelled: bool = False


Event = Started | PoolReady | CandidateScored | CandidateFailed | FineSkipped | StoppedEarly | TieResolved | Done
