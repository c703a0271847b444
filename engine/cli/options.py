"""Options that several commands share, and the one reading of each kind of value that somebody types."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from engine.errors import InputError

T = TypeVar("T", bound=str)

Device = Annotated[str, typer.Option(help="Where to compute: auto (a GPU when there is one), cpu, cuda or cuda:N.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Acts = Annotated[Path, typer.Option(help="Activation store, made by `atomscope extract`.")]
Tensorboard = Annotated[bool, typer.Option("--tensorboard", help="Also write curves for TensorBoard.")]

SearchedPath = Annotated[
    Path,
    typer.Option(
        "--corpus",
        help="Collection to search: a folder of images, Parquet shards, a data set folder or a text file.",
        show_default="the demo corpus",
    ),
]
Captions = Annotated[Path | None, typer.Option(help="CSV, JSONL or Parquet file with captions of the collection.")]
EmbedderName = Annotated[
    str,
    typer.Option(
        help="Model of the coarse stage: demo, or the hub id or folder of a CLIP, SigLIP or sentence-transformers model."
    ),
]
MllmName = Annotated[
    str,
    typer.Option(
        help="Multimodal model that reads the candidates: demo, a hub id or a folder; none stops after the coarse stage."
    ),
]
RerankerName = Annotated[
    str,
    typer.Option(
        help="Hub id or folder of a trained reranker (CrossEncoder) that reads the candidates instead of --mllm."
    ),
]


def finite(value: float | None) -> float | None:
    """A callback for options that take a number: refuses nan and inf, which Python reads as numbers.

    Raises
    ------
    typer.BadParameter
        If ``value`` is not finite.
    """
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a number.")
    return value


Threshold = Annotated[
    float,
    typer.Option(
        help="Top-n: an atom counts for a token when its activation exceeds this; 0 counts every positive activation.",
        callback=finite,
    ),
]


def one_of(what: str, written: str, known: Sequence[T]) -> T:
    """The entry of ``known`` that is called ``written``.

    Raises
    ------
    InputError
        If there is none; the sentence calls it ``what``.
    """
    for entry in known:
        if entry == written:
            return entry
    raise InputError(f"There is no {what} {written!r}; choose one of {', '.join(known)}.")


def several_of(what: str, written: str, known: Sequence[T], everything: str = "all") -> tuple[T, ...]:
    """The entries of ``known`` named in a list separated by commas, each once, in the order written.

    ``everything`` is the word for all of them; an empty list has none.

    Raises
    ------
    InputError
        If one is not known; the sentence calls it ``what``.
    """
    if written.strip() == everything:
        return tuple(known)
    names = (part.strip() for part in written.split(","))
    return tuple(dict.fromkeys(one_of(what, name, [*known]) for name in names if name))


def sizes(option: str, written: str) -> tuple[int, ...]:
    """Whole numbers of at least 1 separated by commas, ascending, each once.

    Raises
    ------
    InputError
        If a part is none; the sentence names ``option``.
    """
    try:
        found = sorted({int(part) for part in written.split(",")})
    except ValueError:
        raise InputError(f"{option} wants numbers separated by commas, such as 5,10, not {written!r}.") from None
    if found[0] < 1:
        raise InputError(f"{option}: the pool needs at least one candidate, not {found[0]}.")
    return tuple(found)


def named_paths(option: str, entries: Iterable[str]) -> dict[str, Path]:
    """``NAME=PATH`` entries as a dictionary.

    Raises
    ------
    InputError
        If one is not of this form, or a name comes twice; the sentence names ``option``.
    """
    found: dict[str, Path] = {}
    for entry in entries:
        name, equals, path = entry.partition("=")
        if not equals or not name or not path:
            raise InputError(f"{option} takes NAME=RUN, such as topk=cache/runs/demo/topk, not {entry!r}.")
        if name in found:
            raise InputError(f"{option} names {name!r} twice: give every run a name of its own.")
        found[name] = Path(path)
    return found
