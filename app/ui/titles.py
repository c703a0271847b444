"""Headings inside a page."""

from __future__ import annotations

from app.ui.html import Html, join, tag


def section(title: object, hint: object = "", *content: object, level: int = 2) -> Html:
    """A heading with a quiet sentence beside it, and what belongs to it."""
    note = tag("span", hint, cls="as-hint") if hint else None
    return join(tag(f"h{level}", title, note, cls="as-section"), *content)
