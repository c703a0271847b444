"""A tiny atlas of texts, built by the real steps from a random language model: texts, store, SAE, atlas."""

from __future__ import annotations

import json
from pathlib import Path

from engine.activations import ActivationStore, extract
from engine.atlas import AtlasOptions, build_atlas
from engine.backbones import LanguageBackbone, load_backbone
from engine.corpus import open_corpus
from engine.sae import SparsemaxConfig, build_sae, save_sae
from tests.engine.backbones.language_models import save_language_model

SENTENCES = (
    ("the red river ran to the sea", "water"),
    ("a boat on the river; <b>bold</b> & 'quoted'", "water"),
    ("the cat sat on the <script>alert(1)</script> mat", "animal"),
    ("a cat and a dog were here", "animal"),
    ("grüße aus 漢字 city", "place"),
)


def text_store(folder: Path, context: int = 16) -> tuple[LanguageBackbone, ActivationStore]:
    """Activations of 40 short texts of three labels, in chunks of ``context`` bytes; some texts are hostile markup."""
    model = save_language_model(folder / "model")
    file = folder / "texts.jsonl"
    splits = ("train", "train", "validation", "test")
    rows = [
        {"text": f"{SENTENCES[i % 5][0]} {i}", "label": SENTENCES[i % 5][1], "split": splits[i % 4]} for i in range(40)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    backbone = load_backbone(str(model), 1, device="cpu", modality="text", context=context)
    return backbone, extract(backbone, open_corpus(file), folder / "store", batch_size=8)


def text_atlas(folder: Path) -> Path:
    """The atlas of a random sparsemax SAE over :func:`text_store`, without a map."""
    _, store = text_store(folder)
    sae = build_sae(SparsemaxConfig(d_model=store.d_model, n_atoms=48, scale=1.0), 0).eval()
    save_sae(sae, folder / "sae")
    options = AtlasOptions(title="Tiny texts", top_n=8, sample_items=8, layout=False, device="cpu")
    return build_atlas(folder / "sae", store, folder / "atlas", options)
