"""The demo model as it is trained: frozen towers, a projector and a LoRA that learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AyaVisionForConditionalGeneration, PreTrainedTokenizerBase

from engine.demo.mllm.config import MllmConfig
from engine.demo.mllm.packing import pack, read
from engine.demo.mllm.pairs import TrainingPairs
from engine.demo.mllm.questions import CAPTIONING
from engine.errors import AtomscopeError
from engine.files import atomic_path


class AdaptedModel:
    """The demo model with a LoRA in its language model, and what of it is trained.

    Attributes
    ----------
    model : AyaVisionForConditionalGeneration
        Frozen but for ``trained``.
    projector : Module
        From patch tokens to picture tokens; trained.
    words : float [vocabulary, d]
        Word embeddings, frozen; ``head`` are the same in bfloat16.
    trained : dict of str to Parameter
        Projector and LoRA, by the names of ``model``.
    """

    def __init__(
        self,
        model: AyaVisionForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        config: MllmConfig,
        device: str = "cpu",
    ) -> None:
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError:
            raise AtomscopeError("Training the demo model needs peft: pip install -e '.[train-mllm]'") from None

        self.config, self.device, self.tokenizer = config, device, tokenizer
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

    def forward(
        self, material: TrainingPairs, members: np.ndarray, question: str, captions: list[str], own: list[str]
    ) -> tuple[Tensor, Any]:
        """Hidden states of one pass in which every picture of ``members`` meets every caption, and how it was packed."""
        packed = pack(self.tokenizer, question, captions, CAPTIONING, own)
        language, device = self.model.model.language_model, self.device
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            seen = self.projector(self.patches(material, members).to(device))
            seen = seen.reshape(len(members), -1, seen.shape[-1])
            hidden = read(language, packed, seen, self.model.config.image_token_id)
        return hidden, packed

    def patches(self, material: TrainingPairs, members: np.ndarray) -> Tensor:
        """Patch tokens of pictures, float32 [B, 196, 768]; in training of a random view, a share of them forgotten."""
        rows = torch.from_numpy(members)
        if not self.model.training:
            return material.patches[0, rows].float()
        patches = material.patches[torch.randint(len(material.patches), (len(rows),)), rows].float()
        forgotten = torch.rand(patches.shape[:2]) < self.config.forget * torch.rand(len(rows), 1) * 2
        return torch.where(forgotten[..., None], patches.mean(1, keepdim=True), patches)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] of hidden states [..., d], float32."""
        return F.linear(hidden.bfloat16(), self.head).float()

    def spoken(self, hidden: Tensor, packed: Any) -> Tensor:
        """Mean loss of the tokens of every picture's own caption, nats."""
        wanted = packed.spoken.to(hidden.device).flatten()
        places = hidden[:, packed.spoken_at].flatten(0, 1)[wanted != -100]
        return F.cross_entropy(self.logits(places), wanted[wanted != -100])

    def answer(self, word: str) -> int:
        """The one token of an answer."""
        (token,) = self.tokenizer(word, add_special_tokens=False)["input_ids"]
        return int(token)

    def content_words(self, caption: str) -> Tensor:
        """Token ids of a caption without those of one or two characters; all of them when none is longer."""
        ids = self.tokenizer(f" {caption}", add_special_tokens=False)["input_ids"]
        plain = [token for token in ids if len(self.tokenizer.decode([token]).strip(" .,")) > 2]
        return torch.tensor(plain or ids)

    def save(self, path: Path) -> None:
        """Projector and LoRA, float16."""
        with atomic_path(path) as temporary:
            save_file({name: p.detach().half().contiguous().cpu() for name, p in self.trained.items()}, temporary)
