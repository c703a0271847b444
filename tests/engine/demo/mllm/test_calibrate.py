"""The prior: found where it is known, and the judgements it is fitted to are the model's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from engine.demo.mllm.calibrate import fit_prior, pool_log_odds
from engine.demo.mllm.packing import CLOSING, OPENING
from engine.demo.mllm.pairs import TrainingPairs
from engine.demo.mllm.questions import JUDGEMENT_QUESTIONS
from engine.progress import SilentProgress


def test_the_weight_is_found_where_it_is_known() -> None:
    rng = np.random.default_rng(0)
    odds, cosines = rng.normal(0, 2, (4000, 6)), rng.normal(0.3, 0.05, (4000, 6))
    score = 0.5 * (odds + 60 * cosines)  # the truth: one unit of cosine is worth 60 nats
    winner = (score + rng.gumbel(size=score.shape)).argmax(1)
    right = np.eye(6, dtype=bool)[winner]
    found = fit_prior(odds.astype(np.float32), cosines.astype(np.float32), right)
    assert 52 < found["prior"]["weight"] < 68
    assert found["default_mode"] == "posterior"
    assert found["recall@1"]["posterior"] > max(found["recall@1"]["coarse"], found["recall@1"]["log-odds"])
    posterior = odds + found["prior"]["weight"] * cosines + found["prior"]["bias"]
    assert np.median(posterior[right]) > 0 > np.median(posterior[~right])


@torch.no_grad()
def test_judgements_are_those_of_each_pair_alone(
    tiny: Callable[[], Any], tokenizer: Any, material: TrainingPairs
) -> None:
    model = tiny()
    pools = np.array([[row, (row + 1) % 6, (row + 3) % 6] for row in range(6)])
    found = pool_log_odds(model, tokenizer, material, pools, SilentProgress())
    words = model.get_input_embeddings().weight
    true, false = (tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in ("True", "False"))
    for row, place in ((0, 0), (2, 1), (5, 2)):
        text = f"{OPENING}{JUDGEMENT_QUESTIONS[0].question} {material.captions[row]}{CLOSING}"
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        seen = model.model.multi_modal_projector(material.patches[0, pools[row, place]][None].float()).reshape(
            1, 49, -1
        )
        at = (ids[0] == model.config.image_token_id).nonzero()[:, 0]
        hidden = model.model.language_model(inputs_embeds=words[ids].index_copy(1, at, seen)).last_hidden_state[0, -1]
        np.testing.assert_allclose(
            found[row, place], (hidden @ (words[true] - words[false])).item(), rtol=1e-3, atol=1e-3
        )
