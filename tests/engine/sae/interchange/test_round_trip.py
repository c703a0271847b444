"""Out as a SAELens folder and in again: the same codes and the same reconstruction, without the package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.cli.main import run
from engine.errors import InputError
from engine.sae import SparseAutoencoder, SparsemaxConfig, SparsemaxSAE, load_sae, save_sae
from engine.sae.interchange import export_sae, import_sae, write_run

Make = Callable[..., SparseAutoencoder]


@pytest.mark.parametrize("normalise", ["none", "centre", "standardise"])
def test_codes_survive(make: Make, x: torch.Tensor, architecture: str, normalise: str, tmp_path: Path) -> None:
    sae = make(architecture, normalise)
    export_sae(sae, tmp_path / "out")
    back = import_sae(tmp_path / "out").sae
    codes, again = sae.encode(x), back.encode(x)
    assert 0 < codes.nnz < 40 * len(x)
    # Scores are summed in another order: an entry at its threshold may fall on the other side.
    differing = (codes.dense() != 0) != (again.dense() != 0)
    assert differing.float().mean() < 1e-3
    torch.testing.assert_close(codes.dense() * ~differing, again.dense() * ~differing, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sae.decode(codes, sae.norm(x)), back.decode(codes), rtol=1e-4, atol=1e-4)


def test_what_the_folder_holds(make: Make, tmp_path: Path) -> None:
    export_sae(make("batchtopk"), tmp_path / "out")
    config = json.loads((tmp_path / "out" / "cfg.json").read_text("utf-8"))
    tensors = load_file(tmp_path / "out" / "sae_weights.safetensors")
    assert config["architecture"] == "jumprelu"  # as SAELens stores it
    assert (config["d_in"], config["d_sae"]) == (12, 40)
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "W_enc": (12, 40),
        "W_dec": (40, 12),
        "b_dec": (12,),
        "b_enc": (40,),
        "threshold": (40,),
    }
    assert torch.allclose(tensors["threshold"], torch.tensor(0.8))


def test_negative_winners_are_pointed_out(make: Make, tmp_path: Path) -> None:
    assert "sets a negative code to zero" in export_sae(make("topk"), tmp_path / "a")[0]
    assert export_sae(make("topk", relu=True), tmp_path / "b") == []


def test_an_encoder_that_reads_x_itself(make: Make, x: torch.Tensor, architecture: str, tmp_path: Path) -> None:
    """``apply_b_dec_to_input`` false: the oracle computes the scores from the file's own numbers."""
    export_sae(make(architecture), tmp_path / "out")
    edit(tmp_path / "out", apply_b_dec_to_input=False)
    tensors = load_file(tmp_path / "out" / "sae_weights.safetensors")
    pre = x @ tensors["W_enc"]
    if "b_gate" in tensors:
        wanted = torch.relu(pre * tensors["r_mag"].exp() + tensors["b_mag"]) * (pre + tensors["b_gate"] > 0)
    else:
        z = pre + tensors["b_enc"]
        wanted = torch.relu(z) * (z > tensors.get("threshold", torch.tensor(0.0)))
        if architecture == "topk":
            wanted *= torch.zeros_like(z).scatter(1, z.topk(5).indices, 1.0)
    found = import_sae(tmp_path / "out").sae.encode(x).dense()
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_scores_weighed_by_the_length_of_the_atoms(make: Make, x: torch.Tensor, tmp_path: Path) -> None:
    export_sae(make("topk", relu=True), tmp_path / "out")
    edit(tmp_path / "out", rescale_acts_by_decoder_norm=True)
    tensors = load_file(tmp_path / "out" / "sae_weights.safetensors")
    length = tensors["W_dec"].norm(dim=1)
    z = ((x - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]) * length
    a = torch.zeros_like(z).scatter(1, z.topk(5).indices, torch.relu(z.topk(5).values))
    sae = import_sae(tmp_path / "out").sae
    torch.testing.assert_close(sae.encode(x).dense(), a, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sae(x).x_hat, (a / length) @ tensors["W_dec"] + tensors["b_dec"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "matryoshka"), [("batchtopk", False), ("matryoshka_batchtopk", True)])
def test_a_training_checkpoint_brings_its_threshold(make: Make, name: str, matryoshka: bool, tmp_path: Path) -> None:
    export_sae(make("batchtopk"), tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "sae_weights.safetensors")
    tensors["topk_threshold"] = tensors.pop("threshold")[0].double()
    save_file(tensors, tmp_path / "out" / "sae_weights.safetensors")
    edit(tmp_path / "out", architecture=name, k=5.5, **({"matryoshka_widths": [10, 40]} if matryoshka else {}))
    sae = import_sae(tmp_path / "out").sae
    assert sae.config.architecture == "batchtopk" and sae.threshold == pytest.approx(0.8)


