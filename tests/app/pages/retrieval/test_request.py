"""The address of a search: it round-trips, and whatever a stranger writes into it is met with a sentence."""

from __future__ import annotations

import pytest

from app.pages.retrieval.request import MOST, Request, parameters, read

CORPORA = {"demo", "mine-123456"}


@pytest.mark.parametrize(
    "request_",
    [
        Request(),
        Request(text="a red panda"),
        Request(text="赤いパンダ & 50% <b>", k=12, mode="true-false", enhance="paper", tie="off"),
        Request(text="x", enhance="published-code", alpha=0.25, threshold=0.0, tokens="visual", gate="every"),
        Request(item="emoji/1f600", corpus="mine-123456", split="all", view="both", skip=0.05, stop=2.5),
    ],
)
def test_an_address_round_trips(request_: Request) -> None:
    assert read(parameters(request_), CORPORA) == (request_, [])


def test_defaults_are_not_written() -> None:
    assert parameters(Request(text="x")) == {"q": "x"}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("mode", "<script>", "There is no score mode"),
        ("enhance", "paper2", "There is no enhancement preset"),
        ("view", "../..", "There is no view"),
        ("tie", "1", "There is no tie rule"),
        ("corpus", "/etc", "No corpus '/etc' is open here"),
        ("k", "0", "not between 1 and"),
        ("k", "١٢", "not between 1 and"),
        ("k", "9" * 400, "not between 1 and"),
        ("skip", "nan", "no margin"),
        ("alpha", "1.5", "is no alpha"),
        ("threshold", "nan", "is no threshold"),
        ("tokens", "none", "There is no choice of tokens"),
        ("gate", "open", "There is no gate"),
        ("stop", "-1", "no margin"),
        ("upload", "0123456789abcdef", "uploads stay on the machine"),
    ],
)
def test_bad_values_fall_back_with_a_sentence(name: str, value: str, says: str) -> None:
    request, notices = read({"q": "x", name: value}, CORPORA)
    assert request == Request(text="x")
    assert len(notices) == 1 and says in notices[0] and len(notices[0]) < 300


def test_a_pool_too_large_is_cut() -> None:
    assert read({"k": "500"}, CORPORA)[0].k == MOST


def test_an_upload_this_session_holds_is_found_again() -> None:
    request, notices = read({"upload": "abc"}, CORPORA, {"abc"})
    assert request.upload == "abc" and request.kind == "image" and not notices
