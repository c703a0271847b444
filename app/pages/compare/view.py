"""The parts of the Compare page as markup: functions of SAEs, their figures and what the worker found."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from app import atlas_ui, state, ui, urls
from app.atlas_ui.figures import MEANING, format_figure
from app.atlas_ui.heat import heat_png, patches, scale_png
from app.pages.compare import charts
from app.pages.compare.saes import ComparedSAE
from app.pages.compare.worker import SAEOverlap
from app.ui import Html, cut, tag
from engine.atlas import search
from engine.inspection.one_sae import ThroughSAE
from engine.metrics.definitions import DEFINITIONS
from engine.metrics.matching import SAME

if TYPE_CHECKING:
    from engine.atlas import Atlas

SHOWN = 6
"""Atoms shown of those that another SAE has, and of those it lacks."""

_LEVELS = ("1", "5", "10", "50", "all")

# Figure -> words, and whether more (True) or less (False) is better; None where neither is.
_ROWS: dict[str, tuple[str, bool | None]] = {
    "fvu": ("FVU", False),
    "l0_mean": ("active atoms per token", None),
    "dead_share": ("dead atoms", False),
    "dense_share": ("dense atoms", False),
    "label_entropy": ("label entropy", False),
    "monosemanticity": ("monosemanticity", True),
    "fidelity": ("accuracy, spliced", True),
    "stability": ("atoms found again by another seed", True),
}


def trade_off(known: Sequence[ComparedSAE], chosen: Sequence[ComparedSAE]) -> Html:
    """FVU against L0 of every SAE that was measured, and sparsemax's mean L0 as a guide."""
    keys = [sae.key for sae in chosen]
    points = [point for sae in known if (point := _point(sae, keys)) is not None]
    guide = next(
        ((sae.key, float(sae.figures["l0_mean"])) for sae in known if _adapts(sae) and "l0_mean" in sae.figures),
        None,
    )
    hint = "a dot is the mean over tokens, its line reaches from the 5% to the 95% quantile"
    if not points:
        return tag("div", ui.section("What sparsity buys", "no SAE here has been measured"), cls="as-block")
    told = None
    if guide is not None:
        told = tag(
            "p",
            f"Sparsity as guidance (arXiv 2604.14925): {guide[0]} chooses how many atoms each token needs and arrives at "
            f"{guide[1]:.1f} on average. Training TopK or BatchTopK with K = {round(guide[1])} starts from there instead of a "
            "guess.",
            cls="as-caption",
        )
    missing = [sae.key for sae in chosen if not sae.figures]
    note = (
        tag("p", f"Not measured yet: {', '.join(missing)}. Run atomscope evaluate ATLAS --write.", cls="as-caption")
        if missing
        else None
    )
    chart = charts.trade_off(points, guide)
    return tag(
        "div", ui.section("What sparsity buys", hint, charts.legend(keys), chart, told, note), cls="as-block as-trade"
    )


def _point(sae: ComparedSAE, keys: Sequence[str]) -> charts.Point | None:
    l0, fvu = sae.figures.get("l0_mean"), sae.figures.get("fvu")
    if l0 is None or fvu is None:
        return None
    quantiles = {float(q): float(v) for q, v in (sae.figures.get("l0_quantiles") or {}).items()}
    low, high = quantiles.get(0.05, float(l0)), quantiles.get(0.95, float(l0))
    series = keys.index(sae.key) if sae.key in keys else -1
    return charts.Point(sae.key, float(l0), low, high, float(fvu), series)


def _adapts(sae: ComparedSAE) -> bool:
    return "sparsemax" in str(sae.config.get("architecture", ""))


def figures(chosen: Sequence[ComparedSAE]) -> Html:
    """The figures of the chosen SAEs, one column each; the best of a row is set in bold."""
    rows = []
    for name, (words, more) in _ROWS.items():
        values = [_figure(sae, name) for sae in chosen]
        if all(value is None for value in values):
            continue
        known = [value for value in values if value is not None]
        best = (max if more else min)(known) if more is not None and len(known) > 1 else None
        cells = [
            tag("td", _written(name, value), cls="as-best" if value is not None and value == best else None)
            for value in values
        ]
        meaning = MEANING.get(name) or DEFINITIONS.get(name, "")
        term = tag("span", words, cls="as-term", data_tip=meaning, tabindex=0) if meaning else words
        rows.append(tag("tr", tag("th", term, scope="row"), cells))
    settings = [tag("td", _settings(sae)) for sae in chosen]
    rows.append(tag("tr", tag("th", "settings", scope="row"), settings, cls="as-quiet"))
    head = tag("tr", tag("th", ""), [tag("th", sae.key, scope="col") for sae in chosen])
    table = tag("table", tag("thead", head), tag("tbody", rows), cls="as-compare as-columns-wide")
    splits = sorted({sae.split for sae in chosen if sae.figures and sae.split})
    hint = f"measured on the {' and '.join(splits)} split; bold is best" if splits else "not measured yet"
    return tag("div", ui.section("Figures", hint, tag("div", table, cls="as-wide-scroll")), cls="as-block")


