"""A frozen causal language model with one layer listened to."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.backbones.backbone import BackboneOutput
from engine.backbones.blocks import Listener
from engine.backbones.language.packing import PackedTexts, pack
from engine.backbones.spec import LanguageSpec
from engine.corpus import Corpus


class LanguageBackbone:
    """Turns chunks of tokens into activations of one layer. Made by :func:`engine.backbones.load_backbone`.

    The model reads every chunk behind a lead: its beginning-of-text token and a line break. The first position of a causal
    transformer is an attention sink whose norm dwarfs every other (Xiao et al. 2023, arXiv 2309.17453; Sun et al. 2024,
    arXiv 2402.17762): 25,000 against 170 in SmolLM2-135M, block 15. Behind the bare beginning-of-text token one chunk in
    ten has a second sink in its first word; behind a line break none of 100 had. The lead is left out of the activations
    unless ``tokens="all"`` asks for it.

    The embedding of a chunk, for the figures that compare items (monosemanticity, diversity), is the mean of the model's
    last hidden states over the text. A store takes the mean of all its chunks off, since such vectors share one large
    direction (mean cosine 0.84 between glosses in SmolLM2-135M).

    Attributes
    ----------
    spec : LanguageSpec
        What it is, for the record.
    model, listened : Module
        The frozen causal language model with its head, and the module in it whose output the activations are.
    tokenizer
        The model's own tokenizer.
    device : torch.device
        Where it runs.
    """

    noun = "chunks"

    def __init__(
        self,
        model: Any,
        listened: nn.Module,
        tokenizer: Any,
        lead: list[int],
        separator: int,
        spec: LanguageSpec,
        device: torch.device,
    ) -> None:
        self.spec = spec
        self.device = device
        self.model = model
        self.listened = listened
        self.tokenizer = tokenizer
        self._lead = torch.tensor(lead, dtype=torch.int64)
        self._separator = separator
        self._listener = Listener(listened)

    def prepare(self, corpus: Corpus) -> PackedTexts:
        """The corpus as chunks of this model's tokens, see :mod:`engine.backbones.language.packing`; chunks stay as they are."""
        if isinstance(corpus, PackedTexts):
            return corpus
        return pack(corpus, self.tokenizer, self.spec.context, self._separator)

    def read(self, corpus: Corpus, item: int) -> Tensor:
        """Input of one chunk, int64 [1, lead + context]."""
        assert isinstance(corpus, PackedTexts)
        return self.with_lead(corpus.ids[item : item + 1])

    def with_lead(self, ids: Any) -> Tensor:
        """Chunks [B, context] behind the lead, int64 [B, lead + context]."""
        rows = torch.from_numpy(np.asarray(ids, np.int64))
        return torch.cat([self._lead.expand(len(rows), -1), rows], dim=1)

    def blank(self, count: int) -> Tensor:
        """An input of ``count`` chunks, to measure memory with."""
        return torch.zeros(count, len(self._lead) + self.spec.context, dtype=torch.int64)

    @property
    def positions(self) -> slice:
        """The kept positions of an input."""
        return slice(len(self._lead) - self.spec.prefix, None)

    def stored_tokens(self, corpus: Corpus, items: list[int]) -> tuple[Any, Any]:
        """Token ids of the kept positions, and where each begins in the chunk's text (characters): int32 [n, P] both.

        A kept lead is no part of the text: its tokens begin, and end, at 0.
        """
        assert isinstance(corpus, PackedTexts)
        ids = self.with_lead(corpus.ids[items])[:, self.positions].numpy().astype(np.int32)
        return ids, np.pad(corpus.starts[items], ((0, 0), (self.spec.prefix, 0)))

    @torch.no_grad()
    def run(self, ids: Tensor) -> BackboneOutput:
        """Activations [B, P, d] and embeddings [B, e] of token ids [B, lead + context].

        The language-model head does not run. Several threads may call it at the same time.
        """
        output = self.model.base_model(ids.to(self.device, non_blocking=True), use_cache=False)
        activations = self._listener.take()
        embeddings = nn.functional.normalize(output.last_hidden_state[:, len(self._lead) :].float().mean(dim=1), dim=-1)
        return BackboneOutput(activations[:, self.positions].float(), embeddings)
