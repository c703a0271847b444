"""Queries one click away: texts, pictures and both, chosen so that the first look shows what the pipeline does."""

from __future__ import annotations

from dataclasses import dataclass

from app.opened.corpora import CorpusEntry


@dataclass(frozen=True)
class Example:
    """A query: words, the id of a corpus item whose picture is asked with, or both."""

    text: str = ""
    item: str = ""


_DEMO = (
    Example("A red panda resting on a branch."),
    Example("something to keep the rain off"),
    Example("a building lit at night"),
    Example(item="tuxpaint/animals/birds/penguin"),
    Example(item="gcompris-qt-data/explore_farm_animals/animals/cow"),
    Example("as a drawing", item="tuxpaint/food/fruit/apple_sierra_beauty"),
)


def examples(entry: CorpusEntry) -> list[Example]:
    """Examples that exist in this corpus; for a corpus of a user's own, its first captions and pictures."""
    if entry.corpus is None:
        return []
    known = [e for e in _DEMO if not e.item or entry.row_of(e.item) is not None]
    if any(e.item for e in known):
        return known
    items = entry.corpus.items
    split = entry.searched_split("")
    items = items[items["split"] == split] if split else items
    spread = items.iloc[:: max(len(items) // 6, 1)].head(6)
    captioned = spread[spread["caption"] != ""].head(3)
    pictures = spread[spread["kind"] == "image"].tail(6 - len(captioned))
    return [Example(text=str(c)) for c in captioned["caption"]] + [Example(item=str(i)) for i in pictures["id"]]
