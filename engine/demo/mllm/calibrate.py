"""How much a coarse cosine is worth beside the demo model's own judgement, found on the validation split.

Both are evidence about one question, which picture of the pool the caption means. Their weights are those under which the
right pictures of the validation pools are likeliest (a softmax over each pool: conditional logistic regression).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from transformers import AyaVisionForConditionalGeneration, PreTrainedTokenizerBase

from engine.demo.mllm.packing import pack, read
from engine.demo.mllm.pairs import TrainingPairs
from engine.demo.mllm.questions import CAPTIONING, JUDGEMENT_QUESTIONS
from engine.progress import Progress

POOL = 10
_TOGETHER = 24
"""Captions judged in one packed sequence."""


@torch.no_grad()
def pool_log_odds(
    model: AyaVisionForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    material: TrainingPairs,
    pools: NDArray[np.int64],
    progress: Progress,
) -> NDArray[np.float32]:
    """Log-odds of True for every caption (row) and the pictures of its pool, float32 [N, POOL]."""
    first, language = JUDGEMENT_QUESTIONS[0], model.model.language_model
    words = language.embed_tokens.weight
    answers = [tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in (first.match, first.mismatch)]
    direction = words[answers[0]] - words[answers[1]]
    found = np.zeros(pools.shape, np.float32)
    progress.start("Judging the pools of the validation split", len(material.rows), "pictures")
    for picture in range(len(material.rows)):
        asked = np.argwhere(pools == picture)
        seen = model.model.multi_modal_projector(material.patches[0, picture][None].to(words.dtype)).flatten(1, -2)
        for start in range(0, len(asked), _TOGETHER):
            part = asked[start : start + _TOGETHER]
            packed = pack(tokenizer, first.question, [material.captions[row] for row, _ in part], CAPTIONING, ["."])
            pictures = seen.reshape(1, -1, words.shape[1])
            hidden = read(language, packed, pictures, model.config.image_token_id)[0, packed.answers]
            found[part[:, 0], part[:, 1]] = (hidden @ direction).float().numpy()
        progress.advance()
    progress.finish()
    return found


def fit_prior(odds: NDArray[np.float32], cosines: NDArray[np.float32], right: NDArray[np.bool_]) -> dict[str, Any]:
    """The prior in nats per unit of cosine, and recall@1 of both orders.

    Parameters
    ----------
    odds, cosines, right : [N, POOL]
        Of every pool: the model's log-odds, the coarse cosines, and which candidates are right.

    Returns
    -------
    dict
        "prior": {"weight", "bias"}; the bias puts even odds half-way between the median right and the median wrong
        candidate. "recall@1" of "coarse", "log-odds" and "posterior", and "default_mode", the better of the last two.
    """
    inside = right.any(1)

    def surprise(weights: NDArray[np.float64]) -> float:
        score = weights[0] * odds + weights[1] * cosines
        chance = np.exp(score - np.logaddexp.reduce(score, axis=1, keepdims=True))
        return float(-np.log((chance * right).sum(1)[inside] + 1e-12).mean())

    best = minimize(surprise, [0.3, 20.0], method="Nelder-Mead").x
    weight = float(best[1] / best[0])
    score = odds + weight * cosines
    bias = -float(np.median(score[right]) + np.median(score[~right])) / 2
    orders = {"coarse": cosines, "log-odds": odds, "posterior": score}
    rows = np.arange(len(odds))
    recall = {name: float(right[rows, values.argmax(1)].mean()) for name, values in orders.items()}
    return {
        "prior": {"weight": round(weight, 2), "bias": round(bias, 2)},
        "recall@1": recall,
        "default_mode": "posterior" if recall["posterior"] >= recall["log-odds"] else "log-odds",
    }
