"""Markup that cannot be broken by data: whatever is not already markup is escaped on the way in."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = {"img", "br", "hr", "input"}


class Html(str):
    """Markup. Only :func:`tag` and :func:`join` make it, so an ``Html`` never holds unescaped data."""

    __slots__ = ()


def tag(name: str, *children: object, **attributes: object) -> Html:
    """One element.

    ``children``: markup is kept, text and numbers are escaped, None is skipped, iterables are flattened.
    ``attributes``: ``cls`` becomes ``class``, underscores become hyphens, True writes the bare name, None and False
    write nothing.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = "class" if key == "cls" else key.rstrip("_").replace("_", "-")
        # Single quotes: the markup travels inside JSON, where each double quote would cost two bytes.
        parts.append(f" {attribute}" if value is True else f" {attribute}='{escape(str(value))}'")
    parts.append(">")
    if name not in _VOID:
        parts.append(join(*children))
        parts.append(f"</{name}>")
    return Html("".join(parts))


def join(*children: object) -> Html:
    """Children one after another, escaped as in :func:`tag`."""
    return Html("".join(_flatten(children)))


def _flatten(children: Iterable[object]) -> Iterable[str]:
    for child in children:
        if child is None or child is False:
            continue
        if isinstance(child, Html):
            yield child
        elif isinstance(child, str):
            yield escape(child, quote=False)
        elif isinstance(child, Iterable):
            yield from _flatten(child)
        else:
            yield escape(str(child), quote=False)
