"""A search to take away: one row a candidate as CSV, everything as JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import Any

from app.pages.retrieval.request import Request
from app.pages.retrieval.view import View, sweep

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


def as_csv(view: View, captions: dict[int, str]) -> str:
    """One row a candidate, best first."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in view.final:
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


def as_json(view: View, request: Request, captions: dict[int, str], answer: int | None) -> str:
    """The request, the models, the pool, every record, the order, the k-sweep and the timings as one document."""
    document = {
        "query": {"text": request.text.strip(), "item": request.item or None, "uploaded": bool(request.upload)}
        | {"answer": answer},
        "options": dict(view.started.options) if view.started is not None else {},
        "models": dict(view.started.models) if view.started is not None else {},
        "pool": {
            "gallery": view.pool.gallery if view.pool is not None else 0,
            "answer_rank": view.pool.answer_rank if view.pool is not None else None,
            "entries": [asdict(row.entry) | {"caption": captions.get(row.entry.item, "")} for row in view.rows],
        },
        "fine": [
            {"place": row.place, "status": row.status, **_record(row.record)}
            | ({"plain": _record(row.plain)} if row.plain is not None else {})
            for row in view.final
            if row.record is not None
        ],
        "tie": asdict(view.tie) if view.tie is not None else None,
        "skipped": view.skipped.reason if view.skipped is not None else None,
        "stopped_early": view.stopped.reason if view.stopped is not None else None,
        "order": [row.entry.id for row in view.final],
        "sweep": [asdict(point) for point in sweep(view, answer, request.tie == "on")],
        "seconds": view.done.seconds if view.done is not None else {},
        "cancelled": view.done.cancelled if view.done is not None else None,
    }
    return json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"


def _record(record: Any) -> dict[str, Any]:
    known = asdict(record)
    entry = known.pop("entry")
    return {"item": entry["item"], "id": entry["id"]} | known
