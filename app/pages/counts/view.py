"""How the counts are drawn: functions from an atlas to markup, whose links keep what the session shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from app import atlas_ui, state, ui, urls
from app.atlas_ui import heat
from app.atlas_ui.exports import terms
from app.pages.counts import figures
from app.ui import Figure, Html, tag
from engine.atlas import search, top_exemplars

if TYPE_CHECKING:
    from engine.atlas import Atlas

SUPPORT_SHOWN = 24

# log10 places of the counts a person reads.
_POWERS = [(float(np.log10(m * 10**p)), ui.compact(m * 10**p)) for p in range(10) for m in (1, 3)]


def support_figures(atlas: Atlas) -> Html:
    """The headline figures of the support sizes."""
    s, every = figures.summary(atlas), atlas_ui.units(atlas)
    shown = [
        Figure(
            "mean support size", f"{s.mean:.1f}", atlas_ui.definition("support size"), f"atoms a {atlas_ui.unit(atlas)}"
        ),
        Figure("median", f"{s.median:.0f}", f"Half of all {every} have a support of at most this size."),
        Figure("5% to 95%", f"{s.low:.0f} to {s.high:.0f}", f"Nine of ten {every} have a support size in this range."),
        Figure("largest", f"{s.largest:,}", f"The largest support of any {atlas_ui.unit(atlas)}."),
        Figure("one atom only", ui.percent(s.single), f"Share of the {every} that a single atom describes."),
    ]
    if s.cls is not None and not atlas.is_text:
        shown.append(
            Figure("CLS", f"{s.cls:.1f}", "Mean support size of the CLS token, which has no place in the picture.")
        )
    return tag("div", ui.figures(shown), cls="as-block")


def gallery(atlas: Atlas, items: Iterable[int], painted: bool, selected: int | None) -> Html:
    """Inputs with their support sizes painted over them."""
    cards = [atlas_ui.support_card(atlas, int(item), painted, int(item) == selected) for item in items]
    return tag("div", cards, cls="as-passages" if atlas.is_text else "as-grid as-s")


def explorer(atlas: Atlas, item: int, position: int, painted: bool, drop: float = 0.0) -> Html:
    """One input large: every patch can be chosen; beside it what its support holds."""
    about = atlas.items.loc[item]
    sizes = atlas.support[item]
    facts = [
        Figure("complexity", f"{figures.complexity(atlas)[item]:.1f}", atlas_ui.definition("complexity")),
        Figure("more complex than", ui.percent(figures.rank_of(atlas, item)), "of the inputs of this corpus."),
    ]
    if atlas.tau is not None:
        facts.append(Figure("tau", ui.number(float(atlas.tau[item, position]), 4), atlas_ui.definition("tau")))
    where = place_name(atlas, position)
    facts.append(Figure("support size", f"{int(sizes[position])}", atlas_ui.definition("support size"), where))
    names = [str(about["label"]), "" if atlas.is_text else str(about["caption"])]
    title = tag(
        "p", tag("b", names[0]), " ", names[1], tag("small", f"{about['id']} · {terms(about)}"), cls="as-caption"
    )
    picture = _big_picture(atlas, item, position, painted)
    return tag(
        "div",
        tag("div", picture, title, cls="as-explorer-left"),
        tag("div", ui.figures(facts, small=True), _support_list(atlas, item, position, drop), cls="as-explorer-right"),
        cls="as-explorer",
    )


def place_name(atlas: Atlas, position: int) -> str:
    """Where a position is, in words."""
    rows, columns = atlas.grid
    if atlas.is_text:
        return "before the text" if position < atlas.prefix else f"token {position - atlas.prefix + 1}"
    if position < atlas.prefix:
        return "CLS token" if position == 0 else f"register {position}"
    if not rows:
        return f"position {position}"
    row, column = divmod(position - atlas.prefix, columns)
    return f"row {row + 1}, column {column + 1}"


def _big_picture(atlas: Atlas, item: int, position: int, painted: bool) -> Html:
    if atlas.is_text:
        return atlas_ui.passage(atlas, item, painted, position)
    prefix = [
        tag(
            "button",
            f"{place_name(atlas, p)}: {int(atlas.support[item, p])}",
            cls="as-token as-on" if p == position else "as-token",
            data_on="patch",
            data_value=f"{item}:{p}",
        )
        for p in range(atlas.prefix)
    ]
    if atlas.grid[0] and atlas.items["kind"].iloc[item] == "image":
        return ui.join(atlas_ui.patch_picture(atlas, item, position, painted), tag("p", prefix, cls="as-tokens"))
    low, high = heat.support_range(atlas)
    squares = [
        tag(
            "button",
            cls="as-square as-on" if p == position else "as-square",
            style=f"background:{ui.colour(float(size), low, high)}",
            data_on="patch",
            data_value=f"{item}:{p}",
            data_tip=f"{place_name(atlas, p)}: {int(size)}",
        )
        for p, size in enumerate(atlas.support[item])
    ]
    return tag("p", squares, cls="as-squares")


def _support_list(atlas: Atlas, item: int, position: int, drop: float) -> Html:
    codes = atlas.token_codes(item, position)
    if codes is None:
        return tag(
            "p",
            "The atlas holds single activations for a sample of its inputs; this one is not among them. "
            "“With codes” above shows those that are.",
            cls="as-caption",
        )
    atoms, values = codes
    ranked = np.argsort(-values, kind="stable")[:SUPPORT_SHOWN]
    full = float(np.abs(values).max()) if len(values) else 1.0
    rows = [
        _atom_row(atlas, item, int(atoms[k]), abs(float(values[k])) / full, ui.number(float(values[k]))) for k in ranked
    ]
    more = f", the {SUPPORT_SHOWN} strongest shown" if len(atoms) > SUPPORT_SHOWN else ""
    hint = "; point at one to see where it fires" if atlas.grid[0] else ""
    parts = [
        ui.section(atlas_ui.term("Its support", "support"), f"{len(atoms)} atoms{more}{hint}", level=3),
        tag("ul", rows, cls="as-support"),
    ]
    entrants = atlas.entrants(item, position)
    if entrants is not None and len(entrants):
        parts.append(_entrant_list(atlas, item, position, entrants, drop))
    return ui.join(*parts)


def _entrant_list(atlas: Atlas, item: int, position: int, entrants: Any, drop: float) -> Html:
    gaps = entrants["gap"].to_numpy(float)
    atoms = entrants["atom"].to_numpy(int)
    full = float(gaps.max()) or 1.0
    entered = int((gaps <= drop).sum()) if drop > 0 else 0
    rows = [
        _atom_row(atlas, item, int(atom), gap / full, f"−{gap:.4f}", "as-in" if k < entered else "as-out")
        for k, (atom, gap) in enumerate(zip(atoms, gaps, strict=True))
    ]
    if drop > 0 and atlas.tau is not None:
        tau = float(atlas.tau[item, position])
        size = int(atlas.support[item, position])
        note = f"tau {tau:.4f} → {tau - drop:.4f}: {entered} more, support {size} → {size + entered}"
    else:
        note = "if tau dropped by this much; move the slider below"
    return ui.join(
        ui.section(atlas_ui.term("Just outside", "entrant"), note, level=3), tag("ul", rows, cls="as-support")
    )


def _atom_row(atlas: Atlas, item: int, atom: int, share: float, text: str, cls: str = "") -> Html:
    first = int(top_exemplars.top_items(atlas)[atom][0])
    picture = None
    if not atlas.is_text:
        picture = tag("img", src=urls.thumb(atlas, first), loading="lazy", alt="") if first >= 0 else tag("s")
    heat = urls.item_heat(atlas, item, atom) if cls == "" and atlas.grid[0] else None
    return tag(
        "li",
        tag(
            "a",
            picture,
            tag("span", search.names(atlas)[atom] or "no label"),
            tag("span", atom, cls="as-id"),
            tag("b", tag("i", style=f"width:{100 * share:.0f}%")),
            tag("em", text),
            data_on="go",
            cls="as-bare" if atlas.is_text else None,
            data_heat=heat,
            href=state.href("concepts", atom=atom),
        ),
        cls=cls or None,
    )


def distributions(atlas: Atlas, label: str) -> Html:
    """Support sizes over the whole corpus: all patches or tokens, by position, by class."""
    edges, sizes = figures.size_histogram(atlas)
    s = figures.summary(atlas)
    overall = tag(
        "div",
        ui.section(f"All {atlas_ui.units(atlas)}", f"{int(sizes.sum()):,} tokens", level=3),
        ui.histogram(
            edges,
            sizes,
            alt=f"Histogram of support sizes over all {atlas_ui.units(atlas)}",
            name="support-size",
            x_label="support size",
            log_counts=False,
            marks=[(s.median + 0.5, f"median {s.median:.0f}")],
            height=190,
            width=330,
        ),
    )
    parts = [overall]
    if atlas.grid[0]:
        mean = figures.by_position(atlas)
        grid = heat.patches(atlas, mean)
        low, high = float(grid.min()), float(grid.max())
        extra = [("CLS" if p == 0 else f"register {p}", float(mean[p])) for p in range(atlas.prefix)]
        parts.append(
            tag(
                "div",
                ui.section("By position", "mean over all inputs", level=3),
                ui.patch_grid(
                    grid, extra, "Mean support size of every patch position", "support-by-position", "mean", low, high
                ),
                ui.legend(low, high, "mean"),
            )
        )
    if atlas.is_text:
        parts.append(_by_place(atlas))
    classes = figures.by_class(atlas)
    if classes:
        parts.append(
            tag(
                "div",
                ui.section("By class", "complexity of its inputs; a click filters", level=3),
                ui.range_rows(
                    classes, "Complexity by class", "support-by-class", "mean support size", on="class", selected=label
                ),
            )
        )
    return tag("div", ui.section("Over the whole corpus"), tag("div", parts, cls="as-three"), cls="as-below")


def _by_place(atlas: Atlas) -> Html:
    """Mean support size against the token's place in its chunk."""
    mean = figures.by_position(atlas)[atlas.prefix :]
    return tag(
        "div",
        ui.section("By position", "mean over all chunks; every chunk is full, nothing is padded", level=3),
        ui.histogram(
            np.arange(len(mean) + 1),
            np.round(mean, 2),
            alt="Mean support size of every token position",
            name="support-by-position",
            x_label="token of the chunk",
            y_label="mean support size",
            log_counts=False,
            height=190,
            width=330,
        ),
    )