def test_a_config_from_before_version_6(make: Make, tmp_path: Path) -> None:
    export_sae(make("topk"), tmp_path / "out")
    config = {"d_in": 12, "d_sae": 40, "dtype": "float32", "model_name": "gpt2-small", "hook_point": "blocks.8"}
    config |= {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}, "normalize_activations": False}
    (tmp_path / "out" / "cfg.json").write_text(json.dumps(config), "utf-8")
    imported = import_sae(tmp_path / "out")
    assert (imported.sae.config.architecture, imported.sae.config.k) == ("topk", 5)
    assert imported.origin["metadata"] == {"model_name": "gpt2-small", "hook_point": "blocks.8"}


@pytest.mark.parametrize(
    ("edits", "sentence"),
    [
        ({"architecture": "temporal"}, "what can be imported from SAELens is"),
        ({"normalize_activations": "layer_norm"}, "normalises every token by its own mean"),
        ({"normalize_activations": "expected_average_only_in"}, "the scale is not in the folder"),
        ({"activation_fn": "tanh-relu"}, "activation function 'tanh-relu'"),
        ({"k": 0}, "k must be"),
        ({"k": 41}, "more than the 40 atoms"),
        ({"d_sae": 41}, "b_enc has shape (40,)|W_enc has shape (12, 40)"),
        ({"architecture": "gated"}, "tensor 'b_enc' is unknown"),
        ({"architecture": "jumprelu"}, "tensor 'threshold' is missing"),
    ],
)
def test_what_cannot_be_represented_is_refused(
    make: Make, tmp_path: Path, edits: dict[str, object], sentence: str
) -> None:
    export_sae(make("topk"), tmp_path / "out")
    edit(tmp_path / "out", **edits)
    with pytest.raises(InputError) as refusal:
        import_sae(tmp_path / "out")
    assert any(part in str(refusal.value) for part in sentence.split("|"))


def test_damaged_files_are_refused(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export_sae(make("relu"), folder)
    tensors = load_file(folder / "sae_weights.safetensors")
    tensors["W_dec"][3, 3] = torch.nan
    save_file(tensors, folder / "sae_weights.safetensors")
    with pytest.raises(InputError, match="W_dec has values that are not finite"):
        import_sae(folder)
    (folder / "sae_weights.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        import_sae(folder)
    (folder / "sae_weights.safetensors").unlink()
    with pytest.raises(InputError, match="copy both"):
        import_sae(folder)
    (folder / "cfg.json").write_text("[]", "utf-8")
    with pytest.raises(InputError, match="not the config"):
        import_sae(folder)


def test_sparsemax_has_no_place_there(tmp_path: Path) -> None:
    sae = SparsemaxSAE(SparsemaxConfig(d_model=8, n_atoms=16))
    with pytest.raises(
        InputError, match="SAELens has no sparsemax SAE.*batchtopk, gated, jumprelu, matryoshka, relu, topk"
    ):
        export_sae(sae, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_commands(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_folder, out, back = tmp_path / "run", tmp_path / "out", tmp_path / "back"
    save_sae(make("gated"), run_folder)
    assert run(["export", str(run_folder), "-o", str(out)]) == 0
    assert run(["import", str(out), "-o", str(back)]) == 0
    said = capsys.readouterr()
    assert said.out == "" and f"atomscope atlas --sae {back}" in said.err
    assert load_sae(back).config.architecture == "gated"
    origin = json.loads((back / "origin.json").read_text("utf-8"))
    assert origin["format"] == "saelens" and set(origin["files"]) == {"cfg.json", "sae_weights.safetensors"}
    for arguments, sentence in (
        (["import", str(out), "-o", str(back)], "holds something already"),
        (["import", str(run_folder), "-o", str(tmp_path / "x")], "already: use it as it is"),
        (["import", str(tmp_path / "none"), "-o", str(tmp_path / "x")], "does not exist"),
        (["import", str(tmp_path), "-o", str(tmp_path / "x")], "Nothing at"),
        (["import", str(out), "-o", str(tmp_path / "x"), "--format", "onnx"], "Unknown format 'onnx'"),
        (["export", str(run_folder), "-o", str(tmp_path / "x"), "--format", "onnx"], "Unknown format 'onnx'"),
        (["export", str(run_folder), "-o", str(out)], "holds something already"),
    ):
        assert run(arguments) == 2
        assert sentence in " ".join(capsys.readouterr().err.split())


def test_a_run_keeps_its_source(make: Make, x: torch.Tensor, tmp_path: Path) -> None:
    export_sae(make("topk"), tmp_path / "out", {"model_name": "clip-vit-b16"})
    imported = import_sae(tmp_path / "out")
    assert imported.origin["metadata"]["model_name"] == "clip-vit-b16"
    again = load_sae(write_run(imported, tmp_path / "run"))
    torch.testing.assert_close(again.encode(x).dense(), imported.sae.encode(x).dense())


def edit(folder: Path, **changes: object) -> None:
    """Change settings in ``cfg.json``."""
    path = folder / "cfg.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
