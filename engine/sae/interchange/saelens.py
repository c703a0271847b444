"""SAELens folders: ``cfg.json`` beside ``sae_weights.safetensors``.

Written against SAELens 6.54 (``SAE.save_model``, ``TrainingSAE.save_inference_model``) and read from version 3 on. BatchTopK and
Matryoshka BatchTopK SAEs are stored there as JumpReLU SAEs with one threshold for all atoms, except in the checkpoints of a
training, which keep their own name and the tensor ``topk_threshold``.

Matrices lie transposed: SAELens holds ``W_enc`` as [d, M]; its decoder ``W_dec`` is [M, d] like ours.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.errors import InputError
from engine.files import atomic_path, explain_os_errors, read_json, write_json
from engine.sae.interchange.affine import AffineSAE, with_unit_atoms, without_input_bias

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"

# The version whose layout is written: SAELens reads folders without one as older than 6 and renames their settings.
LAYOUT = "6.54.12"

# Tensors of every architecture, [M] each beside W_enc, W_dec and b_dec.
VECTORS = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "batchtopk": ("b_enc",),
    "matryoshka_batchtopk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
BIASES = {"gated": ("b_gate", "b_mag")}

# Normalisations that SAELens computes anew for every token, or from numbers that its folder does not hold.
_UNFOLDED = {
    "layer_norm": "normalises every token by its own mean and deviation",
    "constant_norm_rescale": "brings every token to the same length",
    "expected_average_only_in": "was trained on scaled activations, and the scale is not in the folder",
    "covariance_whitening": "was trained on whitened activations, and the whitening is not in the folder",
}


def read(folder: Path) -> tuple[AffineSAE, dict[str, Any]]:
    """The SAE in a SAELens folder and the metadata it came with (model, hook, versions).

    Raises
    ------
    InputError
        If a file is missing or damaged, a tensor is missing, unknown, of another shape or not finite, or the SAE computes
        something that this project cannot.
    """
    values = read_json(folder / CONFIG)
    if not isinstance(values, dict):
        raise InputError(f"{folder / CONFIG} is not the config of a SAELens SAE.")
    architecture, settings = _understood(values, folder / CONFIG)
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(folder / WEIGHTS).items()}
    except FileNotFoundError:
        raise InputError(f"{folder} has a {CONFIG} but no {WEIGHTS}: copy both.") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{folder / WEIGHTS} is not a readable safetensors file ({error}).") from None
    affine = _checked(tensors, architecture, settings, values, folder / WEIGHTS)
    if settings.pop("rescale"):
        affine = with_unit_atoms(affine)
    if not values.get("apply_b_dec_to_input", True):
        affine = without_input_bias(affine, BIASES.get(architecture, ("b_enc",)))
    metadata = values.get("metadata")
    if not isinstance(metadata, dict):  # before version 6 it lay beside the settings
        metadata = {key: value for key, value in values.items() if key.startswith(("model_", "hook_", "sae_lens_"))}
    return affine, metadata


def write(affine: AffineSAE, folder: Path, metadata: dict[str, Any]) -> None:
    """Write ``affine`` as a folder that SAELens loads: ``SAE.load_from_disk(folder)``."""
    n_atoms, d_model = affine.shape
    config = {
        "d_in": d_model,
        "d_sae": n_atoms,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": LAYOUT, "exported_by": f"atomscope {version('atomscope')}"} | metadata,
        "architecture": affine.architecture,
    }
    if affine.architecture == "topk":
        config |= {"k": affine.settings["k"], "rescale_acts_by_decoder_norm": False}
    tensors = {"W_enc": affine.w_enc.T, "W_dec": affine.w_dec, "b_dec": affine.b_dec} | affine.vectors
    with atomic_path(folder / WEIGHTS) as temporary, explain_os_errors(folder / WEIGHTS):
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
    write_json(folder / CONFIG, config)


def _understood(values: dict[str, Any], path: Path) -> tuple[str, dict[str, Any]]:
    """Architecture and settings, by today's names; refuses what cannot be computed here."""
    architecture = values.get("architecture", "standard")
    function = values.get("activation_fn", values.get("activation_fn_str", "relu"))
    if architecture == "standard" and function == "topk":  # before version 6
        architecture = "topk"
    elif function not in ("relu", "topk"):
        raise InputError(f"{path}: the activation function {function!r} is not known here; relu and topk are.")
    if architecture not in VECTORS:
        raise InputError(
            f"{path} describes a {architecture!r} SAE; what can be imported from SAELens is: {', '.join(VECTORS)}."
        )
    normalisation = values.get("normalize_activations") or "none"
    normalisation = "expected_average_only_in" if normalisation is True else normalisation
    if normalisation != "none":
        why = _UNFOLDED.get(normalisation, "is not known here")
        raise InputError(
            f"{path}: normalize_activations is {normalisation!r}, which {why}; an SAE whose normalisation SAELens has "
            "folded into the weights can be imported."
        )
    settings: dict[str, Any] = {"rescale": bool(values.get("rescale_acts_by_decoder_norm", False))}
    if architecture in ("topk", "batchtopk", "matryoshka_batchtopk"):
        k = values.get("k", (values.get("activation_fn_kwargs") or {}).get("k"))
        if not isinstance(k, int | float) or isinstance(k, bool) or k < 1:
            raise InputError(f"{path}: k must be a number of active atoms, not {k!r}.")
        settings["k"] = int(k) if architecture == "topk" else k
    return architecture, settings


