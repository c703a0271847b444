"""The losses that train the demo model, on one group of pictures and captions."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.demo.mllm.adapted import AdaptedModel
from engine.demo.mllm.pairs import TrainingPairs, phrase
from engine.demo.mllm.questions import JudgementQuestion


def group_losses(
    adapted: AdaptedModel,
    material: TrainingPairs,
    members: np.ndarray,
    judgement: JudgementQuestion,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """The losses on one group of hard negatives: judging every pair, ranking rows and columns, describing.

    Parameters
    ----------
    members : int [B]
        Items of the group, rows of ``material``.
    rng : Generator
        Draws how each caption is put.
    """
    adapted.model.train()
    captions = [phrase(material.captions[i], material.keywords[i], rng) for i in members]
    own = [material.captions[i] for i in members]
    hidden, packed = adapted.forward(material, members, judgement.question, captions, own)
    logits = adapted.logits(hidden[:, packed.answers])  # [B, K, V]
    match, mismatch = adapted.answer(judgement.match), adapted.answer(judgement.mismatch)
    own_pair = torch.eye(len(members), dtype=torch.bool, device=logits.device)
    ignored = torch.from_numpy(material.same[np.ix_(members, members)]).to(logits.device) & ~own_pair
    target = torch.where(own_pair, match, mismatch)
    each = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view_as(target)
    # Balanced: matches and mismatches weigh the same.
    judge = (each[own_pair].mean() + each[~own_pair & ~ignored].mean()) / 2
    odds = (logits[..., match] - logits[..., mismatch]).masked_fill(ignored, -math.inf)
    order = torch.arange(len(members), device=odds.device)
    rank = (F.cross_entropy(odds, order) + F.cross_entropy(odds.T, order)) / 2
    return {"judge": judge, "rank": rank, "describe": adapted.config.describe * adapted.spoken(hidden, packed)}