def _figure(sae: ComparedSAE, name: str) -> float | None:
    value: Any = sae.figures.get(name)
    if name == "fidelity" and isinstance(value, dict):
        value = (value.get("spliced") or {}).get("accuracy")
    if name == "stability" and isinstance(value, dict):
        value = value.get("shared")
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def _written(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1%}" if name in ("fidelity", "stability") else format_figure(name, value)


def _settings(sae: ComparedSAE) -> str:
    hidden = {"architecture", "d_model", "weights", "n_atoms"}
    told = [
        f"{key} {value}"
        for key, value in sae.config.items()
        if key not in hidden and value not in (None, "", "none", False)
    ]
    return f"{sae.n_atoms:,} atoms; " + ", ".join(told)


def topn(chosen: Sequence[ComparedSAE]) -> Html | None:
    """Accuracy with only the top n atoms of a class, and without them; None when none was measured."""
    measured = [(sae, sae.figures["topn"]) for sae in chosen if isinstance(sae.figures.get("topn"), dict)]
    if not measured:
        return None
    order = [sae.key for sae in chosen]
    parts = []
    for side, title, hint in (
        ("on", "Only the top n atoms of the class", "higher: the class sits in few atoms"),
        ("off", "All atoms but those", "lower: it sits nowhere else"),
    ):
        series = [(sae.key, {k: float(v) for k, v in found[side].items()}) for sae, found in measured]
        reference = _original(measured[0][0]) if side == "on" else None
        alt = f"Accuracy, {title.lower()}: " + "; ".join(f"{name} {values}" for name, values in series)
        drawn = charts.curves(series, _LEVELS, f"topn-{side}", alt, reference)
        parts.append(tag("div", ui.section(title, hint, drawn, level=3)))
    names = charts.legend([name for name in order if name in {sae.key for sae, _ in measured}])
    note = tag("p", DEFINITIONS["topn"][:1].upper() + DEFINITIONS["topn"][1:] + ".", cls="as-caption")
    head = ui.section("How concentrated a class is", "top-n classification with the model's own later layers")
    return tag("div", head, names, tag("div", parts, cls="as-halves-even"), note, cls="as-block")


def _original(sae: ComparedSAE) -> tuple[str, float] | None:
    found = sae.figures.get("fidelity")
    value = (found.get("original") or {}).get("accuracy") if isinstance(found, dict) else None
    return ("the model as it is", float(value)) if value is not None else None


def matches(atlas: Atlas, chosen: Sequence[ComparedSAE], pairs: Sequence[SAEOverlap]) -> Html:
    """Whether the atoms of the first SAE are in the others: distribution of the nearest cosine, examples of both kinds."""
    first = chosen[0]
    parts = []
    for pair in pairs:
        cosine = pair.matched.cosine
        counts, edges = np.histogram(cosine.clip(0, 1), bins=40, range=(0, 1))
        chart = ui.histogram(
            edges,
            counts,
            alt=f"Cosine of each atom of {first.key} with the nearest atom of {pair.key}; {pair.matched.share:.0%} above {SAME}",
            name=f"match-{pair.key}",
            x_label="cosine with the nearest atom",
            y_label="atoms",
            log_counts=False,
            tick_labels=[(v, f"{v:g}") for v in (0, 0.25, 0.5, 0.75, 1)],
            marks=[(SAME, f"above {SAME}: counted as the same atom")],
            width=360,
            height=150,
        )
        title = tag("span", f"{first.key} in {pair.key}: ", tag("b", f"{pair.matched.share:.0%}"))
        parts.append(tag("div", ui.section(title, "of its atoms are there too", chart, level=3)))
    head = ui.section(
        "Do they find the same atoms",
        f"nearest decoder direction; a cosine above {SAME} counts as the same atom. Several atoms may share a nearest one",
    )
    examples = _examples(atlas, first, pairs) if first.atlas is not None else None
    return tag("div", head, tag("div", parts, cls="as-matching"), examples, cls="as-block")


def _examples(atlas: Atlas, first: ComparedSAE, pairs: Sequence[SAEOverlap]) -> Html | None:
    """Atoms every other SAE has, and atoms none of them has, among those that fire often enough to judge."""
    assert first.atlas is not None  # the caller has looked
    own = first.atlas
    if own.key != atlas.key or not pairs:
        return None
    nearest = np.stack([pair.matched.cosine for pair in pairs])
    judged = (own.atoms["item_count"].to_numpy() >= 8) & (own.atoms["status"] == "live").to_numpy()
    if len(judged) != nearest.shape[1] or not judged.any():
        return None
    everywhere = np.where(judged, nearest.min(axis=0), -np.inf)
    nowhere = np.where(judged, nearest.max(axis=0), np.inf)
    kinds = (
        ("Found by all", np.argsort(-everywhere, kind="stable")[:SHOWN], everywhere),
        (f"Found by {first.key} alone", np.argsort(nowhere, kind="stable")[:SHOWN], nowhere),
    )
    parts = []
    for title, atoms, values in kinds:
        cards = [
            atlas_ui.atom_card(own, int(atom), f"cosine {values[atom]:.2f}")
            for atom in atoms
            if np.isfinite(values[atom])
        ]
        parts.append(tag("div", ui.section(title, "", level=3), atlas_ui.atom_cards(cards)))
    return tag("div", parts, cls="as-halves-even")