def _checked(
    tensors: dict[str, Tensor], architecture: str, settings: dict[str, Any], values: dict[str, Any], path: Path
) -> AffineSAE:
    """The tensors by name, every one of them known, present, of the right shape and finite."""
    for name in ("scaling_factor", "finetuning_scaling_factor"):  # written by old versions, mostly without effect
        if name in tensors and bool((tensors[name] == 1).all()):
            del tensors[name]
    if "log_threshold" in tensors:  # JumpReLU checkpoints of SAELens 4 and 5
        tensors["threshold"] = tensors.pop("log_threshold").exp()
    n_atoms, d_model = values.get("d_sae"), values.get("d_in")
    shapes: dict[str, tuple[Any, ...]] = {
        "W_enc": (d_model, n_atoms),
        "W_dec": (n_atoms, d_model),
        "b_dec": (d_model,),
    } | dict.fromkeys(VECTORS[architecture], (n_atoms,))
    if architecture.endswith("batchtopk"):
        shapes["topk_threshold"] = ()
    for name in sorted(set(shapes) ^ set(tensors)):
        raise InputError(
            f"{path}: tensor {name!r} is {'missing from' if name in shapes else 'unknown in'} a {architecture} SAE."
        )
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != shape:
            raise InputError(f"{path}: {name} has shape {tuple(tensors[name].shape)}, but {CONFIG} says {shape}.")
        if not bool(tensors[name].isfinite().all()):
            raise InputError(f"{path}: {name} has values that are not finite: the SAE is damaged or diverged.")
    vectors = {name: tensors[name] for name in VECTORS[architecture]}
    if architecture.endswith("batchtopk"):
        vectors["threshold"] = tensors["topk_threshold"].repeat(tensors["W_enc"].shape[1])
    w_enc = tensors["W_enc"].T.contiguous()
    if settings.get("k", 0) > w_enc.shape[0]:
        raise InputError(f"{path}: k is {settings['k']}, more than the {n_atoms} atoms.")
    return AffineSAE(architecture, w_enc, tensors["W_dec"], tensors["b_dec"], vectors, settings)


def is_folder(path: Path) -> bool:
    """Whether ``path`` looks like a SAELens folder."""
    return path.is_dir() and (path / CONFIG).is_file()
