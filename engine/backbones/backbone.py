"""A frozen vision model with one layer listened to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from engine.backbones.blocks import Listener
from engine.backbones.preprocessing import Preprocessor
from engine.backbones.spec import BackboneSpec

if TYPE_CHECKING:
    from engine.corpus import Corpus


class BackboneOutput(NamedTuple):
    """What one forward pass yields.

    Attributes
    ----------
    activations : float32 [B, P, d]
        Activations of the chosen layer and site at the kept positions.
    embeddings : float32 [B, e]
        Image embeddings: the model's projected or pooled output, scaled to length 1.
    """

    activations: Tensor
    embeddings: Tensor


class Backbone:
    """Turns pictures into activations of one layer. Made by :func:`engine.backbones.load_backbone`.

    Attributes
    ----------
    spec : BackboneSpec
        What it is, for the record.
    model, listened : Module
        The frozen vision tower, and the module in it whose output the activations are.
    positions : slice
        The kept positions of that output.
    device : torch.device
        Where it runs.
    """

    noun = "images"

    def __init__(
        self,
        model: nn.Module,
        listened: nn.Module,
        positions: slice,
        embed: Callable[[Any], Tensor],
        preprocessor: Preprocessor,
        spec: BackboneSpec,
        device: torch.device,
    ) -> None:
        self.spec = spec
        self.device = device
        self.model = model
        self.listened = listened
        self.positions = positions
        self._embed = embed
        self._preprocessor = preprocessor
        self._listener = Listener(listened)

    def prepare(self, corpus: Corpus) -> Corpus:
        """The corpus in the form this backbone reads: as it is."""
        return corpus

    def read(self, corpus: Corpus, item: int) -> Tensor:
        """Input of one picture, float32 [1, 3, H, W]. Raises ``UnreadableItem`` if it cannot be read."""
        return self.preprocess([corpus.load(item)])

    def blank(self, count: int) -> Tensor:
        """An input of ``count`` pictures, to measure memory with."""
        return torch.zeros(count, 3, *self.spec.image_size)

    def preprocess(self, images: Sequence[Image.Image]) -> Tensor:
        """Normalised pixels, float32 [B, 3, H, W] on the CPU, of RGB pictures of any size."""
        return self._preprocessor.pixels(images)

    def view(self, image: Image.Image) -> Image.Image:
        """The picture as the model sees it (resized, cropped, not normalised): a patch heat map lies on it exactly."""
        return self._preprocessor.view(image)

    @torch.no_grad()
    def run(self, pixels: Tensor) -> BackboneOutput:
        """Activations and embeddings of ``pixels`` [B, 3, H, W], on this backbone's device.

        Several threads may call it at the same time.
        """
        pixels = pixels.to(self.device, non_blocking=True)
        output = self.model(pixels)
        activations = self._listener.take()
        return BackboneOutput(activations[:, self.positions].float(), self.embeddings_of(output))

    def embeddings_of(self, output: Any) -> Tensor:
        """Image embeddings, float32 [B, e], unit rows, in what ``model`` returned."""
        return nn.functional.normalize(self._embed(output).float(), dim=-1)