def pictures(atlas: Atlas, rows: Sequence[int], item: int) -> Html:
    """Pictures to look at."""
    shown = [item, *(row for row in rows if row != item)][: len(rows)]
    buttons = [
        tag(
            "button",
            tag("img", src=urls.thumb(atlas, row), alt=_name(atlas, row), loading="lazy"),
            cls="as-on" if row == item else None,
            data_on="item",
            data_value=row,
            data_tip=_name(atlas, row),
        )
        for row in shown
    ]
    more = tag("button", "Others", data_on="shuffle", cls="as-more")
    head = ui.section("The same picture", "through each SAE, encoded now; choose one")
    return tag("div", head, tag("div", buttons, more, cls="as-strip-pick"), cls="as-block")


def _name(atlas: Atlas, item: int) -> str:
    about = atlas.items.loc[item]
    return cut(about["caption"] or about["label"] or f"item {item}", 90)


def side_by_side(atlas: Atlas, chosen: Sequence[ComparedSAE], item: int, through: Sequence[ThroughSAE]) -> Html:
    """The picture once for each SAE, painted with the number of atoms each patch needs, on one colour scale."""
    low, high = _range(through, atlas.prefix)
    seen = {sight.key: sight for sight in through}
    columns = []
    for series, sae in enumerate(chosen):
        sight = seen.get(sae.key)
        mark = tag("svg", tag("g", charts.marker(series, 8, 8), cls=f"as-series as-s{series}"), viewBox="0 0 16 16")
        title = tag("h3", mark, sae.key)
        columns.append(tag("div", title, *_sight(atlas, sae, item, sight, low, high)))
    scale = ui.legend(low, high, f"atoms a {atlas_ui.unit(atlas)} needs") if through else None
    return tag("div", scale, tag("div", columns, cls="as-side-by-side"), cls="as-block")


def _range(through: Sequence[ThroughSAE], prefix: int) -> tuple[float, float]:
    sizes = [sight.support[prefix:] for sight in through if len(sight.support) > prefix]
    if not sizes:
        return 0, 1
    low, high = np.percentile(np.concatenate(sizes), [1, 99])
    return float(np.floor(low)), max(float(np.ceil(high)), float(low) + 1)


def _sight(atlas: Atlas, sae: ComparedSAE, item: int, sight: ThroughSAE | None, low: float, high: float) -> list[Html]:
    under = tag("img", src=urls.thumb(atlas, item), alt=_name(atlas, item))
    if sight is None:
        return [tag("span", under, cls="as-pic as-faded"), tag("p", "not looked at yet", cls="as-caption")]
    grid = patches(atlas, sight.support)
    over = _over(scale_png(grid, low, high))
    sizes = sight.support[atlas.prefix :]
    told = tag(
        "p",
        tag("b", f"{sizes.mean():.1f}"),
        f" atoms a {atlas_ui.unit(atlas)}, {int(sizes.min())} to {int(sizes.max())}; ",
        tag("b", f"{sight.unexplained:.1%}"),
        " unexplained",
        cls="as-caption",
    )
    atoms = [
        _atom(atlas, sae, item, sight, atom, share) for atom, share in zip(sight.strongest, sight.shares, strict=True)
    ]
    return [tag("span", under, over, cls="as-pic"), told, tag("ul", atoms, cls="as-sight-atoms")]


def _atom(atlas: Atlas, sae: ComparedSAE, item: int, sight: ThroughSAE, atom: int, share: float) -> Html:
    peak, heat = sight.encoded.of(atom)
    over = _over(heat_png(heat, peak)) if heat is not None else None
    picture = tag("span", tag("img", src=urls.thumb(atlas, item), alt="", loading="lazy"), over, cls="as-pic")
    own = sae.atlas is not None and sae.atlas.key == atlas.key
    name = (search.names(atlas)[atom] or "no label") if own else f"atom {atom}"
    words = tag("span", tag("b", cut(name, 26)), tag("em", f"{share:.0%} of the sum" + (f" · {atom}" if own else "")))
    if own:
        return tag("li", tag("a", picture, words, href=state.href("concepts", atom=atom), data_on="go"))
    return tag("li", picture, words)


def _over(png: bytes) -> Html:
    return tag("img", src=f"data:image/png;base64,{base64.b64encode(png).decode()}", alt="", cls="as-over")
