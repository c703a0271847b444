"""Finding a checkpoint (embedded name, local folder, hub id) and loading its vision tower, or saying why not."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import transformers
from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig

from engine.backbones import embedded
from engine.backbones.registry import REGISTRY, Role, names
from engine.errors import AtomscopeError, InputError, first_line
from engine.files import read_json, sha256
from engine.progress import Progress

# The class that holds the vision tower alone, where a checkpoint also holds a text tower.
_TOWERS = {
    "clip": "CLIPVisionModelWithProjection",
    "clip_vision_model": "CLIPVisionModelWithProjection",
    "metaclip_2": "MetaClip2VisionModelWithProjection",
    "metaclip_2_vision_model": "MetaClip2VisionModelWithProjection",
    "siglip": "SiglipVisionModel",
    "siglip_vision_model": "SiglipVisionModel",
}
# Parameters that may be absent from a checkpoint: used in pre-training only, or a pooler we then do not use.
_OPTIONAL = ("mask_token", "pooler.")
_COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class CheckpointSource:
    """A checkpoint that was found: where ``from_pretrained`` reads it, and what is known about it.

    ``wanted`` is what it is to be used as; error sentences then name the embedded models that can be. ``commit`` is the
    commit or branch of the hub that is read.
    """

    name: str
    location: str
    revision: str
    note: str
    offline: bool
    wanted: Role | None = None
    commit: str = "main"

    @property
    def access(self) -> dict[str, Any]:
        """What ``from_pretrained`` must be told beside ``location``."""
        return {"revision": self.commit, "local_files_only": self.offline}


def find_checkpoint(
    model: str, progress: Progress | None = None, wanted: Role | None = None, revision: str = ""
) -> CheckpointSource:
    """Resolve an embedded name (fetched if needed), a local folder or a hub id.

    ``revision`` is what ``revision_of`` once said of this model: of a hub id, that commit is read in place of the newest.

    Raises
    ------
    InputError
        If it is a folder that holds no checkpoint, or an embedded model that is not what is ``wanted``.
    AtomscopeError
        If an embedded model cannot be fetched.
    """
    if model in REGISTRY:
        entry = REGISTRY[model]
        if wanted not in (None, entry.role):
            # Before anything is downloaded.
            raise InputError(
                f"{model} is no {wanted} but a {entry.role}: name a hub id, a local folder, or one of: "
                f"{', '.join(names(wanted))}."
            )
        return CheckpointSource(model, str(embedded.fetch(model, progress)), entry.revision, entry.note, True, wanted)
    path = Path(model).expanduser()
    if path.is_dir() or model.startswith(("/", "./", "../", "~")):
        if not path.is_dir():
            raise InputError(f"There is no model folder {model}.")
        if not (path / "config.json").is_file():
            raise InputError(f"{model} holds no config.json: name a folder as transformers' save_pretrained writes it.")
        note = read_json(path / "atomscope.json").get("note", "") if (path / "atomscope.json").is_file() else ""
        return CheckpointSource(model, str(path), _folder_revision(path), note, True, wanted)
    commit = revision if _COMMIT.fullmatch(revision) else "main"
    return CheckpointSource(model, model, "", "", not _hub_answers(), wanted, commit)


def load_config(source: CheckpointSource) -> PretrainedConfig:
    """The config of a checkpoint.

    Raises
    ------
    InputError
        If the hub has no such model, it is gated, or its config is not one transformers knows.
    AtomscopeError
        If the hub cannot be reached and the model is not in its local cache.
    """
    with checkpoint_errors(source):
        return AutoConfig.from_pretrained(source.location, **source.access)


def vision_config(config: PretrainedConfig, name: str) -> PretrainedConfig:
    """The config of the vision tower.

    Raises
    ------
    InputError
        If the model does not see pictures, or is not a plain vision transformer.
    """
    vision = getattr(config, "vision_config", None) or config
    if config.model_type.startswith("siglip2"):
        raise InputError(
            f"{name} is a NaFlex model, which cuts every picture into a grid of its own; use a fixed-resolution "
            "checkpoint of the same family."
        )
    if not hasattr(vision, "patch_size") or not hasattr(vision, "num_hidden_layers"):
        raise InputError(
            f"{name} ({config.model_type}) is not a vision transformer: Atomscope reads models made of equal blocks over "
            "patches, such as CLIP, SigLIP, DINOv2, DINOv3 and ViT."
        )
    return vision


def load_tower(source: CheckpointSource, config: PretrainedConfig) -> tuple[nn.Module, bool]:
    """Load the vision tower in float32, in evaluation mode, on the CPU.

    Returns
    -------
    (Module, bool)
        The model, and whether its pooler, if it has one, came with the checkpoint.

    Raises
    ------
    InputError
        If the checkpoint's parameters do not fill the architecture.
    """
    auto: Any = getattr(transformers, _TOWERS[config.model_type]) if config.model_type in _TOWERS else AutoModel
    if config.model_type in _TOWERS and hasattr(config, "vision_config"):
        # A dual model states the width of its common space once, on top; the tower alone looks for it in its own config.
        width = getattr(config, "projection_dim", None)
        config = config.vision_config
        if width is not None:
            config.projection_dim = width
    with checkpoint_errors(source):
        model, report = auto.from_pretrained(
            source.location,
            config=config,
            dtype="float32",
            **source.access,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    missing = sorted(report["missing_keys"]) + sorted(str(key[0]) for key in report["mismatched_keys"])
    faults = [key for key in missing if not any(optional in key for optional in _OPTIONAL)]
    if faults:
        raise InputError(
            f"{source.name} does not fill its architecture: {len(faults)} parameters are missing or of another shape "
            f"({faults[0]}), and activations of random weights would mean nothing."
        )
    model = getattr(model, "vision_model", model) if auto is AutoModel else model
    return model.eval().requires_grad_(False), not any("pooler." in key for key in missing)


def revision_of(source: CheckpointSource) -> str:
    """Which bytes a loaded checkpoint was: the hub's commit (its folder in the local cache), or a hash; "" if unknown."""
    if source.revision:
        return source.revision
    cached = try_to_load_from_cache(source.location, "config.json", revision=source.commit)
    commit = Path(cached).parent.name if isinstance(cached, str) else ""
    return commit if _COMMIT.fullmatch(commit) else ""


