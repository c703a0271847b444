"""``--help`` of every command: it explains each option, and says nothing that only its author understands."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import typer.main

from engine.cli.main import COMMANDS, run


def _commands() -> Iterator[tuple[str, Any]]:
    """Every command and sub-command by its whole name."""
    waiting = [(name, typer.main.get_command(import_module(module).app)) for name, (module, _) in COMMANDS.items()]
    while waiting:
        name, command = waiting.pop()
        yield name, command
        waiting += [(f"{name} {below}", it) for below, it in getattr(command, "commands", {}).items()]


ALL = dict(_commands())


def test_none_is_missing() -> None:
    assert len(ALL) >= 20 and {"lab compare", "demo build atlas", "benchmark-retrieval"} <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_the_command_and_each_option_has_help_in_sentences(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ALL[name]
    first = " ".join((command.help or "").split("\n\n")[0].split())
    assert first.endswith(".") and first[0].isupper(), f"{name}: {first!r}"
    for parameter in command.params:
        if parameter.name != "help":
            words = getattr(parameter, "help", "") or ""
            assert words.endswith(".") and words[0].isupper(), f"{name} {parameter.name}: {words!r}"
    assert run([*name.split(), "--help"]) == 0
    said = capsys.readouterr()
    assert "Usage: atomscope " + name in said.out and said.err == ""


def test_names_in_brackets_are_not_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "[training]" in said and "[defaults]" in said and "[[sae]]" in said
