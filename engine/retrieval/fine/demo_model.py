"""The demo's model as a checkpoint folder: two towers and a projector in one AyaVision model, the trained parts put in.

AyaVision is the layout that fits: patch tokens of any vision tower, four neighbouring patches shuffled into one token
(14 x 14 patches -> 49 tokens), a small gated projector, any decoder behind it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import (
    AutoTokenizer,
    AyaVisionConfig,
    AyaVisionForConditionalGeneration,
    AyaVisionProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    GotOcr2ImageProcessorPil,
    LlamaConfig,
    LlamaForCausalLM,
)

from engine.backbones import embedded
from engine.backbones.quiet import quiet
from engine.errors import AtomscopeError
from engine.files import atomic_path, read_json, sha256, write_json
from engine.paths import ASSETS, cache_dir
from engine.progress import Progress, SilentProgress

NAME = "demo-mllm"
TITLE = "Atomscope's demo model (CLIP ViT-B/16 + SmolLM2-135M)"
NOTE = (
    "A small demo model (CLIP ViT-B/16 + SmolLM2-135M, 230 million parameters) trained for this demo on 2,887 pictures; "
    "use a real multimodal model for real work."
)
TRAINED = ASSETS / "demo" / "mllm"
VISION, LANGUAGE = "clip-vit-b16", "smollm2-135m"
WIDTH = 576
"""Units of the projector's gated hidden layer."""

# SmolLM2's tokenizer has special tokens for code repositories that no caption uses.
_IMAGE = {
    "image_token": "<image>",
    "img_patch_token": "<file_sep>",
    "start_of_img_token": "<repo_name>",
    "end_of_img_token": "<filename>",
    "tile_global_token": "<gh_stars>",
    "tile_token": "<issue_start>",
}
# No system message: the default one costs fifteen tokens a candidate and says nothing.
_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def assemble(progress: Progress | None = None) -> tuple[AyaVisionForConditionalGeneration, AyaVisionProcessor]:
    """The untrained model: real towers, a projector from torch's global random state. float32, on the CPU."""
    vision_folder, language_folder = embedded.fetch(VISION, progress), embedded.fetch(LANGUAGE, progress)
    with quiet():  # it would report the tower's output projection, which a language model does not read
        tower = CLIPVisionModel.from_pretrained(vision_folder)
        language = LlamaForCausalLM.from_pretrained(language_folder)
    processor = make_processor(language_folder)
    config = AyaVisionConfig(
        vision_config=CLIPVisionConfig.from_pretrained(vision_folder).to_dict(),
        text_config=LlamaConfig.from_pretrained(language_folder).to_dict(),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        downsample_factor=2,
        image_token_index=processor.image_token_id,
        alignment_intermediate_size=2 * WIDTH,
    )
    model = AyaVisionForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.model.language_model.load_state_dict(language.model.state_dict())
    model.tie_weights()
    return model.eval(), processor


def make_processor(language_folder: Path) -> AyaVisionProcessor:
    """The processor: pictures squeezed to 224 x 224, 49 patch tokens between two marks, a chat without system message."""
    tokenizer = AutoTokenizer.from_pretrained(language_folder)
    images = GotOcr2ImageProcessorPil(
        size={"height": 224, "width": 224},
        crop_to_patches=False,
        max_patches=1,  # AyaVision's processor asks for tiles whatever the line above says
        image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711],
    )
    return AyaVisionProcessor(
        images, tokenizer, patch_size=16, img_size=224, downsample_factor=2, chat_template=_CHAT, **_IMAGE
    )


def demo_mllm_folder(progress: Progress | None = None) -> Path:
    """The demo model as a checkpoint folder, put together once from the embedded towers and what ships in ``TRAINED``.

    Raises
    ------
    AtomscopeError
        If the towers cannot be fetched, or the trained part is not there.
    """
    weights = TRAINED / "trained.safetensors"
    if not weights.is_file():
        raise AtomscopeError(f"{weights} is missing: restore assets/demo/mllm, or run: atomscope demo build mllm")
    target, training = cache_dir() / "models" / NAME, read_json(TRAINED / "training.json")
    record = {
        "name": NAME,
        "title": TITLE,
        "note": NOTE,
        "trained_sha256": sha256(weights),
        "towers": {name: embedded.entry(name).member_sha256 for name in (VISION, LANGUAGE)},
        "default_mode": training["default_mode"],
        "prior": training["prior"],
        "pictures": 1,  # it never saw two in one prompt
    }
    if (target / "atomscope.json").is_file() and read_json(target / "atomscope.json") == record:
        return target
    progress = progress or SilentProgress()
    model, processor = assemble(progress)
    progress.start(f"Putting {NAME} together", None, "files")
    merge_trained_weights(model, load_file(weights), training["config"]["rank"])
    with atomic_path(target) as work:
        # Half precision is finer than the 4 and 8 bits the towers come from, and half the size.
        with quiet():
            model.half().save_pretrained(work)
        processor.save_pretrained(work)
        write_json(work / "atomscope.json", record)
    progress.advance()
    progress.finish(str(target))
    return target


@torch.no_grad()
def merge_trained_weights(
    model: AyaVisionForConditionalGeneration, trained: dict[str, torch.Tensor], rank: int
) -> None:
    """Load the trained projector and add each LoRA product to its weight: W + 2 B A (alpha is twice the rank)."""
    parameters: dict[str, Any] = dict(model.named_parameters())
    for name, value in trained.items():
        if ".lora_A." in name:
            down, up = value.float(), trained[name.replace(".lora_A.", ".lora_B.")].float()
            if len(down) != rank:
                raise AtomscopeError(
                    f"{name} has rank {len(down)}, training.json says {rank}: the files do not belong together."
                )
            parameters[name.partition(".lora_A.")[0] + ".weight"] += 2 * up @ down
        elif ".lora_B." not in name:
            parameters[name].copy_(value.float())
