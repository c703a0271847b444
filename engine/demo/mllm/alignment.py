"""The first minute of training: the projector alone learns to speak in word embeddings."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from engine.demo.mllm.adapted import AdaptedModel
from engine.demo.mllm.pairs import TrainingPairs
from engine.progress import Progress


def align(adapted: AdaptedModel, material: TrainingPairs, progress: Progress) -> None:
    """The projector alone: word embeddings of the caption, each matched to the picture token nearest to it."""
    config, rng = adapted.config, np.random.default_rng(adapted.config.seed)
    adapted.model.train()
    optimiser = torch.optim.AdamW(adapted.projector.parameters(), lr=config.align_lr, weight_decay=config.decay)
    words = [adapted.content_words(caption) for caption in material.captions]
    typical = adapted.words[::7].norm(dim=-1).mean().item()
    progress.start("Aligning the projector", config.align_steps, "batches")
    for number in range(config.align_steps):
        members = rng.choice(len(material.rows), config.align_batch, replace=False)
        optimiser.param_groups[0]["lr"] = config.align_lr * 0.5 * (1 + math.cos(math.pi * number / config.align_steps))
        with torch.autocast(torch.device(adapted.device).type, torch.bfloat16):
            seen = adapted.projector(adapted.patches(material, members).to(adapted.device)).float()
        seen = seen.reshape(len(members), -1, seen.shape[-1])
        kept = [words[i] for i in members]
        bag = F.normalize(adapted.words[torch.cat(kept).to(adapted.device)], dim=-1)
        nearest = torch.einsum("btd,wd->bwt", F.normalize(seen, dim=-1), bag).amax(-1)  # [B, words]
        owner = torch.repeat_interleave(torch.arange(len(kept)), torch.tensor([len(k) for k in kept]))
        sums = torch.zeros(len(members), len(kept)).index_add(1, owner, nearest)
        score = sums / torch.tensor([len(k) for k in kept]) / 0.05
        ignored = torch.from_numpy(material.same[np.ix_(members, members)]) & ~torch.eye(len(kept), dtype=torch.bool)
        score = score.masked_fill(ignored, -math.inf)
        order = torch.arange(len(kept))
        loss = (F.cross_entropy(score, order) + F.cross_entropy(score.T, order)) / 2
        size = (seen.norm(dim=-1) / typical - 1).square().mean()
        optimiser.zero_grad(set_to_none=True)
        (loss + 0.1 * size).backward()
        optimiser.step()
        hit = (score.argmax(0) == order).float().mean().item()
        progress.advance(1, f"loss {loss.item():.3f}  top-1 {hit:.2f}")
    progress.finish()
