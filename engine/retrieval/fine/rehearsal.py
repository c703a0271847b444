"""A self-test before a model is used: its outputs through our caches must equal its outputs without them.

Architectures differ in what they allow. Instead of a list of names, every model is tried once on two made-up pictures; what
does not reproduce its own logits is not used with it.

A model says no in three ways: its architecture has no place for what would be handed to it, it runs and gives other numbers,
or it raises ``NotImplementedError``. Any other exception means that the rehearsal itself broke, by a fault of ours or of the
library: the same cache is turned off, and the user is told that this was not the model's choice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.errors import InputError
from engine.retrieval.fine.picture import PreparedPicture
from engine.retrieval.fine.prompts import JUDGE
from engine.retrieval.fine.reader import Prompt, PromptReader

_CAPTIONS = ("a red square", "nothing of the kind, but a long sentence about two boats")
_FAILURES = (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError)


@dataclass
class Rehearsal:
    """What a rehearsal turned off.

    Attributes
    ----------
    refused : list of str
        What the model does not allow, a sentence each.
    broken : list of str
        What is off because trying it raised an exception, a sentence each that names the exception.
    """

    refused: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def note(self, effect: str, refusal: str, trial: str, fault: Exception) -> None:
        """Add one sentence: ``effect``, then why: ``refusal``, or that the rehearsal of ``trial`` broke with ``fault``."""
        if isinstance(fault, NotImplementedError):
            self.refused.append(f"{effect}: {refusal}.")
        else:
            self.broken.append(f"{effect}: the rehearsal of {trial} broke ({_named(fault)}), so that reuse is off.")


def rehearse(reader: PromptReader) -> Rehearsal:
    """Turn off what changes the model's results or cannot be tried; returns what was turned off.

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
        raise InputError(f"{name} cannot read a picture with a caption: {_named(error)}") from error
    reader.clear()
    done = Rehearsal()
    fault = _fault(reader, images, wanted, prefix=False) if reader.images.share else NotImplementedError()
    if fault is not None:
        reader.images.share = False
        reader.clear()  # what is kept of the pictures holds no pixels any more
        if (alone := _fault(reader, images, wanted, prefix=False)) is not None:
            why = "" if isinstance(alone, NotImplementedError) else f" ({_named(alone)})"
            raise InputError(
                f"{name} does not read several pictures at once as it reads one{why}, so it cannot score a pool."
            ) from alone
        done.note(
            f"{name} runs its vision tower anew for every prompt",
            "its output cannot be handed back to it",
            "handing its output back to it",
            fault,
        )
    # Twice: the first reading keeps keys and values, the second goes on from them.
    fault = _fault(reader, images, wanted, prefix=True) or _fault(reader, images, wanted, prefix=True)
    if fault is not None:
        reader.prefixes = False
        done.note(
            f"{name} reads every prompt from its start",
            "keys and values of a common beginning change its results",
            "keeping keys and values of a common beginning",
            fault,
        )
    reader.clear()
    return done


def _fault(reader: PromptReader, images: list[Image.Image], wanted: Tensor, prefix: bool) -> Exception | None:
    """What keeps the model from giving ``wanted`` through the caches: NotImplementedError if it says no, None if nothing."""
    try:
        prompts = [_prompt(reader, image, caption) for image, caption in zip(images, _CAPTIONS, strict=True)]
        if not prefix:
            prompts = [replace(prompt, stem=[]) for prompt in prompts]
        found = reader.read(prompts)[:, -1]
    except Exception as error:  # whatever it is, the model can still be read without this cache
        return error
    spread = float(wanted.std())
    # Rounding only: float32 sums in another order, or the coarser steps of 16 bits.
    tolerance = 1e-3 if reader.mllm.model.dtype == torch.float32 else 0.2
    same = bool(found.isfinite().all()) and float((found - wanted).abs().max()) <= tolerance * max(spread, 1e-6)
    return None if same else NotImplementedError("the numbers are others")


def _named(error: Exception) -> str:
    """An exception in one line: its type and the first line of what it says."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _prompt(reader: PromptReader, image: Image.Image, caption: str) -> Prompt:
    picture = reader.images.get(f"rehearsal:{image.size}", lambda: image)
    return reader.prompt(f"{JUDGE} {caption}", [picture], lambda other: f"{JUDGE} {other}")


@torch.inference_mode()
def _alone(reader: PromptReader, image: Image.Image, caption: str) -> Tensor:
    """Next-token logits [1, vocabulary] as the model gives them by itself."""
    mllm = reader.mllm
    text = reader.prompt(f"{JUDGE} {caption}", [PreparedPicture("", mllm.image_token, {})]).text
    begun = mllm.tokenizer.bos_token
    special = not (begun and text.startswith(begun))
    inputs = mllm.processor(text=[text], images=[image], return_tensors="pt", add_special_tokens=special)
    inputs = inputs.to(mllm.device, dtype=mllm.model.dtype)
    logits: Tensor = mllm.model(**inputs, use_cache=False).logits[:, -1].float()
    return logits
