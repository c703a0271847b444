"""The same numbers whichever way they are made, on every architecture: alone, in a batch, through caches, under hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from PIL import Image

    from engine.retrieval.fine.mllm_scorer import CandidateView, FineScorer

ARCHITECTURES = ("qwen2_5_vl", "qwen3_vl", "llava", "idefics3", "internvl", "gemma3", "aya_vision")
CLOSE = 1e-5
Views = Callable[..., "list[CandidateView]"]

# A name that transformers gives up is said by us before a user hears of it.
pytestmark = pytest.mark.filterwarnings("error::FutureWarning")


def scores(scorer: FineScorer, query: Any, views: list[CandidateView], **options: Any) -> list[float]:
    """Fine scores in the order given; every candidate must have one."""
    from engine.retrieval.search.query import SearchOptions

    events = list(scorer.score(query, views, SearchOptions(**options)))
    assert [event.record.error for event in events] == [""] * len(views)
    return [float(event.record.score or 0.0) for event in events]


def alone(scorer: FineScorer, text: str, image: Image.Image) -> float:
    """Log-odds as the model gives them by itself: its own processor, its own forward, nothing of ours."""
    import torch

    from engine.retrieval.fine.prompts import JUDGE

    mllm = scorer.mllm
    content = [{"type": "image"}, {"type": "text", "text": f"{JUDGE} {text}"}]
    chat = [{"role": "user", "content": content}]
    prompt = mllm.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    inputs = mllm.processor(text=[prompt], images=[image], return_tensors="pt")
    with torch.no_grad():
        logits = mllm.model(**inputs).logits[0, -1].float()
    spelt = {
        word: [i for token, i in mllm.tokenizer.get_vocab().items() if token.strip("Ġ").lower() == word]
        for word in ("true", "false")
    }
    assert all(len(ids) >= 3 for ids in spelt.values())
    return float(logits[spelt["true"]].logsumexp(0) - logits[spelt["false"]].logsumexp(0))


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_text_query(kind: str, scorer: Callable[..., FineScorer], views: Views, pictures: list[Image.Image]) -> None:
    from engine.retrieval.search.query import Query

    model = scorer(kind)
    assert model.limits == []
    wanted = [alone(model, "a red square and a circle", picture) for picture in pictures[:5]]
    assert max(wanted) - min(wanted) > 100 * CLOSE  # pictures matter, or the test would show nothing
    cold = scores(model, Query("a red square and a circle"), views(), batch=4)
    assert cold == pytest.approx(wanted, abs=CLOSE)
    one_by_one = scores(scorer(kind), Query("a red square and a circle"), views(), batch=1)
    assert one_by_one == pytest.approx(wanted, abs=CLOSE)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_repeated_pictures_use_their_keys_and_values(
    kind: str, scorer: Callable[..., FineScorer], views: Views, pictures: list[Image.Image]
) -> None:
    from engine.retrieval.search.query import Query, SearchOptions

    model = scorer(kind)
    scores(model, Query("something else, and longer"), views())
    events = list(model.score(Query("a blue circle"), views(), SearchOptions()))
    assert [event.record.cache for event in events] == ["prefix"] * 5
    wanted = [alone(model, "a blue circle", picture) for picture in pictures[:5]]
    assert [event.record.score for event in events] == pytest.approx(wanted, abs=CLOSE)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_image_query_reads_its_picture_once(
    kind: str, scorer: Callable[..., FineScorer], views: Views, pictures: list[Image.Image]
) -> None:
    from engine.retrieval.search.query import Query, SearchOptions

    model = scorer(kind)
    reads: list[int] = []
    hook = model.mllm.model.get_input_embeddings().register_forward_hook(
        lambda _module, args, _output: reads.append(args[0].numel())
    )
    events = list(model.score(Query(image=pictures[5]), views(), SearchOptions(batch=4)))
    hook.remove()
    prompts = [event.record.prompt_tokens for event in events]
    assert sum(reads) < 0.8 * sum(prompts)
    captions = [view.text for view in views()]
    wanted = [alone(model, caption, pictures[5]) for caption in captions]
    assert [event.record.score for event in events] == pytest.approx(wanted, abs=CLOSE)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_hooks_that_do_not_fire_change_no_bit(kind: str, scorer: Callable[..., FineScorer], views: Views) -> None:
    from engine.retrieval.search.query import Enhancement, Query

    query, enhancement = Query("a red square"), Enhancement(threshold=1.0)
    plain = scores(scorer(kind), query, views(), trace=True)
    hooked = scores(scorer(kind), query, views(), enhancement=enhancement)
    assert hooked == plain


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_enhanced_batch_is_enhanced_one_by_one(kind: str, scorer: Callable[..., FineScorer], views: Views) -> None:
    from engine.retrieval.search.query import Enhancement, Query

    query, enhancement = Query("a red square"), Enhancement(threshold=0.0, alpha=0.4)
    batched = scores(scorer(kind), query, views(), enhancement=enhancement, batch=4)
    one_by_one = scores(scorer(kind), query, views(), enhancement=enhancement, batch=1)
    assert batched == pytest.approx(one_by_one, abs=CLOSE)
    assert max(abs(a - b) for a, b in zip(batched, scores(scorer(kind), query, views()), strict=True)) > 10 * CLOSE


def test_a_sliding_window_that_has_moved_on_is_read_whole(
    scorer: Callable[..., FineScorer], views: Views, pictures: list[Image.Image]
) -> None:
    from engine.retrieval.search.query import Query, SearchOptions

    model = scorer("gemma3")
    text = "a red square and a blue circle " * 14
    events = list(model.score(Query(text), views(3), SearchOptions()))
    events = list(model.score(Query(text + "x"), views(3), SearchOptions()))
    assert events[0].record.prompt_tokens > 128
    assert [event.record.cache for event in events] == ["image"] * 3
    wanted = [alone(model, (text + "x").strip(), picture) for picture in pictures[:3]]
    assert [event.record.score for event in events] == pytest.approx(wanted, abs=CLOSE)
