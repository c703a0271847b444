"""Every kind of value that somebody types is read in one place, and what is wrong with it is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from engine.cli.main import run
from engine.cli.options import finite, named_paths, one_of, several_of, sizes
from engine.errors import InputError

FRUIT = ("apple", "pear", "plum")


def test_sizes_are_sorted_and_each_comes_once() -> None:
    assert sizes("--top-k", "10, 5,5") == (5, 10)


@pytest.mark.parametrize("written", ["five", "", "5,", "\u00b2", "5.5", "1e3", "nan"])
def test_what_is_no_whole_number_is_refused(written: str) -> None:
    with pytest.raises(InputError, match="--top-k wants numbers separated by commas"):
        sizes("--top-k", written)


@pytest.mark.parametrize("written", ["0", "-3,5"])
def test_a_size_is_at_least_one(written: str) -> None:
    with pytest.raises(InputError, match="at least one candidate"):
        sizes("--top-k", written)


def test_lists_of_names() -> None:
    assert several_of("fruit", "plum, apple,plum", FRUIT) == ("plum", "apple")
    assert several_of("fruit", "all", FRUIT) == FRUIT == several_of("fruit", "each", FRUIT, everything="each")
    assert several_of("fruit", "", FRUIT) == ()
    with pytest.raises(InputError, match="There is no fruit 'stone'; choose one of apple, pear, plum."):
        several_of("fruit", "plum,stone", FRUIT)


def test_one_name() -> None:
    assert one_of("fruit", "pear", FRUIT) == "pear"
    with pytest.raises(InputError, match="There is no fruit 'Pear'"):
        one_of("fruit", "Pear", FRUIT)


def test_named_paths() -> None:
    assert named_paths("--baseline", ["topk=runs/a=b", "relu=c"]) == {"topk": Path("runs/a=b"), "relu": Path("c")}
    for entry in ("topk", "=runs", "topk="):
        with pytest.raises(InputError, match="--baseline takes NAME=RUN"):
            named_paths("--baseline", [entry])
    with pytest.raises(InputError, match="names 'topk' twice"):
        named_paths("--baseline", ["topk=a", "topk=b"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_is_finite(value: float) -> None:
    with pytest.raises(typer.BadParameter, match="is not a number"):
        finite(value)
    assert finite(0.5) == 0.5 and finite(None) is None


def test_a_wrong_value_names_the_help_of_its_own_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "synthetic", "--noise", "nan"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "'--noise': nan is not a number." in said and "(atomscope lab synthetic --help explains the options)" in said
