"""``load_mllm``: any image-text-to-text checkpoint (hub id, folder, or "demo") as the fine stage uses it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
from transformers.processing_utils import ProcessorMixin

from engine.backbones import checkpoints
from engine.backbones.quiet import quiet
from engine.device import pick_device
from engine.errors import InputError, first_line
from engine.files import read_json
from engine.progress import Progress, SilentProgress
from engine.retrieval.fine.demo_model import demo_mllm_folder
from engine.retrieval.search.events import MODES, Mode
from engine.retrieval.search.ranking import Prior
from kernels.products import use_fast_linear

DEMO = "demo"
_ROWS = 16_384
"""Rows of the vocabulary projected at a time where its weights must be widened to float32."""


@dataclass(frozen=True)
class Mllm:
    """A multimodal language model and its processor, loaded once and shared.

    Attributes
    ----------
    model : PreTrainedModel
        In evaluation mode; float32 on the CPU, bfloat16 elsewhere with logits in float32.
    processor : ProcessorMixin
        Chat template, tokenizer and image processor (Pillow form).
    image_token : str
        Stands for one picture in a prompt before the processor has seen the picture.
    image_token_id : int
        The token whose embedding a patch of the picture replaces.
    identity : dict
        ``name``, ``revision``, ``architecture``, ``note``, ``dtype``, ``device``: JSON-ready.
    default_mode : str
        Fine score used when a search names none.
    prior : Prior
        What a coarse cosine is worth in mode "posterior".
    pictures : int
        How many pictures one prompt may hold.
    warnings : list of str
        What is unusual about the checkpoint.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    image_token: str
    image_token_id: int
    identity: dict[str, Any]
    default_mode: Mode = "log-odds"
    prior: Prior = Prior()
    pictures: int = 8
    warnings: list[str] = field(default_factory=list)

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return torch.device(self.model.device)


def load_mllm(name: str, device: str = "auto", progress: Progress | None = None) -> Mllm:
    """Load a multimodal language model.

    Parameters
    ----------
    name : str
        Hub id, local folder, or ``"demo"`` for the model that ships with the project.
    device : str
        ``"auto"`` (CUDA when there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
    progress : Progress, optional
        Told about downloads, conversions and anything unusual.

    Raises
    ------
    InputError
        If it is unknown, cannot be loaded, or is no image-text-to-text model.
    AtomscopeError
        If the hub or the package index cannot be reached.
    """
    progress = progress or SilentProgress()
    target = pick_device(device)
    note: dict[str, Any] = {}
    with quiet():
        place = str(demo_mllm_folder(progress)) if name == DEMO else name
        source = checkpoints.find_checkpoint(place, progress)
        config = checkpoints.load_config(source)
        if config.model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
            raise InputError(
                f"{name} ({config.model_type}) is no image-text-to-text model: the fine stage needs one that reads a "
                "picture and answers in words, such as Qwen2.5-VL, LLaVA, SmolVLM, InternVL or Gemma 3."
            )
        if (Path(source.location) / "atomscope.json").is_file():
            note = read_json(Path(source.location) / "atomscope.json")
        processor = _processor(source, config)
        model = _model(source, torch.float32 if target.type == "cpu" else torch.bfloat16).to(target)
    warnings = []
    if not getattr(processor, "chat_template", None) and not getattr(processor.tokenizer, "chat_template", None):
        warnings.append(f"{name} brings no chat template: its prompts are the picture and the question, nothing else.")
        progress.warn(warnings[-1])
    if target.type == "cpu":
        use_fast_linear(model)
    widen(model)
    image_token, image_token_id = _image_token(processor, config, name)
    mode = note.get("default_mode", "log-odds")
    identity = {
        "name": name,
        "revision": checkpoints.revision_of(source),
        "architecture": type(model).__name__,
        "note": source.note,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(target),
    }
    pictures = int(note.get("pictures", 8))
    return Mllm(
        model,
        processor,
        image_token,
        image_token_id,
        identity,
        mode if mode in MODES else "log-odds",
        Prior(**note["prior"]) if "prior" in note else Prior(),
        pictures,
        warnings,
    )