@contextmanager
def checkpoint_errors(source: CheckpointSource) -> Iterator[None]:
    """Turn every way in which a checkpoint fails to load into one sentence (``InputError`` or ``AtomscopeError``)."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        causes = list(_causes(error))
        embedded_names = ", ".join(names(source.wanted))
        local = Path(source.location).is_dir()
        if any(isinstance(cause, GatedRepoError) for cause in causes):
            raise InputError(
                f"{source.name} is gated: accept its terms on the hub and log in there, or download it and name the folder."
            ) from error
        if any(isinstance(cause, (RepositoryNotFoundError, RevisionNotFoundError)) for cause in causes):
            raise InputError(
                f"The hub has no model {source.name!r}{_at(source)}. Name a hub id, a local folder, or one of: "
                f"{embedded_names}."
            ) from error
        if any(type(cause).__name__ == "HFValidationError" for cause in causes):
            raise InputError(
                f"{source.name!r} is neither a hub id nor a folder. Name one, or one of: {embedded_names}."
            ) from error
        if not local and (source.offline or "connect" in str(error).lower()):
            raise AtomscopeError(
                f"{source.name}{_at(source)} is not on this machine and the model hub cannot be reached. Name a local "
                f"folder with its config.json and weights (--model ./folder), or one of: {embedded_names}."
            ) from error
        raise InputError(f"{source.name} cannot be loaded: {first_line(error)}.") from error


def _at(source: CheckpointSource) -> str:
    return "" if source.commit == "main" else f" at commit {source.commit[:12]}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _hub_answers() -> bool:
    """Whether the hub's name resolves: without this, a machine with no network waits half a minute to be told so."""
    if constants.HF_HUB_OFFLINE:
        return False
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # the proxy resolves names for us
    address = urlsplit(constants.ENDPOINT)
    try:
        socket.getaddrinfo(address.hostname, address.port or address.scheme)
    except OSError:
        return False
    return True


def _folder_revision(path: Path) -> str:
    """A hash over the config and every weight file of a local folder."""
    digest = hashlib.sha256()
    for file in sorted(path.glob("*")):
        if file.name == "config.json" or file.suffix in (".safetensors", ".bin"):
            digest.update(f"{file.name}\0{sha256(file)}\n".encode())
    return f"sha256:{digest.hexdigest()}"
