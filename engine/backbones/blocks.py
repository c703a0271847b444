"""Finding the blocks of a transformer and listening to them with forward hooks. No model source is patched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import InputError

# What a block calls its sub-layers in the architectures of ``transformers``. Where a LayerScale follows, its output is
# what reaches the residual stream, so it comes first. A block with a bare ``fc2`` (OPT) has its MLP's layers as its own.
_CHILDREN = {
    "attention": ("layer_scale1", "self_attn", "self_attention", "attention", "attn"),
    "mlp": ("layer_scale2", "mlp", "ffn", "feed_forward", "fc2"),
}


def find_blocks(model: nn.Module, n_layers: int) -> list[nn.Module]:
    """The transformer blocks of ``model``, first to last; empty when it has no plain stack of ``n_layers`` blocks.

    Of several stacks of modules of one class, the first is taken whose modules have an attention and an MLP by a known
    name, else the first with an attention, else the first whose modules are no stages (stacks of blocks themselves).
    """
    stacks = [
        list(module)
        for module in model.modules()
        if isinstance(module, nn.ModuleList) and len(module) == n_layers and len({type(block) for block in module}) == 1
    ]
    ranked = (
        [blocks for blocks in stacks if _child(blocks[0], "attention") and _child(blocks[0], "mlp")],
        [blocks for blocks in stacks if _child(blocks[0], "attention")],
        [blocks for blocks in stacks if not any(isinstance(child, nn.ModuleList) for child in blocks[0].children())],
    )
    return next((found[0] for found in ranked if found), [])


def listened_block(model: nn.Module, n_layers: int, index: int, site: str, title: str) -> tuple[nn.Module, nn.Module]:
    """Block ``index`` of ``model`` and the module whose output is ``site`` of it; ``title`` names the model in the error.

    Raises
    ------
    InputError
        If the model is not built of equal blocks, or they have no such site.
    """
    blocks = find_blocks(model, n_layers)
    if not blocks:
        raise InputError(f"{title} is not built of a stack of {n_layers} equal blocks.")
    listened = site_module(blocks[index], site)
    if listened is None:
        raise InputError(f"The blocks of {title} have no {site} that Atomscope knows; use --site residual.")
    return blocks[index], listened


def site_module(block: nn.Module, site: str) -> nn.Module | None:
    """The module whose output is ``site`` of ``block``: the block itself for the residual stream; None if it has none."""
    return block if site == "residual" else _child(block, site)


def _child(block: nn.Module, site: str) -> nn.Module | None:
    return next((getattr(block, name) for name in _CHILDREN[site] if _is_module(block, name)), None)


def _is_module(block: nn.Module, name: str) -> bool:
    return isinstance(getattr(block, name, None), nn.Module)


def first_tensor(output: Any) -> Tensor:
    """A module's output without what some modules return beside it, such as attention weights."""
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


class Listener:
    """Keeps what a module put out, for each thread apart: batches may run side by side. It listens for good."""

    def __init__(self, module: nn.Module) -> None:
        self._heard = threading.local()
        module.register_forward_hook(self._hear)

    def take(self) -> Tensor:
        """What the module put out in this thread's last forward pass; it is given once."""
        tensor: Tensor = self._heard.__dict__.pop("output")
        return tensor

    def _hear(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        self._heard.output = first_tensor(output)


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


@torch.inference_mode()
def probe_block(
    block: nn.Module, site: str, run: Callable[[], Any], name: str, inputs: str, rows: str
) -> tuple[Tensor, Any]:
    """Run a model once, to learn its shapes and to check that the site adds to the residual stream as expected.

    Parameters
    ----------
    run : callable
        Runs the whole model ``name`` and returns its output.
    inputs, rows : str
        What it is run on ("224 x 224 pixels") and what a row of a batch is ("pictures"), for the error sentences.

    Returns
    -------
    (Tensor, Any)
        The block's residual stream [rows, tokens, d] and the model's output.

    Raises
    ------
    InputError
        If the model does not run on such inputs, keeps no residual stream of that shape, or adds something else to it.
    """
    parts: list[Any] = [part for part in (site_module(block, kind) for kind in _CHILDREN) if part is not None]
    before: list[Any] = []
    handle = block.register_forward_pre_hook(
        lambda _module, args, kwargs: before.append(args[0] if args else kwargs.get("hidden_states")), with_kwargs=True
    )
    try:
        with listening(block, *parts) as heard:
            output = run()
    except (RuntimeError, ValueError, IndexError) as error:
        raise InputError(f"{name} cannot run on {inputs}: {error}") from error
    finally:
        handle.remove()
    after = heard[0]
    if after is None or after.ndim != 3:
        raise InputError(f"{name} does not keep its residual stream as [{rows}, tokens, width].")
    if site != "residual":
        summands = [*before, *heard[1:]]
        fits = all(isinstance(one, Tensor) and one.numel() == after.numel() for one in summands)
        # Pre-norm blocks add their two sub-layers to the stream. Float32 sums in another order differ by rounding only.
        added = sum(one.reshape(after.shape) for one in summands) if fits else None
        if added is None or not torch.allclose(added, after, rtol=1e-4, atol=1e-4 * float(after.abs().max())):
            raise InputError(
                f"In {name} the {site} output does not add up to the residual stream (it is not a pre-norm transformer, or "
                "adds the stream inside that module); use --site residual."
            )
        listened = heard[1 + parts.index(site_module(block, site))]
        if listened is None or listened.shape != after.shape:  # OPT's MLP sees all tokens of a batch as one long row
            raise InputError(
                f"In {name} the {site} does not keep its tokens as [{rows}, tokens, width]; use --site residual."
            )
    return after, output
