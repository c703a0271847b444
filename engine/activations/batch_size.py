"""How many pictures or chunks of text fit into memory at a time."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.backbones import Backbone, LanguageBackbone

# On a CPU a larger batch is not faster, once the cores are busy; on a GPU it is.
_CPU_LARGEST, _GPU_LARGEST = 16, 256
# Width-sized arrays alive at once for a token in a block (stream, norm, q, k, v, attention output, 4 x MLP twice, copies).
_ARRAYS = 16
_SHARE = 0.5


def fit_batch_size(backbone: Backbone | LanguageBackbone) -> int:
    """The largest power of two that fits: measured on a GPU, estimated from free memory on a CPU."""
    if backbone.device.type == "cuda":
        return _measured(backbone)
    spec = backbone.spec
    rows, columns = spec.grid
    tokens = max(spec.n_positions, rows * columns + spec.prefix)
    per_image = 4 * (tokens * spec.d_model * _ARRAYS + 3 * spec.image_size[0] * spec.image_size[1])
    available = available_memory()
    size = _CPU_LARGEST
    while available is not None and size > 1 and size * per_image > _SHARE * available:
        size //= 2
    return size


def _measured(backbone: Backbone | LanguageBackbone) -> int:
    """Halve until a forward pass fits, then halve once more: other programs share the GPU."""
    size = _GPU_LARGEST
    while size > 1:
        try:
            backbone.run(backbone.blank(size))
            break
        except torch.OutOfMemoryError:
            size //= 2
    torch.cuda.empty_cache()
    return size if size == _GPU_LARGEST else max(size // 2, 1)


def available_memory() -> int | None:
    """Bytes the system would give without swapping, or None where it does not say."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
