"""The exact identity of a backbone: enough to tell where an activation came from and to load the same model again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from engine.errors import InputError

Site = Literal["residual", "mlp", "attention"]
Tokens = Literal["all", "cls", "patches"]
TextTokens = Literal["text", "all"]

SITES: tuple[str, ...] = get_args(Site)
TOKENS: tuple[str, ...] = get_args(Tokens)
TEXT_TOKENS: tuple[str, ...] = get_args(TextTokens)


@dataclass(frozen=True)
class BackboneSpec:
    """Identity of a backbone and geometry of its activations.

    Attributes
    ----------
    name, revision, architecture : str
        What was asked for, which bytes that was, and the ``transformers`` class.
    layer, layer_index, n_layers : int
        The block as asked (-1 is the last), its index counted from 0, and how many blocks there are.
    site : "residual", "mlp" or "attention"
        Residual stream after the block, or what its MLP or attention adds to that stream (after LayerScale, if any).
    tokens : "all", "cls" or "patches"
        Which positions are kept.
    d_model, embedding_dim : int
        Width of an activation and of an image embedding.
    embedding : str
        What the embedding is: the model's projected or pooled output, its CLS token, or the mean patch.
    grid : [rows, columns]
        Patches of a picture; [0, 0] when none is kept.
    prefix : int
        Kept positions before the first patch: CLS, then registers.
    image_size : [height, width]
        Pixels the model sees.
    preprocessing : dict
        The steps from picture to pixels.
    dtype : str
        Arithmetic of the forward pass.
    note : str
        What to know before trusting it; empty when there is nothing.
    """

    name: str
    revision: str
    architecture: str
    layer: int
    layer_index: int
    n_layers: int
    site: str
    tokens: str
    d_model: int
    embedding_dim: int
    embedding: str
    grid: list[int]
    prefix: int
    image_size: list[int]
    preprocessing: dict[str, Any]
    dtype: str = "float32"
    note: str = ""

    @property
    def n_positions(self) -> int:
        """Activations kept for a picture, P."""
        return self.prefix + self.grid[0] * self.grid[1]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict: the ``backbone`` entry of stores and atlases."""
        return asdict(self)


@dataclass(frozen=True)
class LanguageSpec(BackboneSpec):
    """Identity of a language model and geometry of its activations: ``grid`` and ``image_size`` are [0, 0], ``prefix``
    counts the positions kept before the text, ``tokens`` is "text" or "all", and ``preprocessing`` says how texts become
    chunks (``context`` tokens each).

    Attributes
    ----------
    modality : str
        ``"text"``: what tells its record from that of a vision model.
    """

    modality: str = "text"

    @property
    def context(self) -> int:
        """Tokens of a chunk, without the lead."""
        return int(self.preprocessing["context"])

    @property
    def n_positions(self) -> int:
        """Activations kept for a chunk, P."""
        return self.prefix + self.context


def layer_index(layer: int, n_layers: int, name: str) -> int:
    """Turn ``layer`` into a block index counted from 0; -1 is the last block.

    Raises
    ------
    InputError
        If the model has no such block.
    """
    if not -n_layers <= layer < n_layers:
        raise InputError(
            f"{name} has no layer {layer}: it has {n_layers} blocks, so a layer is 0 to {n_layers - 1} or -1 (the last) "
            f"to -{n_layers}."
        )
    return layer % n_layers


def check_choice(kind: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a ``value`` that is none of ``choices`` with one sentence."""
    if value not in choices:
        raise InputError(f"Unknown {kind} {value!r}; choose one of: {', '.join(choices)}.")
