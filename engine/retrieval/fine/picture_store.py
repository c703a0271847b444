"""Pictures a model has read, on disk: what ``atomscope prepare`` leaves for later searches.

One safetensors file per picture, under the picture's key, in a folder that belongs to one model with one preprocessing and one
arithmetic: the numbers are exactly those the vision tower would give again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.files import atomic_path
from engine.paths import cache_dir

if TYPE_CHECKING:
    from engine.retrieval.fine.model import Mllm
    from engine.retrieval.fine.picture import PreparedPicture

_BLOCK = "block"
_JOINT = "/"


class PictureStore:
    """Vision outputs of one model.

    Parameters
    ----------
    folder : Path
        Need not exist: it is made with the first picture.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, mllm: Mllm) -> PictureStore:
        """The store of ``mllm`` in the cache; its name covers all that decides a vision output."""
        settings = getattr(mllm.processor, "image_processor", None)
        identity = {name: mllm.identity[name] for name in ("revision", "architecture", "dtype")}
        if not identity["revision"]:
            identity["name"] = mllm.identity["name"]
        identity["preprocessing"] = settings.to_json_string() if settings is not None else ""
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
        return cls(cache_dir() / "retrieval" / "pictures" / key)

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def get(self, key: str, device: Any = "cpu") -> tuple[str, dict[str, Tensor], dict[str, Any]] | None:
        """Block, inputs and vision output of the picture under ``key``; None if it is not there or cannot be read."""
        try:
            with safe_open(self._path(key), "pt", device=str(device)) as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                block = (file.metadata() or {})[_BLOCK]
        except (OSError, SafetensorError, KeyError):
            return None  # a broken file costs one reading of the picture, no search
        inputs, encoded = _nested(tensors, "inputs"), _nested(tensors, "encoded")
        return (block, inputs, encoded) if encoded else None

    def put(self, picture: PreparedPicture) -> int:
        """Keep a picture that has been read; returns the bytes it takes."""
        assert picture.key and picture.encoded is not None
        tensors = _flat(picture.inputs, "inputs") | _flat(picture.encoded, "encoded")
        path = self._path(picture.key)
        with atomic_path(path) as temporary:
            save_file(
                {name: value.cpu().contiguous() for name, value in tensors.items()}, temporary, {_BLOCK: picture.block}
            )
        return path.stat().st_size

    def _path(self, key: str) -> Path:
        # Keys hold what callers put together; a file's name holds letters and digits.
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"


def _flat(value: Any, name: str) -> dict[str, Tensor]:
    """Tensors of nested dicts and lists under names that say the way to them."""
    if isinstance(value, Tensor):
        return {name: value}
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    return {path: tensor for key, part in parts for path, tensor in _flat(part, f"{name}{_JOINT}{key}").items()}


def _nested(tensors: dict[str, Tensor], name: str) -> Any:
    """The inverse of :func:`_flat`: a level whose names are all numbers was a list. {} if there is nothing."""
    if name in tensors:
        return tensors[name]
    start = f"{name}{_JOINT}"
    keys = dict.fromkeys(path[len(start) :].split(_JOINT)[0] for path in tensors if path.startswith(start))
    if keys and all(key.isdigit() for key in keys):
        return [_nested(tensors, start + key) for key in sorted(keys, key=int)]
    return {key: _nested(tensors, start + key) for key in keys}
