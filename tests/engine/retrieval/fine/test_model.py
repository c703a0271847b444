"""Loading multimodal models: every architecture, and every way it can go wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ARCHITECTURES = ("qwen2_5_vl", "qwen3_vl", "llava", "idefics3", "internvl", "gemma3", "aya_vision")


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_loads(kind: str, tiny_mllm: Callable[[str], str]) -> None:
    from engine.retrieval.fine.model import load_mllm

    mllm = load_mllm(tiny_mllm(kind), "cpu")
    assert mllm.identity["dtype"] == "float32"
    assert mllm.identity["device"] == "cpu"
    assert mllm.identity["revision"].startswith("sha256:")
    assert mllm.warnings == []
    assert mllm.model.config.model_type == kind


def test_a_folder_that_is_no_multimodal_model(tiny_clip: str, tmp_path: Path) -> None:
    from engine.errors import InputError
    from engine.retrieval.fine.model import load_mllm

    with pytest.raises(InputError, match=r"\(clip_vision_model\) is no image-text-to-text model"):
        load_mllm(tiny_clip, "cpu")
    with pytest.raises(InputError, match="holds no config.json"):
        load_mllm(str(tmp_path), "cpu")


def test_a_folder_without_processor(tiny_mllm: Callable[[str], str], tmp_path: Path) -> None:
    from engine.errors import InputError
    from engine.retrieval.fine.model import load_mllm

    folder = tmp_path / "bare"
    shutil.copytree(tiny_mllm("llava"), folder)
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(InputError, match="processor"):
        load_mllm(str(folder), "cpu")


def test_weights_that_do_not_fill_the_model(tiny_mllm: Callable[[str], str], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from engine.errors import InputError
    from engine.retrieval.fine.model import load_mllm

    folder = tmp_path / "half"
    shutil.copytree(tiny_mllm("llava"), folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layers.3" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="does not fill its architecture"):
        load_mllm(str(folder), "cpu")


def test_without_chat_template_the_prompt_is_plain(
    tiny_mllm: Callable[[str], str], tmp_path: Path, views: Callable[..., Any]
) -> None:
    from engine.progress import SilentProgress
    from engine.retrieval.fine.mllm_scorer import FineScorer
    from engine.retrieval.fine.model import load_mllm
    from engine.retrieval.search.query import Query, SearchOptions

    folder = tmp_path / "plain"
    shutil.copytree(tiny_mllm("llava"), folder)
    (folder / "chat_template.jinja").unlink()
    progress = SilentProgress()
    mllm = load_mllm(str(folder), "cpu", progress)
    assert progress.warnings == mllm.warnings
    assert "no chat template" in mllm.warnings[0]
    events = list(FineScorer(mllm).score(Query("a boat"), views(2), SearchOptions()))
    assert events[0].record.prompt.startswith("<image x 16>\nDoes the picture match")


def test_what_the_folder_says_of_itself(tiny_mllm: Callable[[str], str], tmp_path: Path) -> None:
    from engine.retrieval.fine.mllm_scorer import FineScorer
    from engine.retrieval.fine.model import load_mllm

    folder = tmp_path / "noted"
    shutil.copytree(tiny_mllm("llava"), folder)
    note = {"note": "A demo.", "default_mode": "likelihood", "pictures": 1}
    (folder / "atomscope.json").write_text(json.dumps(note))
    mllm = load_mllm(str(folder), "cpu")
    assert mllm.identity["note"] == "A demo."
    assert mllm.pictures == 1
    assert FineScorer(mllm).default_mode == "likelihood"


def test_sixteen_bit_logits_are_float32(tiny_mllm: Callable[[str], str]) -> None:
    import torch
    from transformers import AutoModelForImageTextToText

    from engine.retrieval.fine.model import widen

    model = AutoModelForImageTextToText.from_pretrained(tiny_mllm("llava"), dtype=torch.bfloat16)
    widen(model)
    head, hidden = model.get_output_embeddings(), torch.randn(2, 3, 32, dtype=torch.bfloat16)
    assert head(hidden).dtype == torch.float32
    torch.testing.assert_close(head(hidden), hidden.float() @ head.weight.float().T)


def test_what_changes_results_is_turned_off(
    loaded: Callable[[str], Any], views: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.retrieval.fine.mllm_scorer import FineScorer
    from engine.retrieval.fine.reader import PromptReader
    from engine.retrieval.search.query import Query, SearchOptions

    wrong = PromptReader.suffix_positions
    monkeypatch.setattr(PromptReader, "suffix_positions", lambda self, *args: wrong(self, *args) + 3)
    scorer = FineScorer(loaded("qwen2_5_vl"))
    assert [sentence for sentence in scorer.limits if "from its start" in sentence] == scorer.limits != []
    for text in ("a boat", "a red square"):
        events = list(scorer.score(Query(text), views(2), SearchOptions()))
    assert {event.record.cache for event in events} == {"image"}
