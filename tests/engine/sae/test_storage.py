"""How SAEs lie on disk: sizes, precision, damage, wrong configs. What holds for every architecture is tested on one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from engine.errors import InputError
from engine.files import sha256
from engine.sae import SparseAutoencoder, SparsemaxConfig, build_sae, load_sae, save_sae

D, M = 24, 96


@pytest.fixture
def sae() -> SparseAutoencoder:
    """Matrices, vectors, a learned scale and the buffers of a gate, none of them zero."""
    config = SparsemaxConfig(d_model=D, n_atoms=M, learn_scale=True, gate="frequency", gate_above=0.2)
    sae = build_sae(config, seed=1)
    x = torch.randn(300, D, generator=torch.Generator().manual_seed(9)) + 5
    sae.initialise(x, torch.Generator().manual_seed(2))
    sae.train()(x)
    assert {tensor.ndim for tensor in sae.state_dict().values()} == {0, 1, 2}
    return sae


def test_float16_storage_is_half_the_size_and_close(sae, tmp_path: Path) -> None:
    full, half = save_sae(sae, tmp_path / "full"), save_sae(sae, tmp_path / "half", dtype="float16")
    assert json.loads((half / "config.json").read_text())["weights"]["dtype"] == "float16"
    sizes = [(folder / "weights.safetensors").stat().st_size for folder in (full, half)]
    assert sizes[1] < 0.62 * sizes[0]
    loaded = load_sae(half)
    for name, tensor in sae.state_dict().items():
        kept = loaded.state_dict()[name]
        assert kept.dtype == tensor.dtype
        # Half precision keeps 11 bits; below 2^-14 its step is 2^-24. Vectors are stored in full.
        torch.testing.assert_close(kept, tensor, rtol=2**-11 if tensor.ndim == 2 else 0, atol=2**-25)


def test_storage_refuses_what_float16_cannot_hold(sae, tmp_path: Path) -> None:
    with torch.no_grad():
        sae.atoms[0, 0] = 1e6
    with pytest.raises(InputError, match="atoms has values that float16 cannot hold"):
        save_sae(sae, tmp_path, dtype="float16")
    with pytest.raises(InputError, match="float32 or float16 or int8"):
        save_sae(sae, tmp_path, dtype="int4")


def test_int8_storage_is_a_quarter_and_within_half_a_step_of_every_row(sae, tmp_path: Path) -> None:
    with torch.no_grad():
        sae.atoms[3] = 0
    full, quarter = save_sae(sae, tmp_path / "full"), save_sae(sae, tmp_path / "quarter", dtype="int8")
    sizes = [(folder / "weights.safetensors").stat().st_size for folder in (full, quarter)]
    assert sizes[1] < 0.5 * sizes[0]  # the SAEs of this test are small, and every row has its scale
    loaded = load_sae(quarter)
    for name, tensor in sae.state_dict().items():
        kept = loaded.state_dict()[name]
        assert kept.dtype == tensor.dtype
        half = tensor.abs().amax(-1, keepdim=True) / 254 if tensor.ndim == 2 else torch.zeros(())
        assert bool(((kept - tensor).abs() <= half * (1 + 1e-5)).all()), name
    assert not loaded.atoms[3].any()


def test_scales_that_fit_no_matrix_are_refused(sae, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_sae(sae, tmp_path, dtype="int8")
    tensors = load_file(folder / "weights.safetensors")
    tensors["scale of atoms"] = tensors["scale of atoms"][:-1].clone()
    save_file(tensors, folder / "weights.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["weights"]["sha256"] = sha256(folder / "weights.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="scales of 'atoms' do not fit"):
        load_sae(folder)


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_truncated_weights_are_refused(sae, tmp_path: Path, kept: int) -> None:
    path = save_sae(sae, tmp_path) / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"weights\.safetensors is damaged"):
        load_sae(tmp_path)


def test_a_flipped_bit_is_refused(sae, tmp_path: Path) -> None:
    path = save_sae(sae, tmp_path) / "weights.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="damaged"):
        load_sae(tmp_path)


def edit(folder: Path, **changes: object) -> None:
    document = json.loads((folder / "config.json").read_text())
    document.update(changes)
    (folder / "config.json").write_text(json.dumps({key: value for key, value in document.items() if value != "GONE"}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"colour": "red"}, "unknown setting 'colour'"),
        ({"architecture": "jumprelu2"}, "unknown SAE architecture 'jumprelu2'"),
        ({"n_atoms": "GONE"}, "setting 'n_atoms' .* is missing"),
        ({"n_atoms": M + 1}, "but its config says"),
        ({"n_atoms": 0}, "n_atoms must be at least 1"),
        ({"d_model": "wide"}, "d_model must be a number"),
        ({"d_model": True}, "d_model must be a number"),
        ({"loss": "l1"}, "loss must be one of published, nmse"),
        ({"weights": "GONE"}, "is not the config of an SAE"),
    ],
)
def test_wrong_configs_are_one_sentence(sae, tmp_path: Path, changes: dict, sentence: str) -> None:
    save_sae(sae, tmp_path)
    edit(tmp_path, **changes)
    with pytest.raises(InputError, match=sentence) as caught:
        load_sae(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_an_sae_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no SAE"):
        load_sae(tmp_path / "nowhere")


def test_config_that_is_not_json_is_refused(sae, tmp_path: Path) -> None:
    save_sae(sae, tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        load_sae(tmp_path)
