"""What is taken away: complete, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json

from app.pages.retrieval.outcome import outcome_of
from app.pages.retrieval.request import Request
from app.pages.retrieval.steps.export import COLUMNS, as_csv, as_json


def test_csv_has_one_row_a_candidate_best_first(stream) -> None:
    outcome = outcome_of(stream([0.5, 2.0, None]))
    rows = list(csv.DictReader(io.StringIO(as_csv(outcome, {10: "a, b", 11: "=HYPERLINK(1)", 12: "c"}))))
    assert list(rows[0]) == list(COLUMNS) and [row["coarse_rank"] for row in rows] == ["2", "1", "3"]
    assert rows[0]["caption"] == "'=HYPERLINK(1)" and rows[1]["caption"] == "a, b"
    assert rows[2]["status"] == "failed" and rows[2]["fine_score"] == "" and "missing" in rows[2]["error"]


def test_unread_candidates_stand_in_the_csv(stream) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(outcome_of(stream([1.0, 2.0])[:2]), {}))))
    assert [row["status"] for row in rows] == ["waiting", "waiting"] and rows[0]["fine_score"] == ""


def test_json_is_one_document_with_everything(stream) -> None:
    outcome = outcome_of(stream([2.0, 2.0, None], entropies=[0.4, 0.1, 0.3], answer_rank=2))
    told = json.loads(as_json(outcome, Request(text="x ✓"), {10: "one"}, answer=11))
    assert told["query"] == {"text": "x ✓", "item": None, "uploaded": False, "answer": 11}
    assert told["order"] == ["animals/1.png", "animals/0.png", "animals/2.png"]
    assert told["tie"]["winner"] == 11 and told["pool"]["answer_rank"] == 2
    assert [point["answer"] for point in told["sweep"]] == [None, 1, 1]
    assert told["fine"][0]["top_tokens"][0]["token"] == "True" and told["seconds"]["all"] == 1.1
