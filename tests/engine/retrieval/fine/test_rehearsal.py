"""What a rehearsal turns off, and whether it says that the model refused or that the rehearsal broke."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from engine.errors import AtomscopeError, InputError
from engine.progress import SilentProgress

if TYPE_CHECKING:
    from engine.retrieval.fine.candidates import CandidateView
    from engine.retrieval.fine.mllm_scorer import FineScorer

Scorers = Callable[..., "FineScorer"]
Views = Callable[..., "list[CandidateView]"]

pytestmark = pytest.mark.filterwarnings("error::FutureWarning")


def scores(scorer: FineScorer, views: list[CandidateView]) -> list[float]:
    """Scores of all views; every one must have been read."""
    from engine.retrieval.search.query import Query, SearchOptions

    records = [event.record for event in scorer.score(Query("a red square"), views, SearchOptions())]
    assert [record.error for record in records] == [""] * len(views)
    return [float(record.score) for record in records]


def raising(error: Exception) -> Callable[..., Any]:
    """A function that raises ``error``, whatever it is given."""

    def fail(*_args: Any, **_named: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("error", [AttributeError("no to_tuple\nmore lines"), AssertionError("shape"), OSError("disk")])
def test_a_tower_that_raises_is_a_reported_break(
    error: Exception, scorer: Scorers, views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.retrieval.fine.pictures import ImageCache

    wanted = scores(scorer("llava"), views())
    monkeypatch.setattr(ImageCache, "tower", raising(error))
    progress = SilentProgress()
    model = scorer("llava", progress=progress)
    first = str(error).splitlines()[0]
    (sentence,) = model.broken
    assert f"the rehearsal of handing its output back to it broke ({type(error).__name__}: {first})" in sentence
    assert sentence.endswith("so that reuse is off.") and "vision tower anew" in sentence
    assert progress.warnings == model.limits == [sentence]
    assert model.store is None
    assert scores(model, views()) == pytest.approx(wanted, abs=1e-5)  # the search goes on without the cache


def test_what_is_handed_back_and_not_understood_is_a_reported_break(
    scorer: Scorers, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.retrieval.fine import pictures

    monkeypatch.setattr(pictures, "EncoderOutput", lambda **fields: list(fields.values()))
    (sentence,) = scorer("llava").broken
    assert "broke (AttributeError: " in sentence


def test_keys_and_values_that_raise_are_a_reported_break(
    scorer: Scorers, views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.retrieval.fine import reader

    wanted = scores(scorer("llava"), views())
    monkeypatch.setattr(reader, "DynamicCache", raising(TypeError("no such cache")))
    progress = SilentProgress()
    model = scorer("llava", progress=progress)
    (sentence,) = model.broken
    assert "broke (TypeError: no such cache)" in sentence and "from its start" in sentence
    assert progress.warnings == [sentence]
    assert model.store is not None  # pictures are handed back all the same
    assert scores(model, views()) == pytest.approx(wanted, abs=1e-5)


def test_a_model_that_says_no_is_a_refusal(scorer: Scorers, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.retrieval.fine.pictures import ImageCache

    monkeypatch.setattr(ImageCache, "tower", raising(NotImplementedError("not for this model")))
    progress = SilentProgress()
    model = scorer("llava", progress=progress)
    (sentence,) = model.limits
    assert sentence.endswith("its output cannot be handed back to it.")
    assert model.broken == progress.warnings == []


def test_other_numbers_are_a_refusal(scorer: Scorers, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.retrieval.fine import pictures

    true = pictures.EncoderOutput
    monkeypatch.setattr(
        pictures, "EncoderOutput", lambda pooler_output: true(pooler_output=[2 * part for part in pooler_output])
    )
    progress = SilentProgress()
    model = scorer("llava", progress=progress)
    assert ["vision tower anew" in sentence for sentence in model.limits] == [True]
    assert model.broken == progress.warnings == []


def test_an_architecture_without_the_place_is_a_refusal(
    loaded: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.retrieval.fine.mllm_scorer import FineScorer

    mllm = loaded("llava")
    forward = type(mllm.model).forward

    def without(self: Any, **inputs: Any) -> Any:
        assert "mm_encoder_outputs" not in inputs
        return forward(self, **inputs)

    signature = inspect.signature(forward)
    kept = [parameter for name, parameter in signature.parameters.items() if name != "mm_encoder_outputs"]
    without.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    monkeypatch.setattr(type(mllm.model), "forward", without)
    model = FineScorer(mllm)
    (sentence,) = model.limits
    assert "vision tower anew" in sentence and model.broken == [] and model.store is None


def test_preparing_after_a_break_fails_and_names_it(scorer: Scorers, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from engine.retrieval.fine.pictures import ImageCache
    from engine.retrieval.fine.preparation import prepare

    monkeypatch.setattr(ImageCache, "tower", raising(AttributeError("no to_tuple")))
    with pytest.raises(AtomscopeError, match="AttributeError: no to_tuple.*nothing to prepare") as caught:
        prepare(None, scorer("llava"), np.zeros(0, np.int64))  # type: ignore[arg-type]
    assert not isinstance(caught.value, InputError)  # the work failed: the input is not at fault
