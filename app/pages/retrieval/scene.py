"""What every step of the Retrieval page draws with: whose pictures and captions these are, and how a candidate is shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import ui, urls
from app.opened.corpora import readable
from app.pages.retrieval.request import Request
from app.pages.retrieval.view import Row
from app.ui import Html, tag

if TYPE_CHECKING:
    import pandas as pd

UNITS = {
    "log-odds": "log-odds of True",
    "posterior": "posterior log-odds",
    "true-false": "P(True)",
    "generated": "score the model wrote, 0 to 1",
    "expected": "expected rating, 0 to 9",
    "likelihood": "mean log-likelihood of the caption",
    "listwise": "probability of being chosen",
}
CACHES = {
    "": "nothing was reused",
    "image": "the vision tower's output was reused",
    "prefix": "keys and values of the shared prompt were reused",
    "score": "the whole record was reused",
}


@dataclass(frozen=True)
class Scene:
    """The search that is shown.

    Attributes
    ----------
    content : str
        Key of the corpus's pictures in addresses.
    items : DataFrame
        The corpus's table.
    request : Request
    answer : int or None
        Corpus row the query is known to ask for.
    picture : str
        Address of the query's picture, "" none.
    """

    content: str
    items: pd.DataFrame
    request: Request
    answer: int | None
    picture: str

    def caption(self, item: int) -> str:
        """What an item is called: its caption, else its id."""
        return str(self.items["caption"].iat[item] or self.items["id"].iat[item])

    def pic(self, item: int, failed: bool = False) -> Html:
        """An item's picture, or its text; of a candidate that failed, an empty frame if its file has vanished."""
        if self.items["kind"].iat[item] == "text":
            return tag("span", cut(self.caption(item), 160), cls="as-text")
        if failed and not readable(self.content, item):
            return tag("span", tag("span", "no picture", cls="as-missing"), cls="as-pic")
        return tag(
            "span", tag("img", src=urls.corpus_thumb(self.content, item), alt=cut(self.caption(item), 80)), cls="as-pic"
        )

    def mark(self, item: int) -> Html | None:
        """A small label on the item the query is known to ask for."""
        if item != self.answer:
            return None
        return ui.chip("the answer", "good", "The query was made from this item: a perfect search puts it first.")


def cut(text: str, length: int) -> str:
    """A text in one line of at most ``length`` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def signed(value: float | None, mode: str = "log-odds") -> str:
    """A fine score as text; log-odds and likelihoods with their sign."""
    if value is None or not math.isfinite(value):
        return "–"
    if mode in ("log-odds", "posterior"):
        return f"{value:+.2f}".replace("-", "−")
    return f"{value:.3f}".replace("-", "−")


def moved(row: Row) -> Html:
    """How far a candidate moved from its coarse rank."""
    by = row.entry.rank - row.place
    if by == 0:
        return tag("span", "=", cls="as-move", data_tip=f"Coarse rank {row.entry.rank}, unchanged")
    arrow, cls = ("▲", "as-up") if by > 0 else ("▼", "as-down")
    return tag(
        "span",
        f"{arrow}{abs(by)}",
        cls=f"as-move {cls}",
        data_tip=f"Coarse rank {row.entry.rank}, now {row.place}",
    )


def score_bar(row: Row, rows: list[Row], mode: str) -> Html:
    """The fine score as a bar: log-odds grow from the middle, others from the left over the range the mode has."""
    value = row.score or 0.0
    values = [other.score for other in rows if other.score is not None]
    if mode in ("log-odds", "posterior"):
        limit = max([abs(v) for v in values] + [1.0])
        share = 50 * abs(value) / limit
        left = 50 - share if value < 0 else 50
        cls = "as-against" if value < 0 else ""
        bar = tag("i", cls=cls, style=f"left:{left:.1f}%;width:{share:.1f}%")
        return tag("span", bar, tag("s"), cls="as-score as-two-sided", aria_hidden="true")
    low, high = {"true-false": (0.0, 1.0), "generated": (0.0, 1.0), "expected": (0.0, 9.0), "listwise": (0.0, 1.0)}.get(
        mode, (min(values, default=0.0), max(values, default=1.0))
    )
    share = 100 * (value - low) / ((high - low) or 1)
    return tag("span", tag("i", style=f"left:0;width:{max(share, 2):.1f}%"), cls="as-score", aria_hidden="true")
