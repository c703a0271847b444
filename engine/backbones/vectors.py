"""What models that embed have in common: unit vectors, and one sentence when a GPU has no memory left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import InputError

Vectors = NDArray[np.float32]


def unit(values: Vectors) -> Vectors:
    """Rows scaled to length 1, float32 [N, d]; a row of zeros stays one."""
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return (values / np.maximum(lengths, 1e-12)).astype(np.float32, copy=False)


def mix_vectors(image: Vectors, text: Vectors, share: float) -> Vectors:
    """Weighted sum of normalised parts [N, d], normalised again; ``share`` is the image's (published: 0.8, 0.7)."""
    return unit(share * unit(image) + (1 - share) * unit(text))


@contextmanager
def explain_out_of_memory(name: str) -> Iterator[None]:
    """Turn a GPU's lack of memory for a batch into one sentence.

    Raises
    ------
    InputError
        If the model ``name`` needs more memory than the GPU has left.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise InputError(f"The GPU has no memory left for {name}: use --device cpu, or close other programs.") from None
