"""The table of shared concepts: where each fires, what could not be encoded, and where the codes come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from app.pages.retrieval.outcome import outcome_of
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.steps.concepts import concepts
from engine.atlas import Atlas
from engine.inspection.encoding import EncodedImage
from engine.inspection.shared_atoms import EncodedCandidate


def encoded(atlas: Atlas, *atoms: int) -> EncodedImage:
    peaks = atlas.atoms["max_activation"].to_numpy(np.float32)[list(atoms)]
    heat = np.zeros((len(atoms), *atlas.grid), np.float16)
    heat[:, 0, 0] = peaks
    return EncodedImage(np.array(atoms, np.int32), peaks, heat, "live")


def test_the_table_has_an_atom_a_row_and_a_picture_a_column(
    stream: Callable[..., Any], context: StepContext, linked: Atlas
) -> None:
    alive = linked.atoms[linked.atoms["status"] == "live"].sort_values("item_count").index[:2]
    rare, other = sorted(int(atom) for atom in alive)
    pictures = [
        EncodedCandidate("query", encoded(linked, rare)),
        EncodedCandidate(10, encoded(linked, rare, other)),
        EncodedCandidate(12, encoded(linked, other)),
        EncodedCandidate(11, None, "a.png is missing."),
    ]
    html = concepts(linked, context, outcome_of(stream([2.0, 1.0, 0.5])), pictures)
    assert f"atom {rare}<" in html and f"atom {other}<" not in html  # the other one is not in the query's picture
    assert html.count("as-over") == 2 and html.count("as-faded") == 1
    assert "a.png is missing." in html and "<img src=x" not in html
    assert "were encoded now by" in html and "Shared concepts" in html


def test_nothing_shared_is_said(stream: Callable[..., Any], context: StepContext, linked: Atlas) -> None:
    html = concepts(linked, context, outcome_of(stream([2.0, 1.0])), [EncodedCandidate(10, encoded(linked))])
    assert "They share no atom of" in html
