"""Loading multimodal models: every architecture, and every way it can go wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

ARCHITECTURES = ("qwen2_5_vl", "qwen3_vl", "llava", "idefics3", "internvl", "gemma3", "aya_vision")


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_loads(kind: str, tiny_mllm: Callable[[str], str]) -> None:
    from engine.retrieval.mllm import load_mllm

    mllm = load_mllm(tiny_mllm(kind), "cpu")
    assert mllm.identity["dtype"] == "float32"
    assert mllm.identity["device"] == "cpu"
    assert mllm.identity["revision"].startswith("sha256:")
    assert mllm.warnings == []
    assert mllm.model.config.model_type == kind
