"""Training of the demo model: align the projector with the word embeddings, then learn to judge and to describe.

1. *Alignment* (a minute): the projector alone; a picture's best-matching tokens should look like the caption's word
   embeddings (late interaction, contrastive inside a batch). Picture tokens then begin as words the language model knows.
2. *Judging and describing*: projector and LoRA; every caption of a group of hard negatives is judged on each of its
   pictures (True / False, balanced), ranked along rows and columns, and every picture's own caption is spoken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AyaVisionForConditionalGeneration, PreTrainedTokenizerBase

from engine.demo.mllm.packing import pack, read
from engine.demo.mllm.pairs import TrainingPairs, groups, phrase
from engine.demo.mllm.questions import CAPTIONING, CHANCES, JUDGEMENT_QUESTIONS, JudgementQuestion
from engine.errors import AtomscopeError
from engine.files import atomic_path, read_json, write_json
from engine.progress import Progress


@dataclass(frozen=True, kw_only=True)
class MllmConfig:
    """How the demo model is trained.

    Attributes
    ----------
    passes : int
        Times every training picture is seen.
    group : int
        Pictures (and captions) of one group of hard negatives: group x group judgements a step.
    noise : (float, float)
        Randomness of the groups in cosine units, at the first and at the last step: easy groups first.
    rank, lora_lr, projector_lr, decay
        Of the LoRA and of AdamW.
    describe : float
        Weight of the captioning loss.
    views : int
        Other views of every training picture.
    align_steps, align_batch, align_lr
        Of the alignment.
    forget : float
        Share of a picture's patches replaced by their mean while training; against learning pictures by heart.
    every : int
        Steps between checkpoints and validations.
    """

    passes: float = 2.12
    views: int = 2
    group: int = 8
    noise: tuple[float, float] = (0.15, 0.03)
    rank: int = 16
    lora_lr: float = 4e-4
    projector_lr: float = 4e-4
    decay: float = 0.02
    describe: float = 0.3
    align_steps: int = 300
    align_batch: int = 96
    align_lr: float = 3e-3
    forget: float = 0.2
    every: int = 200
    seed: int = 0


class Trainer:
    """Holds the model with its LoRA and goes on where a checkpoint stopped."""

    def __init__(
        self,
        model: AyaVisionForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        config: MllmConfig,
        work: Path,
        device: str = "cpu",
    ) -> None:
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError:
            raise AtomscopeError("Training the demo model needs peft: pip install -e '.[train-mllm]'") from None

        self.config, self.work, self.device, self.tokenizer = config, work, device, tokenizer
        model.requires_grad_(False)
        names = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj".split()
        lora = LoraConfig(r=config.rank, lora_alpha=2 * config.rank, target_modules=names)
        torch.manual_seed(config.seed)
        inject_adapter_in_model(lora, model.model.language_model)
        self.model = model.to(device)
        self.projector = model.model.multi_modal_projector
        self.projector.requires_grad_(True)
        for module in model.model.language_model.modules():
            if type(module) is nn.Linear and not module.weight.requires_grad:
                module.weight.data = module.weight.data.bfloat16()  # frozen: half the memory to read, exact enough
        # Products of packed sequences with their mask: on a CPU plain attention outruns the fused one, backward above all.
        model.model.language_model.config._attn_implementation = "eager"
        self.words = model.model.language_model.embed_tokens.weight.detach()
        self.head = self.words.bfloat16()
        self.trained = {name: p for name, p in model.named_parameters() if p.requires_grad}

    def train(self, material: TrainingPairs, held_out: TrainingPairs, progress: Progress) -> dict[str, Any]:
        """Train, or go on training; returns the record of the best validation, whose parameters are in ``best``."""
        config = self.config
        history: list[dict[str, Any]] = []
        optimiser = torch.optim.AdamW(
            [
                {"params": list(self.projector.parameters()), "lr": config.projector_lr},
                {"params": [p for n, p in self.trained.items() if "lora_" in n], "lr": config.lora_lr},
            ],
            weight_decay=config.decay,
            betas=(0.9, 0.98),
        )
        per_pass = len(material.rows) // config.group
        total = int(config.passes * per_pass)
        step = self._resume(optimiser, history)
        if step == 0:
            self._align(material, progress)
        progress.start("Teaching the demo model", total, "groups")
        progress.advance(step)
        peaks = [group["lr"] for group in optimiser.param_groups]
        if step:
            peaks = [config.projector_lr, config.lora_lr]
        running: dict[str, float] = {}
        for number, members in self._schedule(material, total, per_pass, step):
            rng = np.random.default_rng((config.seed, number))
            wording = JUDGEMENT_QUESTIONS[int(rng.choice(len(JUDGEMENT_QUESTIONS), p=CHANCES))]
            torch.manual_seed(config.seed * 1_000_003 + number)
            warm = min(1.0, (number + 1) / 60)
            fade = 0.5 * (1 + math.cos(math.pi * number / total))
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * warm * max(fade, 0.02)
            losses = self._step(material, members, wording, rng)
            optimiser.zero_grad(set_to_none=True)
            sum(losses.values()).backward()  # type: ignore[union-attr]
            nn.utils.clip_grad_norm_(list(self.trained.values()), 1.0)
            optimiser.step()
            for name, value in losses.items():
                running[name] = 0.95 * running.get(name, value.item()) + 0.05 * value.item()
            progress.advance(1, "  ".join(f"{name} {value:.3f}" for name, value in running.items()))
            if (number + 1) % config.every == 0 or number + 1 == total:
                record = {"step": number + 1, **running, **self.validate(held_out)}
                history.append(record)
                if _best(history) is record:
                    self.save(self.work / "best.safetensors")
                self._checkpoint(number + 1, optimiser, history)
                progress.warn(
                    ", ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in record.items())
                )
        progress.finish()
        return _best(history)

    @torch.no_grad()
    def validate(self, material: TrainingPairs) -> dict[str, float]:
        """On fixed groups of hard negatives: share of captions that find their picture, accuracy, label mass, loss."""
        self.model.eval()
        rng = np.random.default_rng(2026)
        first = JUDGEMENT_QUESTIONS[0]
        true, false = self._answer(first.match), self._answer(first.mismatch)
        right, judged, mass, found, spoken = 0.0, 0, [], [], []
        for members in groups(material.near, self.config.group, 0.02, rng):
            captions = [material.captions[i] for i in members]
            hidden, packed = self.forward(material, members, first.question, captions, captions)
            logits = self._logits(hidden[:, packed.answers])
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
            spoken.append(self._spoken(hidden, packed).item())
        self.model.train()
        return {
            "top1": float(np.mean(found)),
            "accuracy": right / judged,
            "mass": float(np.mean(mass)),
            "describe_validation": float(np.mean(spoken)),
        }

    def save(self, path: Path) -> None:
        """Projector and LoRA, float16."""
        with atomic_path(path) as temporary:
            save_file({name: p.detach().half().contiguous().cpu() for name, p in self.trained.items()}, temporary)

    def _step(
        self, material: TrainingPairs, members: np.ndarray, wording: JudgementQuestion, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        self.model.train()
        captions = [phrase(material.captions[i], material.keywords[i], rng) for i in members]
        own = [material.captions[i] for i in members]
        hidden, packed = self.forward(material, members, wording.question, captions, own)
        logits = self._logits(hidden[:, packed.answers])  # [B, K, V]
        match, mismatch = self._answer(wording.match), self._answer(wording.mismatch)
        own_pair = torch.eye(len(members), dtype=torch.bool, device=logits.device)
        ignored = torch.from_numpy(material.same[np.ix_(members, members)]).to(logits.device) & ~own_pair
        target = torch.where(own_pair, match, mismatch)
        each = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view_as(target)
        # Balanced: matches and mismatches weigh the same.
        judge = (each[own_pair].mean() + each[~own_pair & ~ignored].mean()) / 2
        odds = (logits[..., match] - logits[..., mismatch]).masked_fill(ignored, -math.inf)
        order = torch.arange(len(members), device=odds.device)
        rank = (F.cross_entropy(odds, order) + F.cross_entropy(odds.T, order)) / 2
        return {"judge": judge, "rank": rank, "describe": self.config.describe * self._spoken(hidden, packed)}

    def forward(
        self, material: TrainingPairs, members: np.ndarray, question: str, captions: list[str], own: list[str]
    ) -> tuple[Tensor, Any]:
        """Hidden states of one pass in which every picture of ``members`` meets every caption, and how it was packed."""
        packed = pack(self.tokenizer, question, captions, CAPTIONING, own)
        language, device = self.model.model.language_model, self.device
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            seen = self.projector(self._patches(material, members).to(device))
            seen = seen.reshape(len(members), -1, seen.shape[-1])
            hidden = read(language, packed, seen, self.model.config.image_token_id)
        return hidden, packed

    def _patches(self, material: TrainingPairs, members: np.ndarray) -> Tensor:
        """Patch tokens of pictures, float32 [B, 196, 768]; in training of a random view, a share of them forgotten."""
        rows = torch.from_numpy(members)
        if not self.model.training:
            return material.patches[0, rows].float()
        patches = material.patches[torch.randint(len(material.patches), (len(rows),)), rows].float()
        forgotten = torch.rand(patches.shape[:2]) < self.config.forget * torch.rand(len(rows), 1) * 2
        return torch.where(forgotten[..., None], patches.mean(1, keepdim=True), patches)

    def _logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden.bfloat16(), self.head).float()

    def _spoken(self, hidden: Tensor, packed: Any) -> Tensor:
        wanted = packed.spoken.to(hidden.device).flatten()
        places = hidden[:, packed.spoken_at].flatten(0, 1)[wanted != -100]
        return F.cross_entropy(self._logits(places), wanted[wanted != -100])

    def _answer(self, word: str) -> int:
        (token,) = self.tokenizer(word, add_special_tokens=False)["input_ids"]
        return int(token)

    def _align(self, material: TrainingPairs, progress: Progress) -> None:
        """The projector alone: word embeddings of the caption, each matched to the picture token nearest to it."""
        config, rng = self.config, np.random.default_rng(self.config.seed)
        self.model.train()
        optimiser = torch.optim.AdamW(self.projector.parameters(), lr=config.align_lr, weight_decay=config.decay)
        words = [self._words(caption) for caption in material.captions]
        typical = self.words[::7].norm(dim=-1).mean().item()
        progress.start("Aligning the projector", config.align_steps, "batches")
        for number in range(config.align_steps):
            members = rng.choice(len(material.rows), config.align_batch, replace=False)
            optimiser.param_groups[0]["lr"] = (
                config.align_lr * 0.5 * (1 + math.cos(math.pi * number / config.align_steps))
            )
            with torch.autocast(torch.device(self.device).type, torch.bfloat16):
                seen = self.projector(self._patches(material, members).to(self.device)).float()
            seen = seen.reshape(len(members), -1, seen.shape[-1])
            kept = [words[i] for i in members]
            bag = F.normalize(self.words[torch.cat(kept).to(self.device)], dim=-1)
            nearest = torch.einsum("btd,wd->bwt", F.normalize(seen, dim=-1), bag).amax(-1)  # [B, words]
            owner = torch.repeat_interleave(torch.arange(len(kept)), torch.tensor([len(k) for k in kept]))
            sums = torch.zeros(len(members), len(kept)).index_add(1, owner, nearest)
            score = sums / torch.tensor([len(k) for k in kept]) / 0.05
            ignored = torch.from_numpy(material.same[np.ix_(members, members)]) & ~torch.eye(
                len(kept), dtype=torch.bool
            )
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

    def _words(self, caption: str) -> Tensor:
        ids = self.tokenizer(f" {caption}", add_special_tokens=False)["input_ids"]
        plain = [token for token in ids if len(self.tokenizer.decode([token]).strip(" .,")) > 2]
        return torch.tensor(plain or ids)

    def _schedule(
        self, material: TrainingPairs, total: int, per_pass: int, step: int
    ) -> Iterator[tuple[int, np.ndarray]]:
        first, last = self.config.noise
        number = 0
        while number < total:
            rng = np.random.default_rng((self.config.seed, 77, number))
            noise = first + (last - first) * number / total
            for members in groups(material.near, self.config.group, noise, rng)[:per_pass]:
                if number < total and number >= step:
                    yield number, members
                number += 1

    def _checkpoint(self, step: int, optimiser: torch.optim.Optimizer, history: list[dict[str, Any]]) -> None:
        state = {f"p.{name}": p.detach().contiguous().cpu() for name, p in self.trained.items()}
        for index, entry in optimiser.state_dict()["state"].items():
            state |= {f"o.{index}.{key}": value.contiguous().cpu() for key, value in entry.items()}
        with atomic_path(self.work / "checkpoint.safetensors") as temporary:
            save_file(state, temporary)
        write_json(self.work / "history.json", {"config": asdict(self.config), "step": step, "history": history})

    def _resume(self, optimiser: torch.optim.Optimizer, history: list[dict[str, Any]]) -> int:
        if not (self.work / "history.json").is_file():
            return 0
        document = read_json(self.work / "history.json")
        if document["config"] != _plain(asdict(self.config)):
            return 0
        state = load_file(self.work / "checkpoint.safetensors")
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(state[f"p.{name}"])
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            if name.startswith("o."):
                _, index, key = name.split(".")
                entries.setdefault(int(index), {})[key] = value
        optimiser.load_state_dict(optimiser.state_dict() | {"state": entries})
        history += document["history"]
        return int(document["step"])


def _best(history: list[dict[str, Any]]) -> dict[str, Any]:
    """The best validation: finding the right picture and calling pairs by their name count the same."""
    return max(history, key=lambda record: record["top1"] + record["accuracy"])


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    return {key: list(item) if isinstance(item, tuple) else item for key, item in value.items()}
