"""The published checkpoint of the sparsemax SAE (github.com/qyj-bkjx/Sparsemax-SAE): a ``.pt`` file of torch.

Its training saves {"cfg": a ViTSAERunnerConfig, "state_dict": tensors}. Of the tensors the forward pass uses three: ``concept``
[M, d], ``k`` [d, d] and ``v`` [d, d], with scores (x / ||x||) (concept k)^T and x_hat = ||x|| (a concept) v: our ``atoms``,
``w_key`` and ``w_value`` as they stand. The others are left over from the code it grew out of. The running frequency that the
published gate needs is not saved; the SAE is imported without a gate.

The file is a pickle. It is read with ``weights_only``, so nothing in it can run; the one class that the settings are an
instance of is replaced by an empty one.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.errors import InputError, first_line
from engine.sae.sparsemax import SparsemaxConfig, SparsemaxSAE

USED = ("concept", "k", "v")
UNUSED = ("W_enc", "b_enc", "W_dec", "b_dec", "log_threshold", "r_mag", "b_mag")


class _Settings:
    """Stands in for the class of the settings; takes their values and does nothing."""


_STANDS_FOR = ("src.sae_training.config.ViTSAERunnerConfig", "sae_training.config.ViTSAERunnerConfig")


def read(path: Path) -> tuple[SparsemaxSAE, dict[str, Any]]:
    """The SAE of a published checkpoint, in evaluation mode, and the settings it names that are plain values.

    Raises
    ------
    InputError
        If the file is no checkpoint of torch, wants to build objects that are not on the list, or its tensors are missing,
        unknown, of shapes that do not fit each other, or not finite.
    """
    document = _load(path)
    tensors = document.get("state_dict", document) if isinstance(document, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"{path} is not a checkpoint of the sparsemax SAE: its tensors were expected in 'state_dict'.")
    _check(tensors, path)
    n_atoms, d_model = tensors["concept"].shape
    sae = SparsemaxSAE(SparsemaxConfig(d_model=d_model, n_atoms=n_atoms))
    with torch.no_grad():
        sae.atoms.copy_(tensors["concept"])
        sae.w_key.copy_(tensors["k"])
        sae.w_value.copy_(tensors["v"])
    settings = document.get("cfg", document.get("config"))
    values = settings if isinstance(settings, dict) else getattr(settings, "__dict__", {})
    plain = {str(key): value for key, value in values.items() if isinstance(value, str | int | float | bool)}
    return sae.eval(), {key: plain[key] for key in ("model_name", "module_name", "block_layer") if key in plain}


def _load(path: Path) -> Any:
    stand_ins: Any = [(_Settings, name) for name in _STANDS_FOR]
    try:
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"an object of {found[1]}" if found else "something other than tensors and plain values"
        raise InputError(
            f"{path} is refused: it holds {what}, and reading it could run code. Save its state_dict alone with torch.save "
            "where you trust the file, and import that."
        ) from None
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise InputError(f"{path} is not a readable checkpoint of torch ({first_line(error)}).") from None


def _check(tensors: dict[str, Tensor], path: Path) -> None:
    for name in USED:
        if name not in tensors:
            raise InputError(
                f"{path} is not a checkpoint of the sparsemax SAE: tensor {name!r} is missing (wanted: {', '.join(USED)})."
            )
    for name in tensors:
        if name not in USED + UNUSED:
            raise InputError(f"{path}: tensor {name!r} is unknown in a checkpoint of the sparsemax SAE.")
    concept = tensors["concept"]
    if concept.ndim != 2 or 0 in concept.shape:
        raise InputError(f"{path}: concept has shape {tuple(concept.shape)}, a matrix of atoms [M, d] was expected.")
    width = concept.shape[1]
    for name in ("k", "v"):
        if tuple(tensors[name].shape) != (width, width):
            raise InputError(
                f"{path}: {name} has shape {tuple(tensors[name].shape)}, but atoms of width {width} want "
                f"{(width, width)}."
            )
    for name in USED:
        if not tensors[name].is_floating_point() or not bool(tensors[name].isfinite().all()):
            raise InputError(f"{path}: {name} has values that are not finite numbers: the SAE is damaged or diverged.")
