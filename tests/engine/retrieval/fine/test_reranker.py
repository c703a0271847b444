"""Trained rerankers: a tiny real CrossEncoder behind the interface of the fine scorer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from PIL import Image

    from engine.retrieval.fine.mllm_scorer import CandidateView

Views = Callable[..., "list[CandidateView]"]


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny BERT that gives one value a pair."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"a red square blue circle and table caption the picture".split()]
    base = Tokenizer(models.WordLevel({word: i for i, word in enumerate(dict.fromkeys(words))}, unk_token="[UNK]"))
    base.normalizer, base.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    base.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertForSequenceClassification(BertConfig(vocab_size=base.get_vocab_size(), num_labels=1, **shape))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    folder: Path = tmp_path_factory.mktemp("cross-encoder")
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=base, **named).save_pretrained(folder)
    return str(folder)


def test_scores_are_the_models(cross_encoder: str, views: Views) -> None:
    from sentence_transformers import CrossEncoder

    from engine.retrieval.fine.reranker import load_reranker
    from engine.retrieval.search.query import Query, SearchOptions

    reranker = load_reranker(cross_encoder, "cpu")
    assert reranker.identity["architecture"] == "CrossEncoder (bert)"
    assert reranker.identity["revision"].startswith("sha256:")
    events = list(reranker.score(Query("a blue circle"), views(), SearchOptions()))
    pairs = [("a blue circle", view.text) for view in views()]
    wanted = CrossEncoder(cross_encoder, device="cpu").predict(pairs).tolist()
    assert len(set(wanted)) > 1
    assert [event.record.score for event in events] == pytest.approx(wanted, abs=1e-5)
    assert {event.record.mode for event in events} == {"reranker"}
    again = list(reranker.score(Query("a blue circle"), views(), SearchOptions()))
    assert {event.record.cache for event in again} == {"score"}


def test_failures_are_sentences(cross_encoder: str, views: Views, pictures: list[Image.Image]) -> None:
    from engine.errors import InputError
    from engine.retrieval.fine.reranker import load_reranker
    from engine.retrieval.search.query import Enhancement, Query, SearchOptions

    reranker = load_reranker(cross_encoder, "cpu")
    events = list(reranker.score(Query(image=pictures[5]), views(2), SearchOptions()))
    assert ["reads texts only, and the query is a picture" in event.record.error for event in events] == [True] * 2
    pool = views(3)
    pool[1] = replace(pool[1], text="")
    events = list(reranker.score(Query("a table"), pool, SearchOptions()))
    assert ["no caption" in event.record.error for event in events] == [False, True, False]
    with pytest.raises(InputError, match="read as it is"):
        list(reranker.score(Query("a table"), pool, SearchOptions(enhancement=Enhancement())))


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from engine.errors import InputError
    from engine.retrieval.fine.reranker import load_reranker

    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(InputError, match=r"pip install 'atomscope\[rerank\]'"):
        load_reranker("any")


def test_pictures_and_words_go_in_together(views: Views, pictures: list[Image.Image]) -> None:
    """What a multimodal CrossEncoder is given: its own types of element."""
    from types import SimpleNamespace

    from engine.retrieval.fine.reranker import Reranker
    from engine.retrieval.search.query import Query, SearchOptions

    seen: list[Any] = []
    model = SimpleNamespace(
        modalities=["text", "image"], predict=lambda pairs, **_: (seen.extend(pairs), [0.5] * len(pairs))[1]
    )
    reranker = Reranker(model, {"name": "made up"})
    list(reranker.score(Query("red", pictures[5]), views(1), SearchOptions(view="both")))
    assert seen == [({"image": pictures[5], "text": "red"}, {"image": pictures[0], "text": "a red square"})]