def firing_half(atlas: Atlas, chosen: int | None) -> Html:
    """Figures and charts of the firing counts."""
    firing = figures.firing(atlas)
    table = atlas.atoms
    status = table["status"].value_counts()
    fired = table["firing_count"].to_numpy()
    live = fired[fired > 0]
    median = float(np.median(live)) if live.size else 0.0
    total = atlas.n_atoms

    def share(name: str) -> Figure:
        n = int(status.get(name, 0))
        return Figure(name, f"{n:,}", atlas_ui.definition(name), ui.percent(n / total))

    shown = [share(name) for name in ("live", "rare", "dense", "dead")]
    shown.append(
        Figure("median firing count", ui.compact(median), "Half of the atoms that fire do so on no more tokens.")
    )
    shown.append(
        Figure(
            "busiest 1% of atoms",
            ui.percent(figures.share_of_busiest(atlas)),
            "The part of all firings that they make.",
        )
    )
    tokens = int(atlas.meta["counts"]["tokens"])
    marks = [(1e-5 * tokens, "rare below this"), (0.1 * tokens, "dense above this")]
    overall = tag(
        "div",
        ui.section(
            atlas_ui.term("Firing count", "firing count"),
            "of the atoms that fire; a click lists the atoms of a bin",
            level=3,
        ),
        ui.histogram(
            firing.edges,
            firing.atoms,
            alt="Histogram of the firing counts of all atoms, logarithmic",
            name="firing-count",
            x_label="tokens it fires on, log scale",
            y_label="atoms",
            log_counts=False,
            marks=marks,
            on="bin",
            selected=chosen,
            height=240,
        ),
    )
    parts = [overall]
    spreads = figures.firing_by_class(atlas)
    if spreads:
        parts.append(
            tag(
                "div",
                ui.section("By class", "atoms grouped by their top label", level=3),
                ui.range_rows(spreads, "Firing count by top label", "firing-by-class", "firing count", ticks=_POWERS),
            )
        )
    return tag("div", tag("div", ui.figures(shown), cls="as-block"), tag("div", parts, cls="as-two"), cls="as-below")
