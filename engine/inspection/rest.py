"""The rest of a model after the layer whose activations are stored: from activations to image embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import InputError
from engine.inspection.splice import RestOfModel, run_spliced

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.backbones import Backbone
    from engine.corpus import Corpus

Rest = Callable[[NDArray[np.int64], Tensor], Tensor]
"""(item rows of a store [B], their activations [B, P, d]) -> unit image embeddings [B, e]."""


def rest_of_model(backbone: Backbone, store: ActivationStore, corpus: Callable[[], Corpus]) -> tuple[Rest, str]:
    """The rest of ``backbone`` after the layer that ``store`` keeps, and in words how it is run.

    Where the stored activations determine the rest (the whole residual stream), only the blocks after the layer run. Else
    the whole tower runs on the pictures, which ``corpus`` opens, with the kept positions replaced.

    Raises
    ------
    InputError
        If the backbone is not the one of the store.
    """
    spec, recorded = backbone.spec.to_dict(), store.backbone
    for key in ("layer_index", "site", "tokens", "d_model", "image_size", "embedding_dim"):
        if spec[key] != recorded.get(key):
            raise InputError(
                f"The activations of {store.path} come from a model with {key} {recorded.get(key)}, and {spec['name']} has "
                f"{spec[key]}."
            )
    try:
        tail = RestOfModel(backbone)
    except ValueError as reason:
        return _on_pictures(backbone, store, corpus()), f"the whole tower on the pictures ({reason})"
    return lambda _rows, x: tail(x), "the blocks after the layer, on the stored activations"


def _on_pictures(backbone: Backbone, store: ActivationStore, corpus: Corpus) -> Rest:
    places: Any = store.items["corpus_index"].to_numpy()

    def rest(rows: NDArray[np.int64], x: Tensor) -> Tensor:
        pictures = torch.cat([backbone.preprocess([corpus.load(int(places[row]))]) for row in rows])
        return run_spliced(backbone, pictures, lambda _kept: x.to(backbone.device))

    return rest
