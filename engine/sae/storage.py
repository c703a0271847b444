"""An SAE on disk: ``config.json`` beside ``weights.safetensors``. Nothing is pickled.

``config.json`` holds the config's keys and one more, ``weights``: the storage type of the matrices and the SHA-256 of the
tensor file. Matrices are stored as float32, as float16, or as int8 with one float32 scale a row (the largest magnitude of the
row is 127); vectors stay float32, they cost nothing.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.errors import InputError
from engine.files import atomic_path, explain_os_errors, read_json, sha256, write_json
from engine.sae.base import SparseAutoencoder
from engine.sae.registry import ARCHITECTURES, config_from_dict

CONFIG, WEIGHTS = "config.json", "weights.safetensors"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "int8": torch.int8}
_SCALE = "scale of "


def save_sae(sae: SparseAutoencoder, folder: Path | str, dtype: str = "float32") -> Path:
    """Write ``sae`` into ``folder`` (made if needed) and return the folder.

    Raises
    ------
    InputError
        If ``dtype`` is none of these, or a value does not fit into it.
    AtomscopeError
        If the folder cannot be written.
    """
    folder = Path(folder)
    if dtype not in DTYPES:
        raise InputError(f"SAE weights are stored as {' or '.join(DTYPES)}, not {dtype!r}.")
    tensors = {}
    for name, tensor in sae.state_dict().items():
        value = tensor.detach().cpu().contiguous()
        if not (value.is_floating_point() and value.ndim >= 2):
            tensors[name] = value
            continue
        if dtype == "int8":
            tensors[name], tensors[_SCALE + name] = _quantised(value)
        else:
            tensors[name] = value.to(DTYPES[dtype])
        if not all(torch.isfinite(tensors[part]).all() for part in (name, _SCALE + name) if part in tensors):
            raise InputError(f"{name} has values that {dtype} cannot hold: store this SAE as float32.")
    with atomic_path(folder / WEIGHTS) as temporary, explain_os_errors(folder / WEIGHTS):
        save_file(tensors, temporary)
    weights = {"dtype": dtype, "sha256": sha256(folder / WEIGHTS)}
    write_json(folder / CONFIG, sae.config.to_dict() | {"weights": weights})
    return folder


def _quantised(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values and float32 scales [..., 1] with matrix = values * scale, to half a step."""
    scale = matrix.float().abs().amax(dim=-1, keepdim=True) / 127
    steps = torch.where(scale > 0, matrix.float() / scale, torch.zeros(()))
    return steps.round().to(torch.int8), scale


def load_sae(folder: Path | str) -> SparseAutoencoder:
    """The SAE saved in ``folder``, on the CPU, as float32, in evaluation mode.

    Raises
    ------
    InputError
        If the folder holds no SAE, the config has unknown keys or wrong values, or the tensors are damaged or have
        other names or shapes than the config says.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder} holds no SAE: {CONFIG} and {WEIGHTS} are expected there.")
    document = read_json(folder / CONFIG)
    if not isinstance(document, dict) or not isinstance(document.get("weights"), dict):
        raise InputError(f"{folder / CONFIG} is not the config of an SAE.")
    weights = document.pop("weights")
    config = config_from_dict(document, str(folder / CONFIG))
    if sha256(folder / WEIGHTS) != weights.get("sha256"):
        raise InputError(f"{folder / WEIGHTS} is damaged: its SHA-256 is not the one in {CONFIG}. Copy it again.")
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{folder / WEIGHTS} is not a readable safetensors file ({error}).") from None
    scales = {name.removeprefix(_SCALE): tensors.pop(name) for name in list(tensors) if name.startswith(_SCALE)}
    for name, scale in scales.items():
        if name not in tensors or scale.shape != (*tensors[name].shape[:-1], 1):
            raise InputError(f"{folder / WEIGHTS}: the scales of {name!r} do not fit to it.")
        tensors[name] = tensors[name].float() * scale
    sae = ARCHITECTURES[config.architecture][1](config)
    expected = sae.state_dict()
    if set(tensors) != set(expected):
        odd = sorted(set(tensors) ^ set(expected))[0]
        raise InputError(f"{folder / WEIGHTS}: tensor {odd!r} is {'unknown' if odd in tensors else 'missing'}.")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise InputError(
                f"{folder / WEIGHTS}: {name} has shape {tuple(tensor.shape)}, "
                f"but its config says {tuple(expected[name].shape)}."
            )
        tensors[name] = tensor.to(expected[name].dtype)
    sae.load_state_dict(tensors)
    return sae.eval()
