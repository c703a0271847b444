"""Against the real package: what we export it loads, what it saves we load, and both measure the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.activations import ActivationStore
from engine.evaluation import measure
from engine.sae import SparseAutoencoder
from engine.sae.interchange import export_sae, import_sae

pytest.importorskip(
    "sae_lens", reason="sae-lens is not installed: pip install 'atomscope[interchange]'", exc_type=ImportError
)

Make = Callable[..., SparseAutoencoder]
THEIRS = ("standard", "topk", "jumprelu", "gated")
TRAINING = ("standard", "topk", "jumprelu", "gated", "batchtopk", "matryoshka_batchtopk")


@pytest.fixture(autouse=True)
def quiet() -> None:
    warnings.filterwarnings("ignore", module="sae_lens|transformer_lens")


@pytest.mark.parametrize("normalise", ["none", "centre", "standardise"])
def test_they_load_what_we_export(
    architecture: str, normalise: str, make: Make, x: torch.Tensor, tmp_path: Path
) -> None:
    from sae_lens import SAE

    ours = make(architecture, normalise, **({"relu": True} if architecture == "topk" else {}))
    export_sae(ours, tmp_path / "out", {"model_name": "clip-vit-b16"})
    theirs = SAE.load_from_disk(tmp_path / "out")
    assert theirs.cfg.metadata.model_name == "clip-vit-b16"
    same_codes(ours.encode(x).dense(), theirs.encode(x))
    torch.testing.assert_close(ours(x).x_hat, theirs(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("on_x", [False, True], ids=["x-b_dec", "x"])
def test_we_load_what_they_save(name: str, on_x: bool, x: torch.Tensor, tmp_path: Path) -> None:
    theirs = filled(name, apply_b_dec_to_input=not on_x)
    theirs.save_model(tmp_path / "theirs")
    ours = import_sae(tmp_path / "theirs").sae
    same_codes(ours.encode(x).dense(), theirs.encode(x))
    torch.testing.assert_close(ours(x).x_hat, theirs(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", TRAINING)
def test_we_load_what_their_training_saves(name: str, x: torch.Tensor, tmp_path: Path) -> None:
    """The folder of inference, and the checkpoint: both give the codes of the inference SAE."""
    from sae_lens import SAE

    training = filled(name, training=True)
    training.save_inference_model(tmp_path / "inference")
    training.save_model(tmp_path / "checkpoint")
    wanted = SAE.load_from_disk(tmp_path / "inference").encode(x)
    assert 0 < (wanted != 0).float().mean() < 0.9
    same_codes(import_sae(tmp_path / "inference").sae.encode(x).dense(), wanted)
    same_codes(import_sae(tmp_path / "checkpoint").sae(x).codes.dense(), wanted)


@pytest.mark.parametrize("name", THEIRS)
def test_both_measure_the_same(name: str, make_store: Callable[..., ActivationStore], tmp_path: Path) -> None:
    """L0, and the centred explained variance, which is what SAELens calls ``explained_variance``."""
    from sae_lens.evals import ExplainedVarianceCalculator

    store = make_store(d_model=12)
    theirs = filled(name)
    theirs.save_model(tmp_path / "theirs")
    figures = measure(import_sae(tmp_path / "theirs").sae, store)
    everything = torch.cat([store.item(i) for i in range(store.n_items)])
    with torch.no_grad():
        codes = theirs.encode(everything)
        variance = ExplainedVarianceCalculator()
        variance.add_batch(theirs.decode(codes), everything)
    assert figures["l0_mean"] == pytest.approx((codes != 0).sum(1).float().mean().item(), abs=0.02)
    assert figures["explained_variance"] == pytest.approx(variance.compute(), rel=1e-4)


@torch.no_grad()
def filled(name: str, training: bool = False, **settings: object):
    """A SAELens SAE of 40 atoms in 12 dimensions with biases, gains, thresholds and atoms of different length."""
    from sae_lens.registry import get_sae_class, get_sae_training_class

    sae_class, config_class = (get_sae_training_class if training else get_sae_class)(name)
    if name.endswith("topk"):
        settings["k"] = 5
    if name.startswith("matryoshka"):
        settings["matryoshka_widths"] = [10, 40]
    sae = sae_class(config_class(d_in=12, d_sae=40, **settings))
    generator = torch.Generator().manual_seed(3)
    for parameter_name, parameter in sae.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(noise.abs() if parameter_name == "threshold" else 0.4 * noise)
    sae.b_dec.add_(3)
    if hasattr(sae, "topk_threshold"):
        sae.topk_threshold.fill_(2.0)
    return sae.eval()


def same_codes(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Equal but for entries that float32 cannot place on either side of their threshold."""
    differing = (ours != 0) != (theirs != 0)
    assert differing.float().mean() < 1e-3
    torch.testing.assert_close(ours * ~differing, theirs.detach() * ~differing, rtol=1e-3, atol=1e-3)
