"""Below the map: the selected atoms as a table, what they share, their exemplars together, and the downloads."""

from __future__ import annotations

import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import atlas_ui, parse, state, ui, urls
from app.atlas_ui.exports import view_provenance
from app.components.atom_map.routes import matching
from app.pages.map import map_state, selection
from app.pages.map.map_state import MapState
from app.ui.html import Html, tag

if TYPE_CHECKING:
    import pandas as pd

    from engine.atlas import Atlas

ROWS = 5000
"""Rows of the table; more than a person reads, few enough to send."""


def selected(atlas: Atlas, now: MapState) -> None:
    """Draw the section."""
    if now.view.query.strip():
        _matches(atlas, now)
    if not now.atoms.size:
        hint, button = st.columns([4, 1], vertical_alignment="center")
        hint.caption(
            ":material/lasso_select: Draw a lasso or a box (tools at the map's right edge) to compare the atoms inside: their "
            "table, the words they share, their exemplars together."
        )
        with button:
            provenance(atlas, now)
        return
    atoms = now.atoms
    title, clear = st.columns([8, 1.4], vertical_alignment="center")
    with title:
        _summary(atlas, atoms)
    clear.button("Clear selection", key="map_clear", icon=":material/close:", on_click=lambda: state.put(sel=None))
    table, words = st.columns([2.4, 1], gap="medium")
    with table:
        _table(atlas, now)
        _downloads(atlas, now)
    with words:
        _words(atlas, atoms)
    _gallery(atlas, atoms)


def _matches(atlas: Atlas, now: MapState) -> None:
    found = matching(atlas, now.view.query)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(f"{found.size:,} atoms match “{ui.plain(now.view.query.strip())}”.")
        st.button(
            "Select them",
            key="map_select_matches",
            icon=":material/select_all:",
            type="tertiary",
            disabled=not found.size,
            on_click=lambda: map_state.select(found),
        )


def _summary(atlas: Atlas, atoms: NDArray[np.int64]) -> None:
    rows = atlas.atoms.iloc[atoms]
    clusters = rows.loc[rows["cluster"] >= 0, "cluster"].nunique()
    numbers = [
        ui.Figure("selected atoms", f"{atoms.size:,}"),
        ui.Figure("clusters", f"{clusters:,}", "How many clusters of the map the selection touches."),
        ui.Figure(
            "median frequency", ui.percent(float(rows["frequency"].median())), atlas_ui.definition("frequency", atlas)
        ),
        ui.Figure(
            "median label entropy",
            ui.number(float(rows["label_entropy"].median()), 2),
            atlas_ui.definition("label_entropy", atlas),
        ),
        ui.Figure(
            "median monosemanticity",
            ui.number(float(rows["monosemanticity"].median()), 2),
            atlas_ui.definition("monosemanticity", atlas),
        ),
    ]
    ui.live(ui.figures(numbers, small=True), key="map_summary")


def _table(atlas: Atlas, now: MapState) -> None:
    table = selection.selection_table(atlas, now.atoms)
    focus = now.view.focus
    if focus is not None and (at := np.flatnonzero(table["atom"].to_numpy() == focus)).size:
        table = table.iloc[[at[0], *(i for i in range(len(table)) if i != at[0])]].reset_index(drop=True)
        rows = [0]
    else:
        focus, rows = None, []
    if len(table) > ROWS:
        st.caption(f"The {ROWS:,} most frequent of {len(table):,}; the CSV has all.")
        table = table.head(ROWS)
    # Another selection or another atom in the ring is another table: its rows begin unchosen, the ring's atom on top.
    key = f"map_table_{zlib.crc32(now.view.selection.encode()):08x}_{focus if focus is not None else ''}"

    def chosen() -> None:
        rows = st.session_state[key].selection.rows
        map_state.mark(now.view.selection, table["atom"].to_numpy()[[row for row in rows if row < len(table)]])

    st.dataframe(
        table,
        key=key,
        hide_index=True,
        height=390,
        on_select=chosen,
        selection_mode="multi-row",
        selection_default={"selection": {"rows": rows}} if rows else None,
        column_config=_columns(atlas, table),
        alt=f"{len(table)} selected atoms; choosing rows marks them on the map",
    )


def _columns(atlas: Atlas, table: pd.DataFrame) -> dict[str, Any]:
    formats = {
        "frequency": "%.3g", "mean_activation": "%.3f", "max_activation": "%.3f", "label_entropy": "%.2f",
        "monosemanticity": "%.2f", "diversity": "%.2f", "top_label_share": "%.2f", "firing_count": "localized", "atom": "%d",
    }  # fmt: skip
    names = {"cluster_label": "cluster"}
    config: dict[str, Any] = {}
    for column in map(str, table.columns):
        words, meaning = names.get(column, column).replace("_", " "), atlas_ui.definition(column, atlas)
        if column in formats:
            config[column] = st.column_config.NumberColumn(
                words, help=meaning, format=formats[column], pinned=column == "atom"
            )
        else:
            config[column] = st.column_config.TextColumn(words, help=meaning, pinned=column == "label")
    return config


