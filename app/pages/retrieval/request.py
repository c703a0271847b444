"""One search as the address of the page says it: read from untrusted parameters, and written back."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app import parse
from engine.retrieval.search.events import MODES
from engine.retrieval.search.query import Enhancement

MOST = 50
"""Largest pool the page offers: each candidate is one reading of the model."""

LONGEST_LINK = 2_000
"""Characters of a query text that are written into the address; browsers and proxies cut longer ones."""

PRESETS = {"off": "Off", "paper": "Paper", "published-code": "Published code"}
VIEWS = {"auto": "Automatic", "image": "Picture", "text": "Caption", "both": "Both"}
SPLITS = ("", "train", "validation", "test")
STEPS = {
    "pool": "Pool",
    "fine": "Scores",
    "enhance": "Enhancement",
    "ranks": "Movement",
    "concepts": "Concepts",
    "prompt": "Prompt",
    "sweep": "Pool size",  # addresses have always called it so
    "export": "Export",
}
FIRST_STEP = "fine"

TOKENS = {"": "As the preset", "visual": "The picture's", "all": "All"}
GATES = {"once": "Once", "every": "Every layer above"}

_CHOICES: dict[str, tuple[str, ...]] = {
    "mode": ("", *MODES),
    "enhance": tuple(PRESETS),
    "tokens": tuple(TOKENS),
    "gate": tuple(GATES),
    "view": tuple(VIEWS),
    "tie": ("on", "off"),
}
_WORDS = {
    "mode": "score mode",
    "enhance": "enhancement preset",
    "tokens": "choice of tokens",
    "gate": "gate of the enhancement",
    "view": "view of a candidate",
    "tie": "tie rule",
}
_SHARES = ("alpha", "threshold")


@dataclass(frozen=True)
class Request:
    """Everything a search needs, hashable and small.

    Attributes
    ----------
    text : str
        The query's words.
    item : str
        Id of the corpus item whose picture is the query image; "" none.
    upload : str
        Digest of an uploaded picture that this session holds; "" none. The picture itself never leaves the session.
    corpus, split : str
        Key of the corpus, and the split that is searched ("all" for the whole of it, "" for the corpus's own default).
    k : int
        Pool size.
    mode : str
        Score mode; "" the model's own.
    enhance : str
        One of ``PRESETS``.
    alpha, threshold : float or None
        Share of the injected part, and lens entropy above which it acts, both 0 to 1; None: the preset's.
    tokens, gate : str
        One of ``TOKENS``, one of ``GATES``.
    view : str
        What of a candidate the model reads, one of ``VIEWS``.
    tie : str
        "on" or "off".
    skip, stop : float or None
        Early stop: decisive coarse margin (cosine), decisive lead of the best fine score. None: off.
    """

    text: str = ""
    item: str = ""
    upload: str = ""
    corpus: str = "demo"
    split: str = ""
    k: int = 5
    mode: str = ""
    enhance: str = "off"
    alpha: float | None = None
    threshold: float | None = None
    tokens: str = ""
    gate: str = "once"
    view: str = "auto"
    tie: str = "on"
    skip: float | None = None
    stop: float | None = None

    @property
    def asks(self) -> bool:
        """Whether there is a query at all."""
        return self.pictured or bool(self.text.strip())

    @property
    def pictured(self) -> bool:
        """Whether it asks with a picture."""
        return bool(self.item or self.upload)

    @property
    def kind(self) -> str:
        """ "text", "image" or "both"."""
        return ("both" if self.text.strip() else "image") if self.pictured else "text"

    @property
    def enhancement(self) -> Enhancement | None:
        """The engine's visual enhancement; None when it is off."""
        if self.enhance == "off":
            return None
        return Enhancement(
            preset=self.enhance,  # type: ignore[arg-type]
            alpha=self.alpha,
            threshold=self.threshold,
            tokens=self.tokens or None,  # type: ignore[arg-type]
            gate=self.gate,  # type: ignore[arg-type]
        )


_DEFAULT = Request()


def write(request: Request) -> dict[str, str | None]:
    """Parameters of the address; None removes one that has its default."""
    numbers = {name: getattr(request, name) for name in ("skip", "stop", *_SHARES)}
    values: dict[str, Any] = {
        "q": request.text.strip()[:LONGEST_LINK],
        "image": request.item,
        "upload": request.upload,
        "k": str(request.k) if request.k != _DEFAULT.k else "",
        **{name: f"{value:g}" if value is not None else "" for name, value in numbers.items()},
    }
    for name in ("corpus", "split", *_CHOICES):
        value = getattr(request, name)
        values[name] = value if value != getattr(_DEFAULT, name) else ""
    return {name: value or None for name, value in values.items()}


def parameters(request: Request) -> dict[str, str]:
    """The parameters an address of this request has."""
    return {name: value for name, value in write(request).items() if value is not None}


def read(given: Mapping[str, str], corpora: Container[str], uploads: Container[str] = ()) -> tuple[Request, list[str]]:
    """The request an address asks for, and one sentence for each part of it that had to be ignored.

    Parameters
    ----------
    given : parameters of the address, as a stranger may have written them
    corpora : keys of the corpora there are
    uploads : digests of the uploads this session holds
    """
    notices: list[str] = []
    request = replace(_DEFAULT, text=given.get("q", ""), item=given.get("image", "")[:500])
    for name, options in _CHOICES.items():
        value = given.get(name, "")
        if value in options:
            request = _with(request, name, value or getattr(_DEFAULT, name))
        elif value:
            notices.append(f"There is no {_WORDS[name]} {value[:40]!r}; the default is used.")
    key = given.get("corpus", "")
    if key in corpora:
        request = replace(request, corpus=key)
    elif key:
        notices.append(f"No corpus {key[:40]!r} is open here; start the server with `atomscope serve --corpus DIR`.")
    request = replace(request, split=given.get("split", "")[:60])
    if "k" in given:
        k = parse.whole(given["k"])
        if k is None or not 1 <= k <= MOST:
            held = min(k, MOST) if k else _DEFAULT.k
            notices.append(f"The pool size {given['k'][:20]!r} is not between 1 and {MOST}; {held} is used.")
            k = held
        request = replace(request, k=k)
    for name in ("skip", "stop"):
        if name in given:
            margin = parse.positive(given[name])
            if margin is None:
                notices.append(f"{given[name][:20]!r} is no margin for an early stop; it stays off.")
            request = _with(request, name, margin)
    for name in _SHARES:
        if name in given:
            share = parse.share(given[name])
            if share is None:
                notices.append(
                    f"{given[name][:20]!r} is no {name}, which is a number from 0 to 1; the preset's is used."
                )
            request = _with(request, name, share)
    if given.get("upload") in uploads:
        request = replace(request, upload=given["upload"], item="")
    elif given.get("upload"):
        notices.append(
            "The picture of this search was uploaded; uploads stay on the machine of the person who made them and are not "
            "part of a link. Upload the picture again to repeat the search."
        )
    return request, notices


def _with(request: Request, name: str, value: Any) -> Request:
    return replace(request, **{name: value})
