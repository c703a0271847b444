"""The query bar of the Retrieval page: words, picture, examples and settings, and how they become a request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from app import parse, ui, urls
from app.opened import corpora, models
from app.pages.retrieval import examples
from app.pages.retrieval.address import show_address
from app.pages.retrieval.form import collect, fill, key_of
from app.pages.retrieval.request import Request, write
from app.pages.retrieval.scene import cut
from app.pages.retrieval.session import Session
from app.pages.retrieval.settings import settings
from app.pages.retrieval.uploads import check
from app.ui import Html, tag
from engine.errors import InputError

OFFERED = 15


def draw(session: Session) -> Request:
    """Draw the bar; returns what the controls say now."""
    if (
        key_of(session, "k") not in st.session_state
    ):  # first visit, or back from another page: hidden widgets are forgotten
        fill(session, session.draft)
    entry = corpora.entry(session.draft.corpus)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="retrieval_bar"):
        with (
            st.form("retrieval_form", border=False),
            st.container(horizontal=True, vertical_alignment="bottom", gap="small"),
        ):
            st.text_input(
                "Query",
                session.filled.text,
                key=key_of(session, "text"),
                placeholder="Describe what you look for",
                label_visibility="collapsed",
                width="stretch",
            )
            st.form_submit_button(
                "Search", type="primary", icon=":material/search:", key="retrieval_search", on_click=_submit
            )
        # A name of its own after every choice: a new popover is closed, so the answer is not covered.
        popover = f"retrieval_picture_popover_{session.chosen}"
        with st.popover("Picture", icon=":material/add_photo_alternate:", key=popover):
            _picture(session, entry)
        with st.popover("Settings", icon=":material/tune:", key="retrieval_settings_popover"):
            settings(session, entry)
    request = collect(session)
    if session.fault:
        st.warning(ui.plain(session.fault), icon=":material/info:")
    ui.live(_below(session, entry, request), key="retrieval_below", on_event=on_event)
    return request


def start(session: Session, request: Request) -> None:
    """Search, and write the search into the address."""
    session.draft = request
    if session.search(request):
        session.address = {name: value for name, value in write(request).items() if value is not None}
        session.step = "fine"
        show_address(session)


def _submit() -> None:
    session = st.session_state["retrieval"]
    start(session, collect(session))


def on_event(event: ui.Event) -> None:
    """What a click on an example, a picture or a button of the bar does."""
    session: Session = st.session_state["retrieval"]
    if event.on == "example":
        entry = corpora.entry(session.draft.corpus)
        shown = examples.examples(entry) if entry is not None else []
        if (number := parse.whole(event.value, len(shown))) is not None:
            example = shown[number]
            request = replace(collect(session), text=example.text, item=example.item, upload="")
            fill(session, request)
            start(session, request)
    elif event.on == "picture":
        request = replace(collect(session), item=event.value, upload="")
        session.chosen += 1
        start(session, request)
    elif event.on == "no-picture":
        session.draft = replace(session.draft, item="", upload="")
    elif event.on == "shuffle":
        session.offered += 1


def _below(session: Session, entry: corpora.Entry | None, request: Request) -> Html:
    """The query's picture, and the examples."""
    parts: list[Html] = []
    src = picture_source(session, entry, request)
    if src:
        upload = session.uploads.get(request.upload)
        name = upload.name if upload is not None else request.item.rsplit("/", 1)[-1]
        size = f"{upload.size[0]} × {upload.size[1]} pixels, uploaded" if upload is not None else "from the corpus"
        if entry is not None and entry.corpus is not None and upload is None:
            row = models.item_row(entry, request.item)
            name = str(entry.corpus.items["caption"].iat[row] or name) if row is not None else name
        parts.append(
            tag(
                "div",
                tag("span", tag("img", src=src, alt="Picture of the query"), cls="as-pic"),
                tag("span", tag("b", cut(name, 60)), tag("em", size)),
                tag(
                    "button",
                    "×",
                    data_on="no-picture",
                    aria_label="Leave the picture out",
                    title="Leave the picture out",
                ),
                cls="as-query-picture",
            )
        )
    shown = examples.examples(entry) if entry is not None else []
    cards = []
    for place, example in enumerate(shown):
        row = models.item_row(entry, example.item) if example.item and entry is not None else None
        caption = str(entry.corpus.items["caption"].iat[row]) if row is not None and entry and entry.corpus else ""
        url = urls.corpus_thumb(entry.content, row) if row is not None and entry is not None else ""
        picture = tag("img", src=url, alt="" if example.text else caption) if url else None
        words = tag("span", example.text) if example.text else None
        cards.append(tag("button", picture, words, data_on="example", data_value=place, data_tip=caption or None))
    if cards:
        parts.append(tag("div", tag("span", "Try"), cards, cls="as-examples"))
    return tag("div", parts, cls="as-below-bar")


def picture_source(session: Session, entry: corpora.Entry | None, request: Request) -> str:
    """Address of the picture a request asks with, "" if it has none."""
    upload = session.uploads.get(request.upload)
    if upload is not None:
        return upload.uri
    if request.item and entry is not None:
        row = models.item_row(entry, request.item)
        return urls.corpus_thumb(entry.content, row) if row is not None else ""
    return ""


def _picture(session: Session, entry: corpora.Entry | None) -> None:
    """Upload a picture or take one of the corpus."""
    # A key of its own after every upload: the widget lets go of the file's bytes.
    key = f"retrieval_upload_{session.uploaded}"
    st.file_uploader(
        "Upload a picture",
        key=key,
        on_change=_upload,
        args=(key,),
        help="It is checked by decoding it, scaled to at most 1,024 pixels a side, kept in this session's memory only and "
        "never written to disk.",
    )
    if entry is None or entry.corpus is None:
        return
    words = st.text_input(
        "or take one of the corpus", key="retrieval_pick_q", type="search", placeholder="Find by caption or label"
    )
    rows = offered(entry, str(words or ""), session.offered)
    more = tag("button", "Others", data_on="shuffle", cls="as-more") if len(rows) == OFFERED and not words else None
    ui.live(tag("div", picks(entry, rows), more), key="retrieval_picks", on_event=on_event)


def picks(entry: corpora.Entry, rows: list[int], wide: bool = False) -> Html:
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


def offered(entry: corpora.Entry, words: str, turn: int, most: int = OFFERED) -> list[int]:
    """Rows of pictures to offer as a query: those that match the words, else a sample that ``turn`` shuffles."""
    assert entry.corpus is not None  # the caller has looked
    items = entry.corpus.items
    wanted = (items["kind"] == "image").to_numpy()
    if words.strip():
        for word in words.lower().split()[:8]:
            text = items["caption"].str.lower() + " " + items["label"].str.lower() + " " + items["id"].str.lower()
            wanted = wanted & text.str.contains(word, regex=False).to_numpy()
        return [int(row) for row in wanted.nonzero()[0][:most]]
    split = models.gallery(entry, "")
    if split:
        wanted = wanted & (items["split"] == split).to_numpy()
    rows = wanted.nonzero()[0]
    chosen = np.random.default_rng(turn).permutation(len(rows))[:most]
    return [int(row) for row in rows[chosen]]


def _upload(key: str) -> None:
    session: Session = st.session_state["retrieval"]
    file = st.session_state.get(key)
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
