"""Fidelity for language models: next-token cross-entropy with the SAE's reconstruction in the place of the activations.

Original, spliced, zero-ablated and mean-ablated, as Bricken et al. 2023 ("Towards Monosemanticity", "loss recovered") and
SAELens ("ce_loss_score") measure it: recovered = (spliced - zero) / (original - zero). Every token of a chunk is predicted
but the first, whose predecessor is the lead and is never replaced. Means are over tokens, in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.backbones import LanguageBackbone
from engine.backbones.blocks import first_tensor
from engine.errors import InputError
from engine.inspection.splice import copy_sharing_weights
from engine.metrics.classification import fidelity
from engine.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.sae import SparseAutoencoder

Replace = Callable[[Tensor], Tensor]
BATCH = 8


@torch.no_grad()
def cross_entropy(backbone: LanguageBackbone, ids: Any, replace: Replace | None = None, batch: int = BATCH) -> Tensor:
    """Next-token cross-entropy of chunks, float32 [n, context - 1], nats.

    Parameters
    ----------
    ids : int [n, context]
        Tokens of the chunks, without the lead.
    replace : callable, optional
        [B, P, d] -> [B, P, d]: what the layer puts out instead at the kept positions. ``lambda x: x`` changes nothing.
    """
    lead = backbone.with_lead(ids[:1]).shape[1] - np.shape(ids)[1]
    model: Any = backbone.model
    if replace is not None:
        model, (layer,) = copy_sharing_weights(backbone.model, backbone.listened)

        def splice(_module: Any, _inputs: Any, output: Any) -> Any:
            whole = first_tensor(output).clone()
            kept = whole[:, backbone.positions]
            whole[:, backbone.positions] = replace(kept.float()).to(kept.dtype)
            return (whole, *output[1:]) if isinstance(output, tuple) else whole

        layer.register_forward_hook(splice)
    losses = []
    for start in range(0, len(ids), batch):
        rows = backbone.with_lead(ids[start : start + batch]).to(backbone.device)
        logits = model(rows, use_cache=False).logits[:, lead:-1].float()
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, lead + 1 :].flatten(), reduction="none")
        losses.append(loss.view(len(rows), -1).cpu())
    return torch.cat(losses)


class LanguageFidelity:
    """The original and the ablated cross-entropy of some chunks, measured once for all SAEs of an evaluation.

    Parameters
    ----------
    backbone : LanguageBackbone
        The model the activations come from.
    ids : int32 [n, context]
        Tokens of the chunks to measure on.
    mean : float32 [d]
        What mean ablation puts in: the mean token of those chunks.
    """

    definition = "next-token cross-entropy of the model itself"

    def __init__(
        self, backbone: LanguageBackbone, ids: NDArray[np.int32], mean: Tensor, progress: Progress | None = None
    ) -> None:
        self._backbone, self._ids, self._progress = backbone, ids, progress or SilentProgress()
        mean = mean.to(backbone.device)
        self.reference = {
            "original": self._measure("original", None),
            "zero": self._measure("zero ablation", torch.zeros_like),
            "mean": self._measure("mean ablation", lambda x: mean.expand_as(x)),
        }

    @classmethod
    def prepare(
        cls, store: ActivationStore, rows: NDArray[np.int64], device: str = "auto", progress: Progress | None = None
    ) -> LanguageFidelity:
        """Load the store's model and measure it without an SAE on the chunks ``rows``.

        Raises
        ------
        InputError
            If the store holds no texts, or the model is not to be had.
        """
        from engine.backbones import load_backbone_of

        spec = store.backbone
        if store.token_ids is None:
            raise InputError(f"{store.path} holds no tokens of texts, so there is no next token to predict.")
        backbone = load_backbone_of(spec, store.path, device, progress, strict=True)
        assert isinstance(backbone, LanguageBackbone)
        total, count = torch.zeros(store.d_model, dtype=torch.float64), 0
        for batch in store.batches(8192, rows):
            total += batch.x.double().sum(dim=0)
            count += len(batch.x)
        return cls(backbone, store.token_ids[rows][:, spec["prefix"] :], (total / max(count, 1)).float(), progress)

    def measure(self, sae: SparseAutoencoder) -> dict[str, Any]:
        """``{"fidelity": {original, spliced, zero, mean, recovered, recovered_from_mean}}``, each with ``cross_entropy``."""

        def reconstruct(x: Tensor) -> Tensor:
            tokens = x.flatten(0, 1)
            return sae.decode(sae.encode(tokens), sae.norm(tokens)).view_as(x)

        return {"fidelity": fidelity(self.reference, self._measure("spliced", reconstruct))}

    def _measure(self, what: str, replace: Replace | None) -> dict[str, float | None]:
        self._progress.start(f"cross-entropy, {what}", len(self._ids), "chunks")
        losses: Sequence[float] = []
        for start in range(0, len(self._ids), BATCH):
            part = cross_entropy(self._backbone, self._ids[start : start + BATCH], replace)
            losses = [*losses, *part.mean(dim=1).tolist()]
            self._progress.advance(len(part))
        self._progress.finish()
        mean = math.fsum(losses) / max(len(losses), 1)
        return {"cross_entropy": mean if math.isfinite(mean) else None}
