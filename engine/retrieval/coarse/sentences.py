"""Sentence embeddings of the embedded MiniLM: the text half of the demo's coarse stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from kernels import use_fast_linear

MODEL = "minilm-l6-v2"


class SentenceEncoder:
    """A BERT-like encoder whose sentence embedding is the mean of its last hidden states (Reimers & Gurevych, 2019).

    Attributes
    ----------
    width : int
        Dimensions of an embedding.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder, dtype=torch.float32)
        self._model: Any = use_fast_linear(model).eval().to(device)
        self._device = device
        self.width = int(model.config.hidden_size)

    @torch.no_grad()
    def embed(self, texts: Sequence[str], batch: int = 64) -> NDArray[np.float32]:
        """Unit embeddings, float32 [N, width]; a text beyond 256 tokens is cut there."""
        found = np.zeros((len(texts), self.width), np.float32)
        order = np.argsort([len(text) for text in texts], kind="stable")  # alike lengths together: little padding
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            inputs = self._tokenizer(
                [texts[row] for row in rows], padding=True, truncation=True, max_length=256, return_tensors="pt"
            ).to(self._device)
            hidden = self._model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1)
            mean = (hidden * mask).sum(1) / mask.sum(1)
            found[rows] = torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()
        return found
