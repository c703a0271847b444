"""Finding the blocks of a vision transformer and listening to them with forward hooks. No model source is patched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

# What a block calls its sub-layers in the architectures of ``transformers``. Where a LayerScale follows, its output is
# what reaches the residual stream, so it comes first.
_CHILDREN = {"attention": ("layer_scale1", "self_attn", "attention", "attn"), "mlp": ("layer_scale2", "mlp")}


def find_blocks(model: nn.Module, n_layers: int) -> list[nn.Module]:
    """The transformer blocks of ``model``, first to last; empty when it has no plain stack of ``n_layers`` blocks."""
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            blocks = list(module)
            if len({type(block) for block in blocks}) == 1 and _child(blocks[0], "mlp", "attention"):
                return blocks
    return []


def site_module(block: nn.Module, site: str) -> nn.Module | None:
    """The module whose output is ``site`` of ``block``: the block itself for the residual stream."""
    return block if site == "residual" else _child(block, site)


def _child(block: nn.Module, *sites: str) -> nn.Module | None:
    """The block's child for the last of ``sites``; None unless it has one for each of them."""
    found: nn.Module | None = None
    for site in sites:
        found = next((getattr(block, name) for name in _CHILDREN[site] if _is_module(block, name)), None)
        if found is None:
            return None
    return found


def _is_module(block: nn.Module, name: str) -> bool:
    return isinstance(getattr(block, name, None), nn.Module)


def first_tensor(output: Any) -> Tensor:
    """A module's output without what some modules return beside it, such as attention weights."""
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


@contextmanager
def listening(*modules: nn.Module) -> Iterator[list[Tensor | None]]:
    """Collect the output of each module in a forward pass: a list in the order of ``modules``, filled as they run."""
    heard: list[Tensor | None] = [None] * len(modules)

    def listener(index: int) -> Callable[[nn.Module, Any, Any], None]:
        def hear(_module: nn.Module, _inputs: Any, output: Any) -> None:
            heard[index] = first_tensor(output)

        return hear

    handles = [module.register_forward_hook(listener(index)) for index, module in enumerate(modules)]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()
