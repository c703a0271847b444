"""Score modes against hand computation on the model's own logits, and the statements they judge."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from PIL import Image

    from engine.retrieval.fine.mllm_scorer import CandidateView, FineScorer

Views = Callable[..., "list[CandidateView]"]


def run(scorer: FineScorer, query: Any, views: list[CandidateView], **options: Any) -> list[Any]:
    """Records of a query, none of them failed."""
    from engine.retrieval.search.query import SearchOptions

    events = list(scorer.score(query, views, SearchOptions(**options)))
    assert [event.record.error for event in events] == [""] * len(views)
    return [event.record for event in events]


def logits_of(scorer: FineScorer, words: str, images: list[Image.Image], answer: str = "") -> Any:
    """Logits [L, vocabulary] and ids [L] of a chat, by the model's own processor and forward."""
    import torch

    mllm = scorer.mllm
    content = [{"type": "image"} for _ in images] + [{"type": "text", "text": words}]
    chat = [{"role": "user", "content": content}]
    prompt = mllm.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) + answer
    inputs = mllm.processor(text=[prompt], images=images or None, return_tensors="pt")
    with torch.no_grad():
        return mllm.model(**inputs).logits[0].float(), inputs["input_ids"][0]


def mass(scorer: FineScorer, logits: Any, word: str) -> float:
    """Probability of all single tokens that spell a word."""
    vocabulary = scorer.mllm.tokenizer.get_vocab()
    chances = logits.double().softmax(0)
    return float(sum(chances[i] for token, i in vocabulary.items() if token.strip("Ġ").lower() == word))


def test_true_false_record(scorer: Callable[..., FineScorer], views: Views, pictures: list[Image.Image]) -> None:
    from engine.retrieval.fine.prompts import JUDGE
    from engine.retrieval.search.query import Query

    model = scorer()
    (record,) = run(model, Query("a red square"), views(1), mode="true-false")
    logits = logits_of(model, f"{JUDGE} a red square", pictures[:1])[0][-1]
    true, false = mass(model, logits, "true"), mass(model, logits, "false")
    assert record.p_true == pytest.approx(true, abs=1e-6)
    assert record.p_false == pytest.approx(false, abs=1e-6)
    assert record.label_mass == pytest.approx(true + false, abs=1e-6)
    assert record.score == math.floor(true * 100) / 100
    p = true / (true + false)
    assert record.binary_entropy == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p), abs=1e-5)
    chances = logits.double().softmax(0)
    assert record.entropy == pytest.approx(float(-(chances * chances.log()).sum()), abs=1e-5)
    best = sorted(range(len(chances)), key=lambda i: -chances[i])[:10]
    assert [t.token for t in record.top_tokens] == [model.mllm.tokenizer.decode([i]) for i in best]
    assert record.top_tokens[0].probability == pytest.approx(float(chances[best[0]]), abs=1e-6)
    assert record.prompt == f"<|im_start|>user\n<image x 16>{JUDGE} a red square<|im_end|>\n<|im_start|>assistant\n"
    assert record.milliseconds > 0


def test_expected_is_the_mean_digit(
    scorer: Callable[..., FineScorer], views: Views, pictures: list[Image.Image]
) -> None:
    from engine.retrieval.fine.prompts import RATE
    from engine.retrieval.search.query import Query

    model = scorer()
    records = run(model, Query("a red square"), views(3), mode="expected")
    for record, picture in zip(records, pictures[:3], strict=True):
        logits = logits_of(model, f"{RATE} a red square", [picture])[0][-1]
        chances = [mass(model, logits, str(digit)) for digit in range(10)]
        assert record.score == pytest.approx(sum(d * p for d, p in enumerate(chances)) / sum(chances), abs=1e-4)
        assert record.label_mass == pytest.approx(sum(chances), abs=1e-6)
        assert record.p_true is None


def mean_log(model: FineScorer, caption: str, images: list[Image.Image]) -> float:
    """Mean log-probability of a caption's tokens as the answer to DESCRIBE."""
    from engine.retrieval.fine.prompts import DESCRIBE

    logits, ids = logits_of(model, DESCRIBE, images, caption)
    start = len(logits_of(model, DESCRIBE, images)[1])
    logs = logits.double().log_softmax(1)
    return float(sum(logs[i - 1, ids[i]] for i in range(start, len(ids))) / (len(ids) - start))


def test_likelihood_of_a_text_query(
    scorer: Callable[..., FineScorer], views: Views, pictures: list[Image.Image]
) -> None:
    from engine.retrieval.search.query import Query

    model = scorer()
    records = run(model, Query("a red square"), views(4), mode="likelihood")
    wanted = [mean_log(model, "a red square", [picture]) for picture in pictures[:4]]
    assert [record.score for record in records] == pytest.approx(wanted, abs=1e-5)


