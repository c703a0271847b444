"""Markup on a page that answers clicks without a page load: a thin Components-v2 wrapper around :mod:`app.ui.html`.

An element with ``data-on="name"`` (and, if it likes, ``data-value``) sends the event ``name`` when it is clicked or when
Enter or Space is pressed on it. ``data-tip`` shows a definition on hover and on focus. A link keeps its ``href``, so
that a middle click opens a new tab.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import streamlit as st

from app import urls
from app.ui.html import Html

_HERE = Path(__file__).parent


class MarkupEvent(NamedTuple):
    """What a person did inside the markup."""

    on: str
    value: str


def live(
    html: Html,
    key: str,
    on_event: Callable[[MarkupEvent], None] | None = None,
    prefetch: Sequence[str] = (),
    width: Literal["stretch", "content"] = "stretch",
) -> MarkupEvent | None:
    """Show ``html`` and return the event of this run, if there was one.

    Parameters
    ----------
    key : unique on the page.
    on_event : called before the script runs again, as Streamlit calls any callback.
    prefetch : URLs of pictures the person is likely to want next, fetched when the browser is idle.
    """

    def changed() -> None:
        event = _read(st.session_state[key].get("event"))
        if event is not None and on_event is not None:
            on_event(event)

    result = _component()(key=key, data=pack(html, prefetch), on_event_change=changed, width=width)
    return _read(result.get("event"))


def open_page(href: str, key: str) -> None:
    """Let the browser open a link of :func:`app.state.href`, as if the person had clicked it: Back returns to this view.

    (``st.switch_page`` would leave this page with the other page's parameters in the history.)
    """
    turn = st.session_state[f"{key}_turn"] = st.session_state.get(f"{key}_turn", 0) + 1
    _component()(key=key, data=pack(Html(), open={"href": href, "turn": turn}))


def pack(html: Html, prefetch: Sequence[str] = (), **more: Any) -> bytes:
    """What travels: deflated JSON. Markup repeats itself, so a concept costs 4 kB instead of 25."""
    return zlib.compress(json.dumps({"html": html, "prefetch": list(prefetch)} | more).encode(), 6)


def unpack(data: bytes) -> dict[str, Any]:
    """The inverse of :func:`pack`, as the browser does it."""
    packed: dict[str, Any] = json.loads(zlib.decompress(data))
    return packed


def _read(raw: Any) -> MarkupEvent | None:
    # The browser sent it: check its shape before anyone uses it.
    if not isinstance(raw, dict) or not isinstance(raw.get("on"), str):
        return None
    return MarkupEvent(raw["on"], str(raw.get("value", ""))[:200])


def _component() -> Any:
    return st.components.v2.component("atomscope_live", js=_loader(), isolate_styles=False)


@cache
def script() -> str:
    """The browser half, as one module; a route of the server serves it."""
    return (_HERE / "browser.js").read_text("utf-8")


@cache
def script_name() -> str:
    """File name of :func:`script`, with a hash of its content: it may be kept for ever."""
    return f"browser-{hashlib.sha256(script().encode()).hexdigest()[:10]}.js"


@cache
def _loader() -> str:
    # Streamlit sends a component's script with every message of the component: a step would carry all of it.
    return (
        f"const url = new URL('{urls.script(script_name())}', location.origin).href\n"
        "export default async (component) => (await import(url)).default(component)\n"
    )


@cache
def stylesheet(folder: Path = _HERE) -> str:
    """The style of all our markup, or what the page in ``folder`` adds to it."""
    return (folder / "style.css").read_text("utf-8")


def install_style(folder: Path = _HERE) -> None:
    """Send a stylesheet; call it once at the top of every full run, of the app or of the page it belongs to."""
    st.html(f"<style>{stylesheet(folder)}</style>")
