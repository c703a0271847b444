"""The query bar of the Retrieval page: words, picture, settings, and below them the query's picture and examples."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app import parse, ui, urls
from app.opened import corpora
from app.pages.retrieval import pictures
from app.pages.retrieval.examples import examples
from app.pages.retrieval.form import collect, form, start
from app.pages.retrieval.request import Request
from app.pages.retrieval.session import RetrievalSession, current
from app.pages.retrieval.settings import settings
from app.ui import Html, cut, tag


def bar(session: RetrievalSession) -> Request:
    """Draw the bar; returns what the controls say now."""
    if not session.shows("k"):  # first visit, or back from another page: hidden widgets are forgotten
        session.fill(session.draft)
    entry = corpora.entry(session.draft.corpus)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="retrieval_bar"):
        form(session)
        # A name of its own after every choice: a new popover is closed, so the answer is not covered.
        popover = f"retrieval_picture_popover_{session.chosen}"
        with st.popover("Picture", icon=":material/add_photo_alternate:", key=popover):
            pictures.controls(session, entry)
        with st.popover("Settings", icon=":material/tune:", key="retrieval_settings_popover"):
            settings(session, entry)
    request = collect(session)
    if session.fault:
        st.warning(ui.plain(session.fault), icon=":material/info:")
    below = tag("div", _query_picture(session, entry, request), _examples(entry), cls="as-below-bar")
    ui.live(below, key="retrieval_below", on_event=_on_event)
    return request


def _on_event(event: ui.MarkupEvent) -> None:
    """What a click on an example, or on the cross beside the query's picture, does."""
    session = current()
    if event.on == "example":
        entry = corpora.entry(session.draft.corpus)
        shown = examples(entry) if entry is not None else []
        if (number := parse.whole(event.value, len(shown))) is not None:
            example = shown[number]
            request = replace(collect(session), text=example.text, item=example.item, upload="")
            session.fill(request)
            start(session, request)
    elif event.on == "no-picture":
        session.draft = replace(session.draft, item="", upload="")


def _query_picture(session: RetrievalSession, entry: corpora.CorpusEntry | None, request: Request) -> Html | None:
    src = pictures.source(session, entry, request)
    if not src:
        return None
    upload = session.uploads.get(request.upload)
    name = upload.name if upload is not None else request.item.rsplit("/", 1)[-1]
    size = f"{upload.size[0]} × {upload.size[1]} pixels, uploaded" if upload is not None else "from the corpus"
    if entry is not None and entry.corpus is not None and upload is None:
        row = entry.row_of(request.item)
        name = str(entry.corpus.items["caption"].iat[row] or name) if row is not None else name
    return tag(
        "div",
        tag("span", tag("img", src=src, alt="Picture of the query"), cls="as-pic"),
        tag("span", tag("b", cut(name, 60)), tag("em", size)),
        tag("button", "×", data_on="no-picture", aria_label="Leave the picture out", title="Leave the picture out"),
        cls="as-query-picture",
    )


def _examples(entry: corpora.CorpusEntry | None) -> Html | None:
    """Queries one click away."""
    cards = []
    for place, example in enumerate(examples(entry) if entry is not None else []):
        row = entry.row_of(example.item) if example.item and entry is not None else None
        caption = str(entry.corpus.items["caption"].iat[row]) if row is not None and entry and entry.corpus else ""
        url = urls.corpus_thumb(entry.content, row) if row is not None and entry is not None else ""
        picture = tag("img", src=url, alt="" if example.text else caption) if url else None
        words = tag("span", example.text) if example.text else None
        cards.append(tag("button", picture, words, data_on="example", data_value=place, data_tip=caption or None))
    return tag("div", tag("span", "Try"), cards, cls="as-examples") if cards else None
