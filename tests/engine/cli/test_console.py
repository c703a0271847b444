"""Tables: aligned, never cut, and free of anything but what they say."""

from __future__ import annotations

import pytest

from engine.cli.console import print_table
from engine.table import Table


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_names_stand_on_the_left_and_numbers_on_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(Table(("", "topk"), (("FVU", "0.5"), ("dead atoms", "12"))))
    header, rule, *rows = lines(capsys)
    assert header.split() == ["topk"] and set(rule) <= set("\u2500 -")
    assert [row.split("  ")[0] for row in rows] == ["FVU", "dead atoms"]
    assert [len(row) for row in rows] == [len(header)] * 2 and rows[0].endswith(" 0.5") and rows[1].endswith("  12")


@pytest.mark.parametrize("columns", ["20", "80", "1000"])
def test_nothing_is_cut_however_narrow_the_screen(columns: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    names = tuple(f"an-architecture-of-number-{i}" for i in range(12))
    print_table(Table(("", *names), (("FVU", *("0.1234",) * 12),)))
    header, _, row = lines(capsys)
    assert header.split() == list(names) and row.split() == ["FVU", *["0.1234"] * 12]


def test_without_a_header_there_are_rows_only_and_no_blanks_behind_them(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(Table((), (("1", "short"), ("10", "a much longer caption"))), words=(1,))
    assert lines(capsys) == [" 1  short", "10  a much longer caption"]


def test_what_looks_like_markup_is_text_and_an_empty_table_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(Table((), (("[red]1[/red]", "[link=x]"),)))
    assert lines(capsys) == ["[red]1[/red]  [link=x]"]
    print_table(Table((), ()))
    assert lines(capsys) == []


def test_a_cell_may_have_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(Table(("", "cosine"), (("topk", "0.5\n0.4 - 0.6"),)))
    assert [line.split() for line in lines(capsys)[2:]] == [["topk", "0.5"], ["0.4", "-", "0.6"]]
