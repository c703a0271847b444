"""The picture of a query: uploaded, or one of the corpus."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from app import ui, urls
from app.opened import corpora
from app.pages.retrieval.form import collect, start
from app.pages.retrieval.request import Request
from app.pages.retrieval.session import RetrievalSession, current
from app.pages.retrieval.uploads import check
from app.ui import Html, cut, tag
from engine.errors import InputError

OFFERED = 15
BEGIN_WITH = 36
"""Pictures offered before the first search."""


def source(session: RetrievalSession, entry: corpora.CorpusEntry | None, request: Request) -> str:
    """Address of the picture a request asks with, "" if it has none."""
    upload = session.uploads.get(request.upload)
    if upload is not None:
        return upload.uri
    row = entry.row_of(request.item) if request.item and entry is not None else None
    return urls.corpus_thumb(entry.content, row) if entry is not None and row is not None else ""


def controls(session: RetrievalSession, entry: corpora.CorpusEntry | None) -> None:
    """Upload a picture or take one of the corpus."""
    st.file_uploader(
        "Upload a picture",
        key=session.upload_key,
        on_change=_upload,
        help="It is checked by decoding it, scaled to at most 1,024 pixels a side, kept in this session's memory only and "
        "never written to disk.",
    )
    if entry is None or entry.corpus is None:
        return
    words = st.text_input(
        "or take one of the corpus", key="retrieval_pick_q", type="search", placeholder="Find by caption or label"
    )
    rows = offered(entry, str(words or ""), session.offered)
    more = _others() if len(rows) == OFFERED and not words else None
    ui.live(tag("div", _buttons(entry, rows), more), key="retrieval_picks", on_event=_on_event)


def first_pictures(session: RetrievalSession, entry: corpora.CorpusEntry) -> None:
    """Pictures to begin with, before the first search."""
    assert entry.corpus is not None  # the caller has looked
    rows = offered(entry, "", session.offered, BEGIN_WITH)
    hint = f"a click searches {entry.corpus.name} for what fits it"
    shown = tag("div", ui.section("Or begin with a picture", hint), _buttons(entry, rows, wide=True), _others())
    ui.live(shown, key="retrieval_begin", on_event=_on_event)


def offered(entry: corpora.CorpusEntry, words: str, turn: int, most: int = OFFERED) -> list[int]:
    """Rows of pictures to offer as a query: those that match the words, else a sample that ``turn`` shuffles."""
    assert entry.corpus is not None  # the caller has looked
    items = entry.corpus.items
    wanted = (items["kind"] == "image").to_numpy()
    if words.strip():
        for word in words.lower().split()[:8]:
            text = items["caption"].str.lower() + " " + items["label"].str.lower() + " " + items["id"].str.lower()
            wanted = wanted & text.str.contains(word, regex=False).to_numpy()
        return [int(row) for row in wanted.nonzero()[0][:most]]
    split = entry.searched_split("")
    if split:
        wanted = wanted & (items["split"] == split).to_numpy()
    rows = wanted.nonzero()[0]
    chosen = np.random.default_rng(turn).permutation(len(rows))[:most]
    return [int(row) for row in rows[chosen]]


def _others() -> Html:
    return tag("button", "Others", data_on="shuffle", cls="as-more")


def _buttons(entry: corpora.CorpusEntry, rows: list[int], wide: bool = False) -> Html:
    """Pictures of the corpus as buttons; a click asks with that picture."""
    assert entry.corpus is not None  # the caller has looked
    items = entry.corpus.items
    names = [str(items["caption"].iat[row] or items["id"].iat[row]) for row in rows]
    shown = [
        tag(
            "button",
            tag("img", src=urls.corpus_thumb(entry.content, row), alt=cut(name, 80), loading="lazy"),
            data_on="picture",
            data_value=items["id"].iat[row],
            data_tip=cut(name, 120),
        )
        for row, name in zip(rows, names, strict=True)
    ]
    none = tag("p", "Nothing matches.", cls="as-caption") if not shown else None
    return tag("div", shown, none, cls="as-picks as-wide" if wide else "as-picks")


def _on_event(event: ui.MarkupEvent) -> None:
    session = current()
    if event.on == "picture":
        session.chosen += 1
        start(session, replace(collect(session), item=event.value, upload=""))
    elif event.on == "shuffle":
        session.offered += 1


def _upload() -> None:
    session = current()
    file = session.uploaded_file()
    if file is None:
        return
    session.uploaded += 1
    try:
        upload = check(file.getvalue(), file.name)
    except InputError as error:
        session.fault = str(error)
        return
    session.keep(upload)
    session.chosen += 1
    start(session, replace(collect(session), item="", upload=upload.digest))
