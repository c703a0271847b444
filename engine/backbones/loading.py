"""``load_backbone``: from a name to a backbone with one layer listened to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from engine.backbones import checkpoints
from engine.backbones.backbone import Backbone
from engine.backbones.blocks import find_blocks, listening, site_module
from engine.backbones.language.backbone import LanguageBackbone
from engine.backbones.language.loading import is_language_model, load_language_backbone
from engine.backbones.preprocessing import Preprocessor, load_preprocessor
from engine.backbones.spec import SITES, TOKENS, BackboneSpec, check_choice, layer_index
from engine.device import pick_device
from engine.errors import InputError
from engine.progress import Progress
from kernels.products import quicken


@overload
def load_backbone(
    model: str,
    layer: int = -2,
    site: str = "residual",
    tokens: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    *,
    modality: Literal["image"] = "image",
) -> Backbone: ...


@overload
def load_backbone(
    model: str,
    layer: int = -2,
    site: str = "residual",
    tokens: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    *,
    modality: Literal["text"],
    context: int | None = None,
) -> LanguageBackbone: ...


def load_backbone(
    model: str,
    layer: int = -2,
    site: str = "residual",
    tokens: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    *,
    modality: str = "image",
    context: int | None = None,
) -> Backbone | LanguageBackbone:
    """Load a vision transformer or a causal language model and listen to one of its layers.

    Parameters
    ----------
    model : str
        Hub id, local folder, or an embedded name such as ``clip-vit-b16`` or ``smollm2-135m``. Of a model with a text tower
        (CLIP, SigLIP) only the vision tower is loaded.
    layer : int
        Block: 0 is the first, -1 the last.
    site : "residual", "mlp" or "attention"
        The residual stream after the block, or what the block's MLP or attention adds to it.
    tokens : str, optional
        Positions to keep: "all" (the default), "cls" or "patches" of a picture; "text" (the default) or "all" of a text,
        where "all" adds the beginning-of-text position.
    device : str
        ``"auto"`` (CUDA when there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
    progress : Progress, optional
        Told about the download when an embedded model has to be fetched first.
    modality : "image" or "text"
        Whether a vision transformer or a language model is wanted.
    context : int, optional
        Tokens of a chunk of text, see :mod:`engine.backbones.language.packing`.

    Raises
    ------
    InputError
        If the model is unknown, is not what is wanted, or has no such layer, site or token.
    AtomscopeError
        If the hub or the package index cannot be reached.
    """
    check_choice("site", site, SITES)
    target = pick_device(device)
    if modality == "text":
        with checkpoints.quiet():
            source = checkpoints.find_checkpoint(model, progress, "language model")
            config = checkpoints.load_config(source)
            if not is_language_model(config):
                raise InputError(
                    f"{model} ({config.model_type}) is not a causal language model: name one that is, such as smollm2-135m."
                )
            return load_language_backbone(source, config, layer, site, tokens or "text", context, target)
    tokens = tokens or "all"
    check_choice("tokens", tokens, TOKENS)
    with checkpoints.quiet():
        source = checkpoints.find_checkpoint(model, progress, "image tower")
        config = checkpoints.load_config(source)
        vision = checkpoints.vision_config(config, model)
        n_layers = int(vision.num_hidden_layers)
        index = layer_index(layer, n_layers, model)
        try:
            preprocessor = load_preprocessor(
                source.location, vision.model_type, getattr(vision, "image_size", None), source.offline
            )
        except ValueError as error:
            raise InputError(f"{model} cannot be used: {error}.") from error
        tower, pooled = checkpoints.load_tower(source, config)

    blocks = find_blocks(tower, n_layers)
    listened = site_module(blocks[index], site) if blocks else None
    if listened is None:
        raise InputError(f"{model} ({config.model_type}) is not built of blocks with an attention and an MLP each.")
    tower = tower.to(target)
    if target.type == "cpu":
        quicken(tower)
    grid = _grid(preprocessor.size, vision.patch_size)
    residual, output = _rehearse(tower, blocks[index], site, preprocessor, target, model)
    prefix = residual.shape[1] - grid[0] * grid[1]
    if prefix < 0:
        raise InputError(f"{model} does not keep one token a patch, so its activations cannot be laid over a picture.")
    embed, embedding = _embedding(output, pooled, prefix)
    positions, kept_grid, kept_prefix = _positions(tokens, grid, prefix, model)
    spec = BackboneSpec(
        name=model,
        revision=checkpoints.revision_of(source, config),
        architecture=type(tower).__name__,
        layer=layer,
        layer_index=index,
        n_layers=n_layers,
        site=site,
        tokens=tokens,
        d_model=residual.shape[2],
        embedding_dim=embed(output).shape[1],
        embedding=embedding,
        grid=kept_grid,
        prefix=kept_prefix,
        image_size=list(preprocessor.size),
        preprocessing=preprocessor.to_dict(),
        note=source.note,
    )
    return Backbone(tower, listened, positions, embed, preprocessor, spec, target)


def _grid(size: tuple[int, int], patch: Any) -> tuple[int, int]:
    height, width = (patch, patch) if isinstance(patch, int) else patch
    return size[0] // height, size[1] // width


@torch.inference_mode()
def _rehearse(
    tower: nn.Module, block: nn.Module, site: str, preprocessor: Preprocessor, device: torch.device, name: str
) -> tuple[Tensor, Any]:
    """Run one grey picture: gives the shapes, and proves that the site is what it is said to be.

    Returns the block's residual stream [1, tokens, d] and the model's output.
    """
    pixels = torch.zeros(1, 3, *preprocessor.size, device=device)
    parts = [module for module in (site_module(block, "attention"), site_module(block, "mlp")) if module is not None]
    before: list[Tensor] = []
    handle = block.register_forward_pre_hook(
        lambda _module, args, kwargs: before.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    try:
        with listening(block, *parts) as heard:
            output = tower(pixels)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"{name} cannot run on {preprocessor.size[1]} x {preprocessor.size[0]} pixels: {error}"
        ) from error
    finally:
        handle.remove()
    after = heard[0]
    if after is None or after.ndim != 3:
        raise InputError(f"{name} does not keep its residual stream as [pictures, tokens, width].")
    if site != "residual":
        added = sum(part for part in heard[1:] if part is not None)
        # Pre-norm blocks add their two sub-layers to the stream. Float32 sums in another order differ by rounding only.
        if not torch.allclose(before[0] + added, after, rtol=1e-4, atol=1e-4 * float(after.abs().max())):
            raise InputError(
                f"In {name} the {site} output does not add up to the residual stream (it is not a pre-norm transformer); "
                "use --site residual."
            )
    return after, output


def _embedding(output: Any, pooled: bool, prefix: int) -> tuple[Callable[[Any], Tensor], str]:
    """How to read the image embedding [B, e] from the model's output, and what to call it."""
    if getattr(output, "image_embeds", None) is not None:
        return lambda out: out.image_embeds, "projected output"
    if pooled and getattr(output, "pooler_output", None) is not None:
        return lambda out: out.pooler_output, "pooled output"
    if prefix > 0:
        return lambda out: out.last_hidden_state[:, 0], "CLS token"
    return lambda out: out.last_hidden_state.mean(dim=1), "mean patch"


def _positions(tokens: str, grid: tuple[int, int], prefix: int, name: str) -> tuple[slice, list[int], int]:
    """Which positions to keep, and the grid and prefix of what is kept."""
    if tokens == "all":
        return slice(None), list(grid), prefix
    if tokens == "patches":
        return slice(prefix, None), list(grid), 0
    if prefix == 0:
        raise InputError(f"{name} has no CLS token; use --tokens patches.")
    return slice(0, 1), [0, 0], 1
