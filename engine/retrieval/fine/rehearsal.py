"""Before a model is used: does it give the same numbers through our caches as it gives by itself?

Architectures differ in what they allow. Instead of a list of names, every model is tried once on two made-up pictures; what
does not reproduce its own logits is not used with it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.errors import InputError
from engine.retrieval.fine.picture import Picture
from engine.retrieval.fine.prompts import JUDGE
from engine.retrieval.fine.reader import Prompt, Reader

_CAPTIONS = ("a red square", "nothing of the kind, but a long sentence about two boats")
_FAILURES = (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError)


def rehearse(reader: Reader) -> list[str]:
    """Turn off what changes the model's results; returns one sentence for each thing that was turned off.

    Raises
    ------
    InputError
        If the model cannot be read in batches at all.
    """
    random = np.random.default_rng(0)
    images = [Image.fromarray(random.integers(0, 255, shape, np.uint8)) for shape in ((96, 64, 3), (64, 96, 3))]
    name = reader.mllm.identity["name"]
    try:
        wanted = torch.cat([_alone(reader, *pair) for pair in zip(images, _CAPTIONS, strict=True)])
    except _FAILURES as error:
        raise InputError(f"{name} cannot read a picture with a caption: {str(error).splitlines()[0]}") from error
    reader.clear()
    off = []
    shared = reader.images.share
    if not _agrees(reader, images, wanted, prefix=False):
        reader.images.share = False
        reader.clear()  # what is kept of the pictures holds no pixels any more
        if not shared or not _agrees(reader, images, wanted, prefix=False):
            raise InputError(
                f"{name} does not read several pictures at once as it reads one, so it cannot score a pool."
            )
        off.append(f"{name} runs its vision tower anew for every prompt: its output cannot be handed back to it.")
    # Twice: the first reading keeps keys and values, the second goes on from them.
    if not all(_agrees(reader, images, wanted, prefix=True) for _ in range(2)):
        reader.prefixes = False
        off.append(
            f"{name} reads every prompt from its start: keys and values of a common beginning change its results."
        )
    reader.clear()
    return off


def _agrees(reader: Reader, images: list[Image.Image], wanted: Tensor, prefix: bool) -> bool:
    try:
        prompts = [_prompt(reader, image, caption) for image, caption in zip(images, _CAPTIONS, strict=True)]
        if not prefix:
            prompts = [replace(prompt, stem=[]) for prompt in prompts]
        found = reader.read(prompts)[:, -1]
    except _FAILURES:
        return False
    spread = float(wanted.std())
    # Rounding only: float32 sums in another order, or the coarser steps of 16 bits.
    tolerance = 1e-3 if reader.mllm.model.dtype == torch.float32 else 0.2
    return bool(found.isfinite().all()) and float((found - wanted).abs().max()) <= tolerance * max(spread, 1e-6)


def _prompt(reader: Reader, image: Image.Image, caption: str) -> Prompt:
    picture = reader.images.get(f"rehearsal:{image.size}", lambda: image)
    return reader.prompt(f"{JUDGE} {caption}", [picture], lambda other: f"{JUDGE} {other}")


@torch.inference_mode()
def _alone(reader: Reader, image: Image.Image, caption: str) -> Tensor:
    """Next-token logits [1, vocabulary] as the model gives them by itself."""
    mllm = reader.mllm
    text = reader.prompt(f"{JUDGE} {caption}", [Picture("", mllm.image_token, {})]).text
    begun = mllm.tokenizer.bos_token
    special = not (begun and text.startswith(begun))
    inputs = mllm.processor(text=[text], images=[image], return_tensors="pt", add_special_tokens=special)
    inputs = inputs.to(mllm.device, dtype=mllm.model.dtype)
    logits: Tensor = mllm.model(**inputs, use_cache=False).logits[:, -1].float()
    return logits
