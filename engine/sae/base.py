"""The contract every sparse autoencoder keeps, and what all of them share: input normalisation and losses.

Shapes: N tokens, M atoms, d the width of the activations. ``x`` is always the raw activation [N, d] as the model made it;
``u`` is the same vector after the SAE's own input normalisation, which is the identity unless the config asks for another.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.sae.batch import WHOLE_BATCH, BatchStatistics
from kernels.codes import SparseCodes

Normalisation = Literal["none", "centre", "standardise"]
Loss = Literal["published", "nmse"]

# Below this length a token is treated as zero: float32 cannot give its direction.
TINY = 1e-12


def option(*values: str, default: str) -> Any:
    """A config field that takes one of ``values``."""
    return field(default=default, metadata={"values": values})


@dataclass(frozen=True, kw_only=True)
class SAEConfig:
    """The config every SAE is built from. The same config and seed give the same SAE."""

    architecture: ClassVar[str]
    """Name in the registry, written to ``config.json``."""

    d_model: int
    """d, the width of the activations."""

    n_atoms: int
    """M, the size of the dictionary."""

    normalise: Normalisation = option("none", "centre", "standardise", default="none")
    """Input normalisation, measured once on training tokens and stored in buffers: ``none`` feeds x as it is; ``centre``
    feeds (x - mean) / s with one scalar s that makes the mean squared norm d; ``standardise`` divides every
    dimension by its own standard deviation."""

    loss: Loss = option("published", "nmse", default="published")
    """Reconstruction loss, see ``reconstruction_loss``."""

    def __post_init__(self) -> None:
        for name in ("d_model", "n_atoms"):
            self.require(
                isinstance(getattr(self, name), int) and getattr(self, name) >= 1, f"{name} must be at least 1"
            )
        for entry in fields(self):
            values = entry.metadata.get("values")
            if values and getattr(self, entry.name) not in values:
                raise InputError(
                    f"{self.architecture}: {entry.name} must be one of {', '.join(values)}, "
                    f"not {getattr(self, entry.name)!r}."
                )

    def require(self, condition: bool, sentence: str) -> None:
        """Raise an ``InputError`` that names this architecture unless ``condition`` holds."""
        if not condition:
            raise InputError(f"{self.architecture}: {sentence}.")

    def to_dict(self) -> dict[str, Any]:
        """The config as JSON-ready values, ``architecture`` first."""
        return {"architecture": self.architecture} | {entry.name: getattr(self, entry.name) for entry in fields(self)}


class SAEOutput(NamedTuple):
    """The result of one forward pass."""

    x_hat: Tensor
    """Reconstruction of the raw activation, float32 [N, d]."""
    codes: SparseCodes
    """Codes of the N tokens."""
    losses: dict[str, Tensor]
    """Scalar terms by name; the training loss is their sum."""


class SparseAutoencoder(nn.Module):
    """One sparse autoencoder.

    Subclasses define ``_codes``, ``_decode``, ``scores`` and ``directions``, and may override ``norm``, ``initialise``,
    ``before_step``, ``after_step`` and ``resample``. They hold a parameter ``atoms`` [M, d].

    Attributes
    ----------
    input_mean, input_scale : float32 [d]
        u = (x - input_mean) / input_scale. Zeros and ones, and not saved, when ``config.normalise`` is ``"none"``.
    tokens_since_fired : int64 [M]
        Training tokens seen since each atom last fired; not part of the saved SAE.
    """

    rates: ClassVar[dict[str, float]] = {}
    """Parameters that learn at a multiple of the learning rate, by name."""

    atoms: nn.Parameter
    input_mean: Tensor
    input_scale: Tensor
    tokens_since_fired: Tensor

    def __init__(self, config: SAEConfig) -> None:
        super().__init__()
        self.config = config
        stored = config.normalise != "none"
        self.register_buffer("input_mean", torch.zeros(config.d_model), persistent=stored)
        self.register_buffer("input_scale", torch.ones(config.d_model), persistent=stored)
        self.register_buffer("tokens_since_fired", torch.zeros(config.n_atoms, dtype=torch.int64), persistent=False)

    # -- the contract -------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor) -> SparseCodes:
        """Codes of raw activations ``x`` [N, d].

        Raises
        ------
        InputError
            If ``x`` is not [N, d_model].
        """
        return self._codes(self._normalise(x))

    def encode_with_threshold(self, x: Tensor) -> tuple[SparseCodes, Tensor | None]:
        """Codes and each token's threshold tau, float32 [N]; None when the architecture has no threshold."""
        return self.encode(x), None

    def scores(self, x: Tensor) -> Tensor:
        """Dense [N, M]: the scores by which the atoms of a token are chosen, the largest first; gated atoms at -inf.

        The pre-activations, or how far they lie above the threshold where every atom has its own. For a few tokens: this
        is the N x M matrix.
        """
        raise NotImplementedError

    def decode(self, codes: SparseCodes, norm: Tensor | None = None) -> Tensor:
        """Reconstruction [N, d] of raw activations. ``norm`` is what ``self.norm(x)`` gave, where it gives something."""
        return self._decode(codes, norm) * self.input_scale + self.input_mean

    def norm(self, x: Tensor) -> Tensor | None:
        """The lengths [N] that ``decode`` wants beside the codes, or None where codes alone suffice."""
        return None

    def directions(self) -> Tensor:
        """Decoder direction of every atom in the space of x, float32 [M, d], not normalised, without gradient."""
        raise NotImplementedError

    def forward(self, x: Tensor, batch: BatchStatistics = WHOLE_BATCH) -> SAEOutput:
        """Encode, decode and score the reconstruction; in training mode also count which atoms fired.

        ``batch`` knows the rest of the batch, where ``x`` is a part of it.
        """
        u = self._normalise(x)
        codes, u_hat, further = self._pass(u, batch)
        losses = {"reconstruction": reconstruction_loss(u, u_hat, self.config.loss, batch)} | further
        return SAEOutput(u_hat * self.input_scale + self.input_mean, codes, losses)

    # -- training hooks -----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def initialise(self, sample: Tensor, generator: torch.Generator) -> None:
        """Measure the input normalisation on ``sample`` (training tokens, [n, d]) and set the parameters to start from."""
        if self.config.normalise == "none":
            return
        centred = sample.double() - sample.double().mean(0)
        if self.config.normalise == "centre":
            scale = centred.square().sum(1).mean().div(self.config.d_model).sqrt().expand(self.config.d_model)
        else:
            scale = centred.square().mean(0).sqrt()
        self.input_mean.copy_(sample.double().mean(0))
        self.input_scale.copy_(scale.clamp_min(TINY))

    def before_step(self) -> None:
        """Called between backward and the optimiser's step."""

    def after_step(self) -> None:
        """Called after the optimiser's step."""

    def resample(self, x: Tensor) -> Tensor | None:
        """Called after every step with its tokens: atoms given new directions, int64 [n], or None. Adam forgets them."""
        return None

    # -- for subclasses -----------------------------------------------------------------------------------------------

    def _codes(self, u: Tensor) -> SparseCodes:
        raise NotImplementedError

    def _decode(self, codes: SparseCodes, norm: Tensor | None) -> Tensor:
        raise NotImplementedError

    def _norm(self, u: Tensor) -> Tensor | None:
        return None

    def _pass(self, u: Tensor, batch: BatchStatistics) -> tuple[SparseCodes, Tensor, dict[str, Tensor]]:
        """Codes, reconstruction and further loss terms; overridden where training does more than evaluation."""
        codes = self._codes(u)
        u_hat = self._decode(codes, self._norm(u))
        self._count(codes, batch)
        return codes, u_hat, self._further_losses(u, codes, u_hat, batch)

    def _further_losses(
        self, u: Tensor, codes: SparseCodes, u_hat: Tensor, batch: BatchStatistics
    ) -> dict[str, Tensor]:
        return {}

    def _normalise(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[1] != self.config.d_model:
            raise InputError(
                f"This SAE reads activations of width {self.config.d_model}, but these have shape {tuple(x.shape)}: "
                "use activations of the model and layer it was trained on."
            )
        return x if self.config.normalise == "none" else (x - self.input_mean) / self.input_scale

    @torch.no_grad()
    def _count(self, codes: SparseCodes, batch: BatchStatistics) -> None:
        if self.training:
            fired = torch.zeros_like(self.tokens_since_fired).index_fill_(0, codes.col.long(), 1)
            self.tokens_since_fired += batch.tokens(len(codes))
            self.tokens_since_fired.masked_fill_(batch.total(fired) > 0, 0)


def reconstruction_loss(u: Tensor, u_hat: Tensor, kind: Loss, batch: BatchStatistics = WHOLE_BATCH) -> Tensor:
    """Scalar reconstruction loss of u_hat [N, d] against u [N, d], which may be a part of ``batch``.

    ``published``: the mean over all elements of 10 (u_hat - u)^2 / ||u||_2, as in the code of arXiv 2604.14925.
    ``nmse``: sum ||u - u_hat||^2 / sum ||u - mean||^2 over the batch, the fraction of variance left unexplained.
    """
    error = (u_hat - u).square()
    if kind == "published":
        return 10 * (error.mean(1) / u.norm(dim=1).clamp_min(TINY)).mean()
    return error.sum() / (batch.share * batch.variance(u)).clamp_min(TINY)


def token_weights(u: Tensor, kind: Loss, batch: BatchStatistics = WHOLE_BATCH) -> Tensor:
    """Weights w [N] with which ``reconstruction_loss`` is the sum over tokens of w ||u_hat - u||^2."""
    if kind == "published":
        return 10 / (u.numel() * u.norm(dim=1).clamp_min(TINY))
    return (1 / (batch.share * batch.variance(u)).clamp_min(TINY)).expand(len(u))