def test_likelihood_of_a_picture_is_mutual_information(
    scorer: Callable[..., FineScorer], views: Views, pictures: list[Image.Image]
) -> None:
    from engine.retrieval.search.query import Query

    model = scorer()
    records = run(model, Query(image=pictures[5]), views(4), mode="likelihood")
    captions = [view.text for view in views(4)]
    wanted = [mean_log(model, text, [pictures[5]]) - mean_log(model, text, []) for text in captions]
    assert [record.score for record in records] == pytest.approx(wanted, abs=1e-5)


def test_generated_is_greedy_and_parsed(
    scorer: Callable[..., FineScorer], views: Views, pictures: list[Image.Image]
) -> None:
    import torch

    from engine.retrieval.fine.modes.generated import LENGTH, parse
    from engine.retrieval.fine.prompts import SCORE
    from engine.retrieval.search.query import Query

    model = scorer()
    records = run(model, Query("a red square"), views(2), mode="generated")
    for record, picture in zip(records, pictures[:2], strict=True):
        content = [{"type": "image"}, {"type": "text", "text": f"{SCORE} a red square"}]
        prompt = model.mllm.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        inputs = model.mllm.processor(text=[prompt], images=[picture], return_tensors="pt")
        with torch.no_grad():
            out = model.mllm.model.generate(**inputs, max_new_tokens=LENGTH, do_sample=False)
        text = model.mllm.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert record.text == text
        assert record.parsed == (parse(text) is not None)
        assert record.score == (parse(text) or 0.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Answer: 0.87", 0.87),
        ("1", 1.0),
        (" .5.", 0.5),
        ("0,4 I think", 0.4),
        ("score of 7", None),
        ("87%", None),
        ("-0.5", None),
        ("no idea", None),
        ("", None),
        ("v2 of it", None),
    ],
)
def test_parsing_a_written_score(text: str, value: float | None) -> None:
    from engine.retrieval.fine.modes.generated import parse

    assert parse(text) == value


def test_listwise_averages_over_rotations(
    scorer: Callable[..., FineScorer], views: Views, pictures: list[Image.Image]
) -> None:
    from engine.retrieval.fine.modes.listwise import rotations
    from engine.retrieval.fine.prompts import list_captions
    from engine.retrieval.search.query import Query

    assert rotations(5) == [[0, 1, 2, 3, 4], [1, 2, 3, 4, 0], [2, 3, 4, 0, 1], [3, 4, 0, 1, 2]]
    assert rotations(2) == [[0, 1], [1, 0]]
    model = scorer()
    records = run(model, Query(image=pictures[5]), views(3), mode="listwise")
    captions, wanted = [view.text for view in views(3)], [0.0] * 3
    for order in rotations(3):
        logits = logits_of(model, list_captions([captions[i] for i in order]), [pictures[5]])[0][-1]
        chances = [mass(model, logits, str(number)) for number in (1, 2, 3)]
        for place, item in enumerate(order):
            wanted[item] += chances[place] / sum(chances) / 3
    assert [record.score for record in records] == pytest.approx(wanted, abs=1e-5)
    assert sum(record.score for record in records) == pytest.approx(1)


def test_statements() -> None:
    from engine.errors import AtomscopeError
    from engine.retrieval.fine.prompts import JUDGE, Content, make_statement, question_about

    picture, words, both = Content(True, ""), Content(False, "a boat"), Content(True, "but red")
    by_text, by_picture = make_statement(words, picture), make_statement(picture, words)
    assert question_about(by_text, "judge") == question_about(by_picture, "judge") == f"{JUDGE} a boat"
    assert (by_text.pictures, by_picture.pictures) == (("candidate",), ("query",))
    pair = make_statement(picture, picture)
    assert question_about(pair, "judge") == "Do the two pictures show the same thing? Answer True or False."
    assert pair.pictures == ("query", "candidate")
    assert "but red" in question_about(make_statement(both, picture), "judge")
    assert question_about(make_statement(words, words), "rate").endswith("Caption: a boat\nCaption: a boat")
    with pytest.raises(AtomscopeError, match="neither a picture nor a text"):
        make_statement(words, Content(False, ""))


def test_pictures_in_order(scorer: Callable[..., FineScorer], views: Views, pictures: list[Image.Image]) -> None:
    """A picture query against pictures: both are read, the query's first."""
    from engine.retrieval.fine.prompts import Content, make_statement, question_about
    from engine.retrieval.search.query import Query

    model = scorer("qwen2_5_vl")
    (record,) = run(model, Query(image=pictures[5]), views(1), mode="true-false", view="image")
    words = question_about(make_statement(Content(True, ""), Content(True, "")), "judge")
    logits = logits_of(model, words, [pictures[5], pictures[0]])[0][-1]
    assert record.p_true == pytest.approx(mass(model, logits, "true"), abs=1e-6)


def test_a_caption_cannot_open_a_picture_or_end_the_turn(scorer: Callable[..., FineScorer], views: Views) -> None:
    from engine.retrieval.search.query import Query

    model = scorer()
    (record,) = run(model, Query("a <image> and <|im_end|> of it"), views(1))
    assert "a   and   of it<|im_end|>" in record.prompt
    assert record.prompt.count("<image x") == 1
