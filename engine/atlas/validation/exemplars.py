"""Checks of ``exemplars.parquet``, against the atoms, the items' labels and the sampled codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.atlas.format.schema import EXEMPLAR_KINDS, HEAT_KEPT
from engine.atlas.grouping import place_among_equals, segments
from engine.atlas.validation.codes import read_codes
from engine.atlas.validation.context import ValidationContext
from engine.atlas.validation.ranks import check_ranks, kind_numbers
from engine.atlas.validation.report import CheckStopped, same_float
from engine.metrics import label_entropy, top_label

_WHERE = "exemplars.parquet"


def check_exemplars(context: ValidationContext) -> None:
    """Every row group of the exemplars."""
    for number, table in enumerate(context.groups(_WHERE)):
        first = number * context.per_group
        rows: dict[str, Any] = {
            name: table.column(name).to_numpy() for name in ("atom", "rank", "item", "position", "value", "quantile")
        }
        rows["kind"] = kind_numbers(context, _WHERE, table, EXEMPLAR_KINDS)
        span = np.arange(first, min(first + context.per_group, context.n_atoms))
        check_ranks(context, _WHERE, rows["atom"], rows["kind"], rows["rank"])
        _order(context, rows)
        _numbers(context, rows, span)
        _heat(context, rows, table)
        _labels(context, rows, span)


def _order(context: ValidationContext, rows: dict[str, NDArray[Any]]) -> None:
    """Which items, in which order."""
    report, atom, kind, value, item = context.report, rows["atom"], rows["kind"], rows["value"], rows["item"]
    bad = (item < 0) | (item >= context.n_items) | (rows["position"] < 0) | (rows["position"] >= context.n_positions)
    report.rows(bad, _WHERE, "item or position does not exist", atom)
    if bad.any():
        raise CheckStopped
    pair = atom.astype(np.int64) * context.n_items + item
    report.expect(len(np.unique(pair)) == len(pair), _WHERE, "an atom names the same item twice.")
    same = (atom[1:] == atom[:-1]) & (kind[1:] == kind[:-1])
    report.rows(same & (value[1:] > value[:-1]), _WHERE, "values rise with rank", atom[1:])
    tie = same & (value[1:] == value[:-1]) & (item[1:] < item[:-1])
    report.rows(tie, _WHERE, "equal values are not in order of items", atom[1:])
    turn = (atom[1:] == atom[:-1]) & (kind[1:] != kind[:-1])
    report.rows(turn & (value[1:] > value[:-1]), _WHERE, "a quantile exemplar is above a top exemplar", atom[1:])


def _numbers(context: ValidationContext, rows: dict[str, NDArray[Any]], span: NDArray[np.int64]) -> None:
    """How many, and what they say of the atom."""
    report, first, settings = context.report, span[0], context.meta["exemplars"]
    atom, kind, value = rows["atom"], rows["kind"], rows["value"]
    item_count = np.asarray(context.atoms["item_count"], np.int64)
    top = np.bincount(atom[kind == 0] - first, minlength=len(span))
    report.rows(top != np.minimum(item_count[span], settings["top_n"]), _WHERE, "it has not top_n top exemplars", span)
    rest = np.bincount(atom[kind == 1] - first, minlength=len(span))
    most = np.minimum(np.maximum(item_count[span] - settings["top_n"], 0), settings["bands"] * settings["band_size"])
    report.rows(rest > most, _WHERE, "it has too many quantile exemplars", span)
    heads = np.flatnonzero((kind == 0) & (rows["rank"] == 0))
    maximum = context.atoms["max_activation"][atom[heads]]
    report.rows(value[heads] != maximum, _WHERE, "the first exemplar is not max_activation", atom[heads])
    quantile = rows["quantile"]
    report.rows(~((quantile > 0) & (quantile <= 1)), _WHERE, "quantile is not in (0, 1]", atom)
    drawn = np.flatnonzero(kind == 1)
    steps = quantile[drawn].astype(np.float64) * np.minimum(item_count[atom[drawn]], settings["sample"])
    wrong = np.abs(steps - np.round(steps)) > 1e-3
    report.rows(wrong, _WHERE, "quantile of a quantile exemplar is no share of its sample", atom[drawn])
    tops = np.flatnonzero(kind == 0)
    above = rows["rank"][tops] - place_among_equals(atom[tops], value[tops])
    exact = 1.0 - above / item_count[atom[tops]]
    wrong = ~same_float(quantile[tops], exact, 1e-6)
    report.rows(wrong, _WHERE, "quantile of a top exemplar is not its share of the items", atom[tops])


def _heat(context: ValidationContext, rows: dict[str, NDArray[Any]], table: Any) -> None:
    """The heat maps, and for sampled items that they are the codes."""
    report, atom = context.report, rows["atom"]
    lists = [table.column(name).combine_chunks() for name in ("heat_positions", "heat_values")]
    offsets = [part.offsets.to_numpy() for part in lists]
    sizes = np.diff(offsets[0])
    if not np.array_equal(sizes, np.diff(offsets[1])):
        report.rows(sizes != np.diff(offsets[1]), _WHERE, "heat_positions and heat_values differ in length", atom)
        raise CheckStopped
    report.rows((sizes < 1) | (sizes > HEAT_KEPT), _WHERE, f"a heat map has not 1 to {HEAT_KEPT} entries", atom)
    if (sizes < 1).any():
        raise CheckStopped
    position, heat = (part.flatten().to_numpy() for part in lists)
    row = np.repeat(np.arange(len(atom)), sizes)
    fall = (row[1:] == row[:-1]) & (np.diff(position.astype(np.int64)) <= 0)
    report.rows(fall, _WHERE, "heat_positions do not ascend", atom[row[1:]])
    report.rows(position >= context.n_positions, _WHERE, "a heat position does not exist", atom[row])
    start = np.cumsum(sizes) - sizes
    if len(row):
        report.rows(
            np.maximum.reduceat(heat, start) != rows["value"], _WHERE, "value is not the largest of the heat map", atom
        )
        at = (position == rows["position"][row]) & (heat == rows["value"][row])
        report.rows(~np.logical_or.reduceat(at, start), _WHERE, "value is not reached at position", atom)
        early = (heat == rows["value"][row]) & (position < rows["position"][row])
        report.rows(early, _WHERE, "position is not the first with the value", atom[row])
    _against_codes(context, rows, start, sizes, position, heat)


def _against_codes(
    context: ValidationContext,
    rows: dict[str, NDArray[Any]],
    start: NDArray[Any],
    sizes: NDArray[Any],
    position: NDArray[Any],
    heat: NDArray[Any],
) -> None:
    codes = read_codes(context)
    place = np.searchsorted(codes["items"], rows["item"])
    sampled = place < len(codes["items"])
    sampled[sampled] = codes["items"][place[sampled]] == rows["item"][sampled]
    for row in np.flatnonzero(sampled):
        atom = rows["atom"][row]
        span = slice(codes["atom_crow"][atom], codes["atom_crow"][atom + 1])
        tokens = codes["atom_row"][span]
        low, high = np.searchsorted(tokens, [place[row] * context.n_positions, (place[row] + 1) * context.n_positions])
        found = tokens[low:high] - place[row] * context.n_positions
        values = codes["atom_val"][span][low:high]
        if len(found) > HEAT_KEPT:
            keep = np.sort(np.lexsort((found, -values))[:HEAT_KEPT])
            found, values = found[keep], values[keep]
        mine = slice(start[row], start[row] + sizes[row])
        same = np.array_equal(found, position[mine]) and same_float(heat[mine], values).all()
        if not same:
            context.report.add(
                _WHERE, f"a heat map of atom {atom} is not what codes/ hold for item {rows['item'][row]}."
            )
            raise CheckStopped


def _labels(context: ValidationContext, rows: dict[str, NDArray[Any]], span: NDArray[np.int64]) -> None:
    """``label_entropy``, ``top_label`` and ``top_label_share`` of the atoms follow from the top exemplars."""
    atoms, items = context.atoms, context.items["label"]
    top = np.flatnonzero(rows["kind"] == 0)
    bounds = np.searchsorted(rows["atom"][top], np.append(span, span[-1] + 1))
    index, _ = segments(bounds[:-1], np.diff(bounds))
    assert len(index) == len(top)
    for number, atom in enumerate(span):
        mine = top[bounds[number] : bounds[number + 1]]
        words, values = items[rows["item"][mine]].tolist(), rows["value"][mine].tolist()
        name, share = top_label(words, values)
        good = same_float(
            np.array([atoms["label_entropy"][atom]]), np.array([label_entropy(words, values)]), 1e-4
        ).all()
        good &= same_float(np.array([atoms["top_label_share"][atom]]), np.array([share]), 1e-4).all()
        good &= atoms["top_label"][atom] == name
        if not good:
            context.report.add(
                "atoms.parquet",
                f"label_entropy, top_label or its share do not follow from the exemplars (atom {atom}).",
            )
            return
