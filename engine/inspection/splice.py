"""Running a vision model with the activations of one layer replaced.

Nothing is ever hooked into or changed on the shared model. A splice works on a *twin*: a model object that shares every
weight with the original and differs in the one module that is replaced. So threads do not see each other's splices, and a
forward pass that fails leaves nothing behind.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from engine.backbones import Backbone
from engine.backbones.blocks import find_blocks, first_tensor

Replace = Callable[[Tensor], Tensor]


def copy_sharing_weights(model: nn.Module, *modules: nn.Module) -> tuple[nn.Module, list[nn.Module]]:
    """A model that shares all weights with ``model`` but has copies of ``modules`` and of what contains them.

    Hooks and ``forward`` may be set on the copies without the original noticing. The copies start without forward hooks.

    Returns
    -------
    (Module, list of Module)
        The twin, and its copies of ``modules`` in their order.

    Raises
    ------
    ValueError
        If one of ``modules`` is not inside ``model``.
    """
    copies: dict[int, nn.Module] = {}
    names = {id(module): name for name, module in model.named_modules()}
    root = copies[id(model)] = _shallow(model)
    for module in modules:
        if id(module) not in names:
            raise ValueError(f"{type(module).__name__} is not a part of this {type(model).__name__}")
        original, parent = model, root
        for name in filter(None, names[id(module)].split(".")):
            original = original._modules[name]  # type: ignore[assignment]
            if id(original) not in copies:
                copies[id(original)] = _shallow(original)
            parent._modules[name] = copies[id(original)]
            parent = copies[id(original)]
    return root, [copies[id(module)] for module in modules]


def run_spliced(backbone: Backbone, pixels: Tensor, replace: Replace) -> Tensor:
    """Image embeddings when the backbone's layer puts out something else.

    The whole tower runs on ``pixels``; at the layer (block, or its attention or MLP output) the activations of the kept
    positions [B, P, d] go through ``replace``, the other positions stay as they are, and the rest of the tower sees the
    result. ``replace = lambda x: x`` changes nothing.

    Parameters
    ----------
    pixels : [B, 3, H, W]
        As :meth:`Backbone.preprocess` gives them.
    replace : callable
        [B, P, d] -> [B, P, d].

    Returns
    -------
    float32 [B, e]
        Unit rows.
    """
    model, (layer,) = copy_sharing_weights(backbone.model, backbone.listened)

    def splice(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        whole = first_tensor(output).clone()
        kept = whole[:, backbone.positions]
        whole[:, backbone.positions] = replace(kept.float()).to(kept.dtype)
        return (whole, *output[1:]) if isinstance(output, tuple) else whole

    layer.register_forward_hook(splice)
    with torch.no_grad():
        return backbone.embeddings_of(model(pixels.to(backbone.device)))


class RestOfModel:
    """The blocks after the backbone's layer and the head: from activations of that layer straight to image embeddings.

    The model's own ``forward`` runs, on blank pixels; the blocks before the layer hand their input through untouched and the
    layer's block puts out the given activations. So only the patch embedding is wasted, and the rest is the model's code.

    Raises
    ------
    ValueError
        If the activations do not determine the rest of the pass: the site is not the residual stream, some positions were not
        kept, or this architecture carries something else from block to block. The last is found out by comparing a full
        pass over a random picture with the tail's.
    """

    TOLERANCE = 1e-4
    """Largest difference of an entry of the unit embedding between the full pass and the tail's."""

    def __init__(self, backbone: Backbone) -> None:
        spec = backbone.spec
        if spec.site != "residual":
            raise ValueError(f"the {spec.site} output alone does not determine the residual stream")
        self._backbone = backbone
        blocks = find_blocks(backbone.model, spec.n_layers)[: spec.layer_index + 1]
        model, (*before, last) = copy_sharing_weights(backbone.model, *blocks)
        for block in before:
            block.forward = _hand_through
        # A twin for each call, so that threads can run side by side; this one is the pattern.
        self._model, self._last = model, last
        self._blank = torch.zeros(1, 3, *spec.image_size, device=backbone.device)
        self._check()

    def __call__(self, activations: Tensor) -> Tensor:
        """Image embeddings, float32 [B, e], unit rows, of ``activations`` [B, P, d].

        When all items of the batch are alike, as after a zero ablation, one is run for all.
        """
        activations = activations.to(self._backbone.device)
        if len(activations) > 1 and bool((activations == activations[:1]).all()):
            return self(activations[:1]).expand(len(activations), -1)
        model, (last,) = copy_sharing_weights(self._model, self._last)
        last.forward = lambda *_args, **_kwargs: activations
        with torch.no_grad():
            return self._backbone.embeddings_of(model(self._blank.expand(len(activations), -1, -1, -1)))

    def _check(self) -> None:
        backbone = self._backbone
        picture = torch.randn(1, *self._blank.shape[1:], generator=torch.Generator().manual_seed(0))
        heard: list[Tensor] = []
        model, (layer,) = copy_sharing_weights(backbone.model, backbone.listened)
        layer.register_forward_hook(lambda _module, _inputs, output: heard.append(first_tensor(output)))
        with torch.no_grad():
            embeddings = backbone.embeddings_of(model(picture.to(backbone.device)))
        if heard[0][:, backbone.positions].shape != heard[0].shape:
            raise ValueError("some positions of the layer are not kept, and the blocks after it read them all")
        try:
            difference = (self(heard[0]) - embeddings).abs().max().item()
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ValueError(f"this architecture does not run from a block in the middle: {error}") from error
        if not difference <= self.TOLERANCE:
            raise ValueError(
                f"more than the residual stream goes from block to block (embeddings differ by {difference:.1e})"
            )


def _hand_through(hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    return hidden_states


def _shallow(module: nn.Module) -> nn.Module:
    """A copy that shares parameters, buffers and children but not the dictionaries that hold them, and has no hooks."""
    twin: nn.Module = copy.copy(module)
    twin.__dict__ = {
        name: copy.copy(value) if isinstance(value, dict) else value for name, value in vars(module).items()
    }
    twin._forward_hooks.clear()
    return twin
