"""What a page shows, kept in the URL: atlas, atom, item, filters. A bad value falls back, with a notice, never an error.

The URL is the truth. The session only remembers the last good value, so that a person who goes to another page through
the navigation (which clears the URL) finds the atom that was open.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.errors import StreamlitAPIException

from app import parse
from app.opened import atlases
from app.urls import page_link

if TYPE_CHECKING:
    from streamlit.navigation.page import Page

    from engine.atlas import Atlas

_NOTICES = "_notices"
_PAGES = "_pages"
_LAST = "_last_"


def atlas() -> Atlas:
    """The atlas of this view: ``?atlas=KEY``, else the one shown last, else the first that opened.

    Raises
    ------
    LookupError
        If no atlas is open at all; ``main`` shows the empty state before any page can ask.
    """
    open_atlases = atlases.atlases()
    if not open_atlases:
        raise LookupError("no atlas is open")
    first = next(iter(open_atlases))
    wanted = st.query_params.get("atlas")
    if wanted is not None and wanted not in open_atlases:
        notice(f"No atlas with the id {wanted[:40]!r} is open here. Showing {open_atlases[first].title!r}.")
        del st.query_params["atlas"]
        wanted = None
    if wanted is None:
        remembered = st.session_state.get(_LAST + "atlas")
        wanted = remembered if remembered in open_atlases else first
    st.session_state[_LAST + "atlas"] = wanted
    return open_atlases[wanted]


def integer(name: str, low: int, high: int, default: int | None = None, what: str = "") -> int | None:
    """The whole number ``?name=`` if it lies in ``[low, high]``, else the last one seen, else ``default``.

    ``what`` names the thing for the notice, as in "atom" or "item".
    """
    raw = st.query_params.get(name)
    remembered = st.session_state.get(_LAST + name)
    fallback = remembered if isinstance(remembered, int) and low <= remembered <= high else default
    if raw is None:
        return fallback
    number = parse.whole(raw, high + 1)
    if number is not None and number >= low:
        st.session_state[_LAST + name] = number
        return number
    shown = f"{what or name} {fallback}" if fallback is not None else "the start"
    notice(f"There is no {what or name} {raw[:40]!r} here (they run from {low} to {high:,}). Showing {shown}.")
    del st.query_params[name]
    return fallback


def choice(name: str, options: Collection[str], default: str, what: str = "") -> str:
    """The value ``?name=`` if it is one of ``options``, else ``default`` (with a notice when it was something else)."""
    raw = st.query_params.get(name, default)
    if raw in options:
        return raw
    notice(f"There is no {what or name} {raw[:40]!r}. Showing {default!r}.")
    del st.query_params[name]
    return default


def put(**values: int | str | None) -> None:
    """Write values into the URL (None removes). The browser's Back button returns to the view before."""
    if len(atlases.atlases()) > 1:
        values.setdefault("atlas", atlas().key)  # a link to an atom must say of which atlas
    for name, value in values.items():
        if value is None:
            st.session_state.pop(_LAST + name, None)
            st.query_params.pop(name, None)
        elif isinstance(value, int):
            st.session_state[_LAST + name] = value
    # One update, not one assignment per value: each would be an entry of its own in the browser's history.
    st.query_params.update({name: str(value) for name, value in values.items() if value is not None})


def rewrite(values: Mapping[str, str | None]) -> None:
    """Write and remove (None) several values as one entry of the browser's history; other values stay."""
    kept = {name: st.query_params.get_all(name) for name in st.query_params if name not in values}
    if len(atlases.atlases()) > 1:
        kept["atlas"] = [atlas().key]
    st.query_params.from_dict(kept | {name: value for name, value in values.items() if value is not None})


def notice(sentence: str) -> None:
    """Remember one sentence for the person; :func:`take_notices` shows it once."""
    waiting = st.session_state.setdefault(_NOTICES, [])
    if sentence not in waiting:
        waiting.append(sentence)


def take_notices() -> list[str]:
    """The sentences that wait, and forget them."""
    return st.session_state.pop(_NOTICES, [])


def remember_pages(pages: dict[str, Page]) -> None:
    """``main`` hands over the pages of the navigation so that others can be opened from code."""
    st.session_state[_PAGES] = pages


def has_page(name: str) -> bool:
    """Whether the page with this URL path is in the navigation."""
    return name in st.session_state.get(_PAGES, {})


def href(page: str, **values: int | str) -> str:
    """The link to a page at the given values, for an ``<a>`` (relative, so that it works behind a proxy's prefix)."""
    return page_link(page, {"atlas": atlas().key} | values)


def switch_atlas(key: str) -> None:
    """Show another atlas. Atoms, items and selections of the one before mean nothing in it and go; how things are shown
    (what widgets keep in the URL) stays.
    """
    for name in list(st.query_params):
        with suppress(StreamlitAPIException):  # a widget's own parameter cannot be deleted
            del st.query_params[name]
    for name in [str(name) for name in st.session_state if str(name).startswith(_LAST)]:
        del st.session_state[name]
    put(atlas=key)


def forget(*names: str) -> None:
    """Forget what the session remembers under these names."""
    for name in names:
        st.session_state.pop(_LAST + name, None)
