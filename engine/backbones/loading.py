"""``load_backbone``: from a name to a backbone with one layer listened to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor

from engine.backbones import checkpoints
from engine.backbones.backbone import Backbone
from engine.backbones.blocks import listened_block, probe_block
from engine.backbones.language.backbone import LanguageBackbone
from engine.backbones.language.loading import is_language_model, load_language_backbone
from engine.backbones.patch_order import check_patches
from engine.backbones.preprocessing import load_preprocessor
from engine.backbones.quiet import quiet
from engine.backbones.spec import SITES, TOKENS, BackboneSpec, check_choice, layer_index
from engine.device import pick_device
from engine.errors import InputError
from engine.progress import Progress, SilentProgress
from kernels.products import use_fast_linear


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
    revision: str = "",
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
    revision: str = "",
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
    revision: str = "",
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
    revision : str
        Commit of the hub to load, of a hub id; the newest by default.

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
        with quiet():
            source = checkpoints.find_checkpoint(model, progress, "language model", revision)
            config = checkpoints.load_config(source)
            if not is_language_model(config):
                raise InputError(
                    f"{model} ({config.model_type}) is not a causal language model: name one that is, such as smollm2-135m."
                )
            return load_language_backbone(source, config, layer, site, tokens or "text", context, target)
    tokens = tokens or "all"
    check_choice("tokens", tokens, TOKENS)
    with quiet():
        source = checkpoints.find_checkpoint(model, progress, "image tower", revision)
        config = checkpoints.load_config(source)
        vision = checkpoints.vision_config(config, model)
        n_layers = int(vision.num_hidden_layers)
        index = layer_index(layer, n_layers, model)
        preprocessor = load_preprocessor(source, vision)
        tower, pooled = checkpoints.load_tower(source, config)

    block, listened = listened_block(tower, n_layers, index, site, f"{model} ({config.model_type})")
    tower = tower.to(target)
    if target.type == "cpu":
        use_fast_linear(tower)
    grid = _grid(preprocessor.size, vision.patch_size)
    grey = torch.zeros(1, 3, *preprocessor.size, device=target)
    pixels = f"{preprocessor.size[1]} x {preprocessor.size[0]} pixels"
    residual, output = probe_block(block, site, lambda: tower(grey), model, pixels, "pictures")
    prefix = residual.shape[1] - grid[0] * grid[1]
    if prefix < 0:
        raise InputError(f"{model} does not keep one token a patch, so its activations cannot be laid over a picture.")
    check_patches(tower, block, n_layers, preprocessor.size, grid, model)
    embed, embedding = _embedding(output, pooled, prefix)
    positions, kept_grid, kept_prefix = _positions(tokens, grid, prefix, model)
    spec = BackboneSpec(
        name=model,
        revision=checkpoints.revision_of(source),
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


def load_backbone_of(
    spec: BackboneSpec | Mapping[str, Any],
    made: str | Path,
    device: str = "auto",
    progress: Progress | None = None,
    strict: bool = False,
) -> Backbone | LanguageBackbone:
    """Load the backbone that a store or an atlas records: the same model, layer, site, positions and length of chunks.

    Of a hub model the recorded commit is loaded. Where the weights are others all the same (a folder whose files were
    replaced, a newer Atomscope's embedded model), ``progress`` is warned, or with ``strict`` the work refused.

    Parameters
    ----------
    spec : BackboneSpec or mapping
        The ``backbone`` entry of ``atlas.json`` or of a store's manifest.
    made : str or Path
        The store or atlas, for that sentence.

    Raises
    ------
    InputError
        If the record is no backbone's, or as ``load_backbone`` says, or with ``strict`` if the weights are others.
    AtomscopeError
        If the hub or the package index cannot be reached.
    """
    record = spec.to_dict() if isinstance(spec, BackboneSpec) else spec
    try:
        name, layer, site, tokens = (
            str(record["name"]),
            int(record["layer"]),
            str(record["site"]),
            str(record["tokens"]),
        )
        revision, is_text = str(record.get("revision", "")), record.get("modality") == "text"
        context = int(record["preprocessing"]["context"]) if is_text else None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{made} does not say which model it was made with ({type(error).__name__}: {error})."
        ) from None
    backbone: Backbone | LanguageBackbone
    if is_text:
        backbone = load_backbone(
            name, layer, site, tokens, device, progress, modality="text", context=context, revision=revision
        )
    else:
        backbone = load_backbone(name, layer, site, tokens, device, progress, revision=revision)
    if revision and backbone.spec.revision != revision:
        fault = f"he weights of {name} are not those {made} was made with"
        if strict:
            raise InputError(f"T{fault}.")
        (progress or SilentProgress()).warn(f"t{fault}; the figures may differ")
    return backbone


def _grid(size: tuple[int, int], patch: Any) -> tuple[int, int]:
    height, width = (patch, patch) if isinstance(patch, int) else patch
    return size[0] // height, size[1] // width


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
