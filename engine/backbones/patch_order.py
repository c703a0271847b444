"""A rehearsal of a vision backbone: equal runs are equal, and every patch of the picture stands at its own position."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from engine.backbones.blocks import find_blocks, first_tensor
from engine.errors import InputError


@torch.inference_mode()
def check_patches(
    tower: nn.Module, block: nn.Module, n_layers: int, size: tuple[int, int], grid: tuple[int, int], name: str
) -> None:
    """Refuse a model whose activations cannot be laid over a picture, from a picture of noise and three changed ones.

    Two runs on one picture must give the same residual stream before the first block and after ``block``, to rounding (a
    GPU's sums may differ in the last bits). One patch's pixels must change the input of the first block at that patch's
    position: at least half as much as where they change it most, for convolutions that overlap reach the neighbours too.

    Parameters
    ----------
    block : Module
        The block that is listened to, of ``n_layers``.
    size, grid : (int, int)
        Height and width of the input in pixels, and of the patches.

    Raises
    ------
    InputError
        If two equal runs differ, or patches stand at other positions.
    """
    first = find_blocks(tower, n_layers)[0]
    device = next(tower.parameters()).device
    rows, columns = grid
    high, wide = size[0] // rows, size[1] // columns
    noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
    stream = _input_of(first, tower, noise)
    if not _alike(stream, _input_of(first, tower, noise)) or not _alike(
        _output_of(block, tower, noise), _output_of(block, tower, noise)
    ):
        raise InputError(
            f"{name} gives other activations each time it sees the same picture (it shuffles or masks patches at random, as "
            "ViTMAE does), so its activations cannot be laid over a picture."
        )
    prefix = stream.shape[1] - rows * columns
    if prefix < 0:
        return  # patches are merged before the first block: the embedding cannot tell where they stand
    for patch in sorted({1 % (rows * columns), rows * columns // 2, rows * columns - 1}):
        row, column = divmod(patch, columns)
        changed = noise.clone()
        changed[:, :, row * high : (row + 1) * high, column * wide : (column + 1) * wide] *= -1
        moved = (_input_of(first, tower, changed) - stream)[0, prefix:].norm(dim=-1)
        if float(moved[patch]) < 0.5 * float(moved.max()) or float(moved.max()) == 0:
            raise InputError(
                f"{name} does not keep the patches of a picture in their order (patch {patch} changes position "
                f"{int(moved.argmax())}), so its activations cannot be laid over a picture."
            )


class _Heard(Exception):
    """What was wanted of a pass is there: the rest of the model need not run."""


def _input_of(module: nn.Module, tower: nn.Module, pixels: Tensor) -> Tensor:
    """The stream [1, tokens, d] that reaches a block."""

    def hear(_module: nn.Module, args: Any, kwargs: Any) -> None:
        raise _Heard(args[0] if args else next(iter(kwargs.values())))

    return _until_heard(module.register_forward_pre_hook(hear, with_kwargs=True), tower, pixels)


def _output_of(module: nn.Module, tower: nn.Module, pixels: Tensor) -> Tensor:
    """The stream [1, tokens, d] that leaves a block."""

    def hear(_module: nn.Module, _inputs: Any, output: Any) -> None:
        raise _Heard(first_tensor(output))

    return _until_heard(module.register_forward_hook(hear), tower, pixels)


def _until_heard(handle: RemovableHandle, tower: nn.Module, pixels: Tensor) -> Tensor:
    try:
        tower(pixels)
    except _Heard as heard:
        stream: Tensor = heard.args[0]
        return stream
    finally:
        handle.remove()
    raise AssertionError("the block that was probed before did not run")


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(one.abs().max()))