def _downloads(atlas: Atlas, now: MapState) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.download_button(
            "Selection CSV",
            partial(selection.selection_csv, atlas, now.atoms),
            f"atoms-{atlas.key}.csv",
            "text/csv",
            key="map_csv",
            icon=":material/download:",
            on_click="ignore",
        )
        provenance(atlas, now)
        st.caption("The picture (PNG, SVG) is in the map's tools. Choose rows to mark them on the map.")


def provenance(atlas: Atlas, now: MapState) -> None:
    """The button that says where the map comes from."""
    st.download_button(
        "Provenance JSON",
        partial(view_provenance, atlas, now.describe(), now.atoms),
        f"map-{atlas.key}.json",
        "application/json",
        key="map_provenance",
        icon=":material/fingerprint:",
        on_click="ignore",
    )


def _words(atlas: Atlas, atoms: NDArray[np.int64]) -> None:
    shared = selection.shared_words(atlas, atoms)
    if shared.empty:
        ui.live(ui.section("What they share", "no word is more common here than elsewhere"), key="map_words")
        return
    rows = [
        ui.Bar(row.word, float(row.share), f"{ui.percent(row.share)}, {row.lift:.1f}×", row.word)
        for row in shared.itertuples(index=False)
    ]

    def happened(event: ui.MarkupEvent) -> None:
        if event.on == "word":
            state.put(find=event.value)

    body = tag(
        "div",
        ui.section("What they share", "share of the selected atoms, times as common as among all"),
        ui.bars(rows, alt="Words that the selected atoms share more than others do", on="word", limit=1.0),
        tag(
            "p",
            "Words of labels and classes, ranked by how surprising their number is (log-likelihood ratio).",
            cls="as-caption",
        ),
    )
    ui.live(body, key="map_words", on_event=happened)


def _gallery(atlas: Atlas, atoms: NDArray[np.int64]) -> None:
    union = selection.exemplar_union(atlas, atoms)
    if union.empty:
        return
    items = atlas.items
    figures = []
    for row in union.itertuples(index=False):
        if atlas.is_text:
            figures.append(_line(atlas, row))
            continue
        about = items.loc[row.item]
        picture = (
            tag(
                "span",
                tag(
                    "img",
                    src=urls.thumb(atlas, row.item),
                    loading="lazy",
                    alt=str(about["caption"] or about["label"])[:120],
                ),
                tag(
                    "img",
                    src=urls.heat(atlas, row.atom, "top", row.rank),
                    loading="lazy",
                    alt="",
                    cls="as-over",
                ),
                cls="as-pic",
            )
            if about["kind"] == "image"
            else tag("span", str(about["caption"])[:220], cls="as-text")
        )
        count = f"{row.atoms} atoms" if row.atoms > 1 else f"atom {row.atom}"
        link = tag("a", picture, data_on="atom", data_value=row.atom, href=state.href("concepts", atom=row.atom))
        figures.append(
            tag("figure", link, tag("figcaption", tag("b", count), str(about["caption"] or about["label"])[:80]))
        )
    hint = "items that excite most of the selected atoms come first"

    def happened(event: ui.MarkupEvent) -> None:
        if event.on == "atom" and (atom := parse.whole(event.value)) is not None:
            state.put(atom=atom)

    ui.live(
        ui.section(
            "Exemplars together", hint, tag("div", figures, cls="as-lines as-s" if atlas.is_text else "as-grid")
        ),
        key="map_gallery",
        on_event=happened,
    )


def _line(atlas: Atlas, row: Any) -> Html:
    """A text of the union, marked as the atom that ranks it best fires on it."""
    example = atlas.exemplars(int(row.atom), "top").iloc[int(row.rank)]
    values = dict(zip(map(int, example["heat_positions"]), map(float, example["heat_values"]), strict=True))
    text = atlas_ui.snippet(
        atlas, int(row.item), int(example["position"]), values, max(values.values(), default=0.0), reach=90
    )
    link = tag("a", text, data_on="atom", data_value=row.atom, href=state.href("concepts", atom=row.atom))
    count = f"{row.atoms} atoms" if row.atoms > 1 else f"atom {row.atom}"
    name = str(atlas.atoms["label"].iloc[int(row.atom)])
    return tag("figure", link, tag("figcaption", tag("b", count), name), cls="as-line")
