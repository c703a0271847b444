"""What the demo model can do on a held-out split while it is trained."""

from __future__ import annotations

import math

import numpy as np
import torch

from engine.demo.mllm.adapted import AdaptedModel
from engine.demo.mllm.pairs import TrainingPairs, groups
from engine.demo.mllm.questions import JUDGEMENT_QUESTIONS


@torch.no_grad()
def validate(adapted: AdaptedModel, material: TrainingPairs) -> dict[str, float]:
    """On fixed groups of hard negatives: share of captions that find their picture, accuracy, label mass, loss."""
    adapted.model.eval()
    rng = np.random.default_rng(2026)
    first = JUDGEMENT_QUESTIONS[0]
    true, false = adapted.answer(first.match), adapted.answer(first.mismatch)
    right, judged, mass, found, spoken = 0.0, 0, [], [], []
    for members in groups(material.near, adapted.config.group, 0.02, rng):
        captions = [material.captions[i] for i in members]
        hidden, packed = adapted.forward(material, members, first.question, captions, captions)
        logits = adapted.logits(hidden[:, packed.answers])
        odds = logits[..., true] - logits[..., false]
        probability = logits.softmax(-1)
        mass.append((probability[..., true] + probability[..., false]).median().item())
        same = torch.from_numpy(material.same[np.ix_(members, members)])
        own = torch.eye(len(members), dtype=torch.bool)
        rivals = odds.masked_fill(same & ~own, -math.inf)
        found.append((rivals.argmax(0) == torch.arange(len(members))).float().mean().item())
        hard = rivals.masked_fill(own, -math.inf)
        right += ((odds.diagonal() > 0).sum() + (hard.max(0).values < 0).sum()).item()
        judged += 2 * len(members)
        spoken.append(adapted.spoken(hidden, packed).item())
    adapted.model.train()
    return {
        "top1": float(np.mean(found)),
        "accuracy": right / judged,
        "mass": float(np.mean(mass)),
        "describe_validation": float(np.mean(spoken)),
    }