class WideLinear(nn.Linear):
    """A 16-bit output projection computed in float32: 16-bit logits would put the scores on a coarse grid."""

    def forward(self, input: Tensor) -> Tensor:
        wide = input.float()
        parts = [F.linear(wide, rows.float()) for rows in self.weight.split(_ROWS)]
        logits = torch.cat(parts, dim=-1)
        return logits if self.bias is None else logits + self.bias.float()


def widen(model: PreTrainedModel) -> None:
    """Let a 16-bit output projection compute float32 logits; changes ``model``."""
    head = model.get_output_embeddings()
    if type(head) is nn.Linear and head.weight.dtype != torch.float32:
        head.__class__ = WideLinear


def _processor(source: checkpoints.CheckpointSource, config: PretrainedConfig) -> ProcessorMixin:
    try:
        known: type[ProcessorMixin] | None = _processor_class(source, config)
        if known is not None and "video_processor" in known.get_attributes():
            processor = _without_videos(known, source)
        else:
            processor = AutoProcessor.from_pretrained(source.location, backend="pil", local_files_only=source.offline)
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        raise InputError(
            f"{source.name} has no processor that can be loaded ({first_line(error)}): its folder needs the tokenizer and "
            "processor files that transformers' save_pretrained writes."
        ) from error
    if not isinstance(processor, ProcessorMixin) or not hasattr(processor, "tokenizer"):
        raise InputError(
            f"{source.name} has no processor for pictures and text together: its folder needs the processor and "
            "tokenizer files beside the weights."
        )
    return processor


def _processor_class(source: checkpoints.CheckpointSource, config: PretrainedConfig) -> type[ProcessorMixin] | None:
    """The class the checkpoint names for its processor, or its architecture's."""
    stored, _ = ProcessorMixin.get_processor_dict(source.location, local_files_only=source.offline)
    name = stored.get("processor_class") or PROCESSOR_MAPPING_NAMES.get(config.model_type)
    return getattr(transformers, name, None) if isinstance(name, str) else None


def _without_videos(known: type[ProcessorMixin], source: checkpoints.CheckpointSource) -> ProcessorMixin:
    """A processor that reads pictures and text only: its video half needs torchvision, and nothing here is a video."""

    def check(self: ProcessorMixin, name: str, argument: Any) -> Any:
        return type(None) if name == "video_processor" else known.check_argument_for_proper_class(self, name, argument)

    parts = {
        "image_processor": lambda: AutoImageProcessor.from_pretrained(
            source.location, backend="pil", local_files_only=source.offline
        ),
        "tokenizer": lambda: AutoTokenizer.from_pretrained(source.location, local_files_only=source.offline),
        "video_processor": lambda: None,
    }
    stored, _ = known.get_processor_dict(source.location, local_files_only=source.offline)
    still: Any = type(known.__name__, (known,), {"check_argument_for_proper_class": check})
    args = [parts[name]() for name in known.get_attributes()]
    processor: ProcessorMixin = still.from_args_and_dict(args, stored)
    return processor


def _model(source: checkpoints.CheckpointSource, dtype: torch.dtype) -> PreTrainedModel:
    with checkpoints.checkpoint_errors(source):
        model, report = AutoModelForImageTextToText.from_pretrained(
            source.location,
            dtype=dtype,
            local_files_only=source.offline,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    missing = sorted(report["missing_keys"]) + sorted(str(key[0]) for key in report["mismatched_keys"])
    if missing:
        raise InputError(
            f"{source.name} does not fill its architecture: {len(missing)} parameters are missing or of another shape "
            f"({missing[0]}), and scores of random weights would mean nothing."
        )
    return model.eval().requires_grad_(False)


def _image_token(processor: ProcessorMixin, config: Any, name: str) -> tuple[str, int]:
    token_id = getattr(config, "image_token_id", None)
    if token_id is None:
        token_id = getattr(config, "image_token_index", None)
    token = getattr(processor, "image_token", None)
    # Gemma 3 marks a picture by its opening token; the patch token appears only once the picture is known.
    token = getattr(processor, "boi_token", None) or token
    if token_id is None or not isinstance(token, str):
        raise InputError(
            f"{name} does not say which token stands for a picture, so its prompts cannot be built; models that read "
            "pictures through cross-attention are not supported."
        )
    return token, int(token_id)
