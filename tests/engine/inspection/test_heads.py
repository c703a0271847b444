from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import InputError
from engine.inspection.heads import TEMPLATES, class_names, linear_probe, usable_classes, zero_shot


def clusters(counts: dict[str, int], seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Unit vectors around one centre a label."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(len(counts), 6))
    labels = [name for name, count in counts.items() for _ in range(count)]
    place = [list(counts).index(name) for name in labels]
    points = centres[place] + 0.2 * random.normal(size=(len(labels), 6))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")])
def test_the_probe_is_the_logistic_regression_it_says_it_is(names: tuple[str, ...]) -> None:
    from sklearn.linear_model import LogisticRegression

    x, labels = clusters(dict.fromkeys(names, 12))
    head = linear_probe(x, labels)
    wanted = LogisticRegression(C=10, max_iter=2000).fit(x, labels)
    found = head.logits(torch.from_numpy(x)).softmax(1).numpy()
    np.testing.assert_allclose(found, wanted.predict_proba(x), atol=1e-4)
    assert "C = 10, fixed" in head.definition and head.kind == "linear probe"


def test_rare_and_empty_labels_are_no_classes_and_are_named() -> None:
    x, labels = clusters({"a": 9, "b": 5, "rare": 4, "": 20})
    head = linear_probe(x, labels, held_out=clusters({"a": 9, "b": 5, "rare": 4, "": 20}, seed=1))
    assert head.classes == ["a", "b"] and head.to_dict()["dropped_labels"] == {"rare": 4}
    assert head.index(["b", "rare", "", "a", "new"]).tolist() == [1, -1, -1, 0, -1]
    assert "validation split" in head.definition
    with pytest.raises(InputError, match="at least two labels"):
        usable_classes(["a"] * 50 + ["b"] * 4)


def test_the_held_out_items_choose_the_strength() -> None:
    """Held-out labels at odds with the training ones: the weakest fit is the best."""
    x, labels = clusters({"a": 20, "b": 20})
    assert "C = 1," in linear_probe(x, labels, held_out=(x, labels[::-1])).definition
    assert "C = 300," in linear_probe(x, labels, held_out=(x, labels)).definition


def test_class_names_are_words() -> None:
    labels = ["animal/mammal", "food/fruit_bowl", "art/still", "film/still"]
    assert class_names(labels) == ["mammal", "fruit bowl", "art still", "film still"]


def test_zero_shot_is_the_models_own_head(tmp_path: Path) -> None:
    """A CLIP with its text tower: logits equal those of the model's forward, for one prompt a class."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

    from engine.backbones.checkpoints import find_checkpoint, load_config
    from engine.backbones.dual import DualEncoder

    words = ["<pad>", "<start>", "<end>", "<unk>", "a", "photo", "of", "cat", "dog", "."]
    base = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    base.pre_tokenizer = pre_tokenizers.Whitespace()
    base.post_processor = processors.TemplateProcessing("<start> $A <end>", None, [("<start>", 1), ("<end>", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=base, pad_token="<pad>", eos_token="<end>", unk_token="<unk>", model_max_length=16
    ).save_pretrained(tmp_path)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    config = CLIPConfig(
        vision_config=small | {"image_size": 16, "patch_size": 8},
        text_config=small | {"vocab_size": 10, "max_position_embeddings": 16, "eos_token_id": 2, "bos_token_id": 1},
        projection_dim=8,
        logit_scale_init_value=1.5,
    )
    model = CLIPModel(config).eval()
    model.save_pretrained(tmp_path)
    size = {"height": 16, "width": 16}
    from transformers import CLIPImageProcessor

    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=size).save_pretrained(tmp_path)

    source = find_checkpoint(str(tmp_path))
    encoder = DualEncoder(source, load_config(source), "cpu")
    assert encoder.logit_scale == pytest.approx(np.exp(1.5))
    labels = ["pet/cat"] * 5 + ["pet/dog"] * 5
    head = zero_shot(labels, encoder.embed_texts, encoder.logit_scale, ["a photo of a {} ."])
    pixels = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        ids = torch.tensor([[1, 4, 5, 6, 4, word, 9, 2] for word in (7, 8)])
        output = model(input_ids=ids, pixel_values=pixels)
    torch.testing.assert_close(head.logits(output.image_embeds), output.logits_per_image, rtol=1e-4, atol=1e-4)
    assert head.kind == "zero-shot" and "4.482" in head.definition

    # An ensemble: the mean of unit prompt embeddings, scaled back to length 1, keeps the logit scale.
    whole = zero_shot(labels, encoder.embed_texts, encoder.logit_scale)
    rows = encoder.embed_texts([template.format("dog") for template in TEMPLATES]).astype(float).mean(0)
    np.testing.assert_allclose(whole.weight[1].numpy(), np.exp(1.5) * rows / np.linalg.norm(rows), rtol=1e-4)
