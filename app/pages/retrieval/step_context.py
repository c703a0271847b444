"""What the steps of the Retrieval page share: the search that is shown, and how its pictures and captions are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import ui, urls
from app.opened.corpora import readable
from app.pages.retrieval.request import Request
from app.ui import Html, cut, tag

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class StepContext:
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
    picked : int or None
        Corpus row of the candidate that a step is about; None: the first of the order.
    """

    content: str
    items: pd.DataFrame
    request: Request
    answer: int | None
    picture: str
    picked: int | None = None

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
