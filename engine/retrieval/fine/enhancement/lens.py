"""Hooks on a decoder's layers: the logit lens after each, and visual enhancement where its entropy is high.

No model source is changed, and a row of the batch that is not enhanced keeps every bit: its MLP output is not touched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from engine.errors import InputError
from engine.retrieval.fine.enhancement.architecture import Decoder, fault, find_decoder
from engine.retrieval.fine.enhancement.injection import paper, published_code
from engine.retrieval.fine.enhancement.settings import EnhancementSettings, resolve
from engine.retrieval.fine.model import Mllm
from engine.retrieval.fine.reader import LensTrace
from engine.retrieval.search.query import Enhancement

_TOP = 10
_FORMS = {"paper": paper, "published-code": published_code}


class LayerLens:
    """Watches a model's layers; with an ``enhancement`` it also acts.

    Parameters
    ----------
    mllm : Mllm
    enhancement : Enhancement, optional
        None: only look.

    Attributes
    ----------
    acted : bool
        Whether any row of any pass so far was enhanced.

    Raises
    ------
    InputError
        If the architecture does not allow it, or the enhancement's values make no sense.
    """

    def __init__(self, mllm: Mllm, enhancement: Enhancement | None = None) -> None:
        decoder, sentence = find_decoder(mllm), fault(mllm)
        if decoder is None or (enhancement is not None and sentence):
            raise InputError(sentence)
        self._decoder: Decoder = decoder
        self._image = mllm.image_token_id
        self.settings: EnhancementSettings | None = resolve(enhancement, len(decoder.layers)) if enhancement else None
        self.acted = False

    @contextmanager
    def watching(self, ids: Tensor, mask: Tensor) -> Iterator[list[LensTrace]]:
        """Watch the forward pass inside; the list has one ``LensTrace`` per row, filled when it is over."""
        run = _Run(self, ids, mask)
        with ExitStack() as hooks:
            hooks.callback(self._decoder.module.register_forward_pre_hook(run.begin, with_kwargs=True).remove)
            for index, layer in enumerate(self._decoder.layers):
                hooks.callback(layer.register_forward_hook(run.after_layer(index)).remove)
                if self.settings is not None:
                    hooks.callback(layer.mlp.register_forward_hook(run.after_mlp).remove)  # type: ignore[union-attr]
            yield run.traces
        self.acted = self.acted or any(trace.fired is not None for trace in run.traces)

    def entropy(self, hidden: Tensor) -> list[float]:
        """Lens entropy of hidden states [B, d]: that of the ten largest logits, divided by ln 10; 0 to 1."""
        if self.settings is None or self.settings.lens_norm:
            hidden = self._decoder.norm(hidden)
        best = self._decoder.head(hidden).float().topk(_TOP, dim=-1).values
        logs = best.log_softmax(dim=-1)
        found: list[float] = (-(logs.exp() * logs).sum(dim=-1) / math.log(_TOP)).tolist()
        return found


@dataclass
class _Run:
    """One forward pass under a lens."""

    lens: LayerLens
    ids: Tensor
    mask: Tensor
    traces: list[LensTrace] = field(init=False)
    pending: set[int] = field(default_factory=set)
    embeddings: Tensor | None = None

    def __post_init__(self) -> None:
        self.traces = [LensTrace() for _ in range(len(self.ids))]

    def begin(self, _module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Before the decoder: what its first layer will read, pictures included."""
        self.embeddings = kwargs.get("inputs_embeds", args[0] if args else None)

    def after_layer(self, index: int) -> Any:
        """After a layer: entropy of every row, and which of them the next layer's MLP is to enhance."""

        def hook(_module: Any, _args: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            self.pending.clear()
            settings = self.lens.settings
            for row, value in enumerate(self.lens.entropy(hidden[:, -1])):
                trace = self.traces[row]
                trace.entropy.append(value)
                if settings is None or not settings.first <= index <= settings.last or value <= settings.threshold:
                    continue
                if (trace.fired is None or settings.every) and len(self._tokens(row)):
                    trace.fired = index if trace.fired is None else trace.fired
                    self.pending.add(row)

        return hook

    def after_mlp(self, module: Any, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """After an MLP: its output with the pending rows enhanced, or None for no change at all."""
        settings = self.lens.settings
        if not self.pending or settings is None:
            return None
        enhanced = output.clone()
        for row in self.pending:
            real = self.mask[row].bool()
            x, ffn = args[0][row][real], output[row][real]
            enhanced[row, real] = _FORMS[settings.preset](x, self._tokens(row).to(x.dtype), ffn, module, settings.alpha)
        return enhanced

    def _tokens(self, row: int) -> Tensor:
        """What is injected into a row, [n, d]; none where it would be all zero."""
        assert self.embeddings is not None and self.lens.settings is not None
        chosen = self.mask[row].bool()
        if self.lens.settings.visual:
            chosen = chosen & (self.ids[row] == self.lens._image)
        found = self.embeddings[row][chosen]
        return found if bool(torch.any(found != 0)) else found[:0]
