"""Names of the architectures, and building, loading and describing an SAE by name."""

from __future__ import annotations

from dataclasses import MISSING, fields
from difflib import get_close_matches
from typing import Any, get_type_hints

import torch

from engine.errors import InputError
from engine.sae.base import SAEConfig, SparseAutoencoder
from engine.sae.batchtopk import BatchTopKConfig, BatchTopKSAE
from engine.sae.cross_relu import CrossReLUConfig, CrossReLUSAE
from engine.sae.gated import GatedConfig, GatedSAE
from engine.sae.jumprelu import JumpReLUConfig, JumpReLUSAE
from engine.sae.matryoshka import MatryoshkaConfig, MatryoshkaSAE
from engine.sae.mlp_sparsemax import MLPSparsemaxConfig, MLPSparsemaxSAE
from engine.sae.relu import ReLUConfig, ReLUSAE
from engine.sae.sparsemax import SparsemaxConfig, SparsemaxSAE
from engine.sae.topk import TopKConfig, TopKSAE

ARCHITECTURES: dict[str, tuple[type[SAEConfig], type[SparseAutoencoder]]] = {
    "sparsemax": (SparsemaxConfig, SparsemaxSAE),
    "topk": (TopKConfig, TopKSAE),
    "batchtopk": (BatchTopKConfig, BatchTopKSAE),
    "matryoshka": (MatryoshkaConfig, MatryoshkaSAE),
    "relu": (ReLUConfig, ReLUSAE),
    "gated": (GatedConfig, GatedSAE),
    "jumprelu": (JumpReLUConfig, JumpReLUSAE),
    "cross-relu": (CrossReLUConfig, CrossReLUSAE),
    "mlp-sparsemax": (MLPSparsemaxConfig, MLPSparsemaxSAE),
}


def build_sae(config: SAEConfig, seed: int = 0) -> SparseAutoencoder:
    """A fresh SAE; the same config and seed give the same parameters."""
    generator = torch.Generator().manual_seed(seed)
    return ARCHITECTURES[config.architecture][1](config, generator)  # type: ignore[call-arg]


def config_from_dict(values: dict[str, Any], origin: str) -> SAEConfig:
    """A config from the dictionary that ``SAEConfig.to_dict`` wrote.

    Raises
    ------
    InputError
        For an unknown architecture, an unknown or missing key, or a value of the wrong kind; ``origin`` says where from.
    """
    architecture = values.get("architecture")
    if architecture not in ARCHITECTURES:
        raise InputError(f"{origin}: unknown SAE architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}.")
    config_class = ARCHITECTURES[architecture][0]
    known = {entry.name: entry for entry in fields(config_class)}
    given = {key: value for key, value in values.items() if key != "architecture"}
    for key in given:
        if key not in known:
            near = get_close_matches(key, known, 1, 0.5)
            hint = f"did you mean {near[0]!r}? Known" if near else "known"
            raise InputError(f"{origin}: unknown setting {key!r} of {architecture}; {hint}: {', '.join(known)}.")
    missing = [name for name, entry in known.items() if entry.default is MISSING and name not in given]
    if missing:
        raise InputError(f"{origin}: setting {missing[0]!r} of {architecture} is missing.")
    kinds = get_type_hints(config_class)
    return config_class(**{key: _typed(value, kinds[key], f"{origin}: {key}") for key, value in given.items()})


def parse_config(text: str, d_model: int, n_atoms: int, **defaults: Any) -> SAEConfig:
    """A config from the command line's ``NAME[:key=value,...]``, such as ``topk:k=32``.

    ``defaults`` are settings for the architectures that know them; what ``text`` says wins.
    """
    name, _, rest = text.partition(":")
    if name not in ARCHITECTURES:
        raise InputError(f"--sae {text}: unknown SAE architecture {name!r}; known: {', '.join(ARCHITECTURES)}.")
    kinds = get_type_hints(ARCHITECTURES[name][0])
    given: dict[str, Any] = {key: value for key, value in defaults.items() if key in kinds}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--sae {text}: write settings as key=value, not {pair!r}.")
        given[key.strip()] = _parsed(value.strip())
    return config_from_dict({"architecture": name, "d_model": d_model, "n_atoms": n_atoms} | given, f"--sae {text}")


def _parsed(text: str) -> Any:
    """``text`` as a bool, None, int or float where it reads as one."""
    words = {"true": True, "false": False, "none": "none"}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _typed(value: Any, kind: Any, origin: str) -> Any:
    """``value`` as the plain type a config field declares; an int passes for a float, nothing else is converted."""
    if kind in (int, float, bool):
        accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)
        if isinstance(value, bool) != (kind is bool) or not isinstance(value, accepted):
            raise InputError(f"{origin} must be {'true or false' if kind is bool else 'a number'}, not {value!r}.")
        return kind(value)
    if kind == float | None:
        return None if value is None else _typed(value, float, origin)
    return value
