"""A search to take away: one row per candidate as CSV, everything as JSON, and the table on the page."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import Any

from app.pages.retrieval.outcome import Outcome
from app.pages.retrieval.request import Request
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.view import signed
from app.ui import Html, tag

COLUMNS = (
    "place",
    "item",
    "id",
    "caption",
    "coarse_rank",
    "coarse_score",
    "status",
    "mode",
    "fine_score",
    "p_true",
    "p_false",
    "label_mass",
    "entropy",
    "binary_entropy",
    "fired_layer",
    "plain_score",
    "milliseconds",
    "cache",
    "error",
)


def as_csv(outcome: Outcome, captions: dict[int, str]) -> str:
    """One row per candidate, best first."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in outcome.final:
        record = row.record
        fields: list[Any] = [row.place, row.entry.item, row.entry.id, captions.get(row.entry.item, "")]
        fields += [row.entry.rank, row.entry.score, row.status]
        if record is None:
            fields += [""] * (len(COLUMNS) - len(fields))
        else:
            fields += [record.mode, record.score, record.p_true, record.p_false, record.label_mass]
            fields += [record.entropy, record.binary_entropy, record.fired_layer]
            fields += [row.plain.score if row.plain is not None else None]
            fields += [round(record.milliseconds, 3), record.cache, record.error]
        writer.writerow([_cell(field) for field in fields])
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    """A cell no spreadsheet takes for a formula: ids and captions come from other people's files."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return "" if value is None else value


def as_json(outcome: Outcome, request: Request, captions: dict[int, str], answer: int | None) -> str:
    """The request, the models, the pool, every record, the order, the pool sizes and the timings as one document."""
    document = {
        "query": {"text": request.text.strip(), "item": request.item or None, "uploaded": bool(request.upload)}
        | {"answer": answer},
        "options": dict(outcome.started.options) if outcome.started is not None else {},
        "models": dict(outcome.started.models) if outcome.started is not None else {},
        "pool": {
            "gallery": outcome.pool.gallery if outcome.pool is not None else 0,
            "answer_rank": outcome.pool.answer_rank if outcome.pool is not None else None,
            "entries": [asdict(row.entry) | {"caption": captions.get(row.entry.item, "")} for row in outcome.rows],
        },
        "fine": [
            {"place": row.place, "status": row.status, **_record(row.record)}
            | ({"plain": _record(row.plain)} if row.plain is not None else {})
            for row in outcome.final
            if row.record is not None
        ],
        "tie": asdict(outcome.tie) if outcome.tie is not None else None,
        "skipped": outcome.skipped.reason if outcome.skipped is not None else None,
        "stopped_early": outcome.stopped.reason if outcome.stopped is not None else None,
        "order": [row.entry.id for row in outcome.final],
        "sweep": [asdict(size) for size in outcome.pool_sizes(answer, request.tie == "on")],
        "seconds": outcome.done.seconds if outcome.done is not None else {},
        "cancelled": outcome.done.cancelled if outcome.done is not None else None,
    }
    return json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"


def _record(record: Any) -> dict[str, Any]:
    known = asdict(record)
    entry = known.pop("entry")
    return {"item": entry["item"], "id": entry["id"]} | known


def results_table(context: StepContext, outcome: Outcome) -> Html:
    """All candidates with their figures, for the export step."""
    rows = [
        (
            row.place,
            row.entry.id,
            row.entry.rank,
            f"{row.entry.score:.4f}",
            signed(row.score, outcome.mode) if row.score is not None else row.status,
        )
        for row in outcome.final
    ]
    columns = ("place", "id", "coarse rank", "cosine", f"fine score ({outcome.mode or 'none'})")
    head = tag("tr", [tag("th", name) for name in columns])
    body = [tag("tr", [tag("td", cell) for cell in row]) for row in rows]
    return tag("div", tag("table", tag("thead", head), tag("tbody", body)), cls="as-scroll as-export")
