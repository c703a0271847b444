"""One SAE in training: its parameters, its optimiser and its log.

``Trainee`` is trained by one process. What several processes do differently is a subclass, see ``engine.training.parallel``:
how they part a batch, how the model runs, how gradients come together, and how the SAE is gathered.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from engine.distributed import ALONE, Group
from engine.errors import AtomscopeError
from engine.files import without_nan
from engine.sae import SAEOutput, SparseAutoencoder, SparseCodes, build_sae
from engine.sae.batch import WHOLE_BATCH, BatchStatistics
from engine.training.config import TrainConfig
from engine.training.train_spec import TrainSpec


class RowSums(NamedTuple):
    """What the next row of the log is made of, summed over the steps since the last one and over the processes."""

    steps: float
    tokens: float
    active: float
    """Active entries of all tokens."""
    loss: float
    squared_error: float
    variance: float


@dataclass
class Trainee:
    """One SAE in training, by one process.

    Attributes
    ----------
    name : str
        Folder name inside the run and word in progress notes.
    seed : int
        Of its initialisation.
    lr_factor : float
        Its learning rate in units of the shared one.
    log : list of dict
        Rows of ``training.parquet``.
    seconds : float
        Time spent in its steps. On a GPU, whose work is only queued by a step, this is not the time it takes.
    bf16 : bool
        Whether matrix products take factors of 16 bits.
    group : Group
        The processes that train it together.
    """

    name: str
    sae: SparseAutoencoder
    optimiser: torch.optim.Adam
    seed: int = 0
    lr_factor: float = 1.0
    seconds: float = 0.0
    bf16: bool = False
    group: Group = ALONE
    log: list[dict[str, float]] = field(default_factory=list)
    _sums: Tensor | None = None
    """``RowSums`` as float64 [6], on the device: no synchronisation inside a step."""

    @classmethod
    def make(cls, name: str, spec: TrainSpec, options: TrainConfig, device: torch.device, group: Group = ALONE) -> Self:
        """A fresh SAE on ``device`` with its own Adam."""
        seed = options.seed if spec.seed is None else spec.seed
        sae = build_sae(spec.config, seed).to(device).train()
        return cls(
            name,
            sae,
            adam(sae, options.betas),
            seed,
            1.0 if spec.lr is None else spec.lr / options.lr,
            bf16=options.precision == "bf16",
            group=group,
        )

    def step(self, x: Tensor, lr: float, grad_clip: float) -> None:
        """One step of gradient descent on the tokens ``x`` [N, d] of a batch."""
        began = time.perf_counter()
        for settings in self.optimiser.param_groups:
            settings["lr"] = lr * settings.get("factor", 1.0)
        own, batch = self._part(x)
        try:
            with torch.autocast(x.device.type, torch.bfloat16, self.bf16):
                output = self._forward(own, batch)
        except ValueError as error:  # the kernels refuse scores that are not finite
            raise self._diverged(str(error)) from error
        loss = torch.stack(list(output.losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        self._backward(loss, batch)
        self.sae.before_step()
        if grad_clip:
            self._clip(grad_clip)
        self.optimiser.step()
        self.sae.after_step()
        if (changed := self.sae.resample(x)) is not None:
            self._forget(changed)
        with torch.no_grad():
            squared = (output.x_hat - own).square().sum()
            variance = (x - x.mean(0)).square().sum() * batch.share
            count = torch.tensor([batch.share, len(own), self._active(output.codes)], device=x.device)
            floats = torch.stack([loss.detach() * batch.share, squared, variance])
            sums = batch.total(torch.cat([count, floats]).double())
            self._sums = sums if self._sums is None else self._sums + sums
        self.seconds += time.perf_counter() - began

    @property
    def sums(self) -> RowSums:
        """What the next row of the log is made of, so far; at least one step must have been made since the last row."""
        assert self._sums is not None, "no step was made since the last row"
        return RowSums(*self._sums.tolist())

    def record(self, step: int, tokens: int, lr: float, speed: float, dead_window: int) -> dict[str, float]:
        """Close the row of the log that covers the steps since the last one, and return it.

        Raises
        ------
        AtomscopeError
            If the loss is no longer a number.
        """
        sums, self._sums = self.sums, None
        if not math.isfinite(sums.loss):
            raise self._diverged(f"the loss is {sums.loss} at step {step}.")
        silent = self._gathered(self.sae.tokens_since_fired) >= min(dead_window, tokens)
        row = {
            "step": step,
            "tokens": tokens,
            "loss": sums.loss / sums.steps,
            "nmse": sums.squared_error / sums.variance if sums.variance > 0 else math.nan,
            "l0": sums.active / sums.tokens,
            "dead": float(silent.float().mean().item()),
            "lr": lr,
            "tokens_per_second": speed,
            "seconds": self.seconds,
            "validation_nmse": math.nan,
            "validation_l0": math.nan,
        }
        self.log.append(row)
        return row

    def settle(self) -> None:
        """Called once, when the SAE is initialised or restored and before its first step."""

    def whole(self) -> SparseAutoencoder:
        """The finished SAE with all its atoms. Every process of a group calls it."""
        return self.sae

    def note(self) -> str:
        """The last row of the log as a short live note."""
        if not self.log:
            return ""
        row = self.log[-1]
        return f"{self.name}: loss {row['loss']:.4g} NMSE {row['nmse']:.4f} L0 {row['l0']:.1f} dead {row['dead']:.1%}"

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that training on needs: tensors, and JSON-ready values."""
        tensors = {f"sae.{name}": tensor for name, tensor in named_tensors(self.sae).items()}
        for name, parameter in self.sae.named_parameters():
            for key, value in self.optimiser.state[parameter].items():
                tensors[f"adam.{key}.{name}"] = value
        if self._sums is not None:
            tensors["sums"] = self._sums
        # Copies: safetensors refuses tensors that share memory, and the CPU ones go on changing.
        return {name: self._gathered(tensor.detach()).cpu().clone() for name, tensor in tensors.items()}, {
            "log": without_nan(self.log),
            "seconds": self.seconds,
        }

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Take up the state that ``state`` gave."""
        for name, tensor in named_tensors(self.sae).items():
            tensor.copy_(tensors[f"sae.{name}"])
        for name, parameter in self.sae.named_parameters():
            keys = [key for key in tensors if key.startswith("adam.") and key.split(".", 2)[2] == name]
            self.optimiser.state[parameter] = {key.split(".", 2)[1]: tensors[key].to(parameter.device) for key in keys}
        self._sums = tensors["sums"].to(next(self.sae.parameters()).device) if "sums" in tensors else None
        self.seconds = values["seconds"]
        self.log = [{key: math.nan if value is None else value for key, value in row.items()} for row in values["log"]]

    def _forget(self, atoms: Tensor) -> None:
        """Reset what Adam knows about the rows of ``atoms`` in every parameter that has a row an atom."""
        for parameter in self.sae.parameters():
            if parameter.ndim and len(parameter) == self.sae.config.n_atoms:
                for key in ("exp_avg", "exp_avg_sq"):
                    self.optimiser.state[parameter][key][atoms] = 0.0

    # -- what several processes do differently ------------------------------------------------------------------------

    def _part(self, x: Tensor) -> tuple[Tensor, BatchStatistics]:
        """This process's tokens of the batch ``x``, and what it must know of the others."""
        return x, WHOLE_BATCH

    def _forward(self, x: Tensor, batch: BatchStatistics) -> SAEOutput:
        output: SAEOutput = self.sae(x, batch)
        return output

    def _backward(self, loss: Tensor, batch: BatchStatistics) -> None:
        """Leave the gradient of the whole batch in the parameters."""
        loss.backward()

    def _clip(self, grad_clip: float) -> None:
        torch.nn.utils.clip_grad_norm_(self.sae.parameters(), grad_clip)

    def _active(self, codes: SparseCodes) -> int:
        """Active entries of this process's tokens, over all atoms."""
        return codes.nnz

    def _gathered(self, tensor: Tensor) -> Tensor:
        """``tensor`` with the rows of all atoms. Every process calls it."""
        return tensor

    # -----------------------------------------------------------------------------------------------------------------

    def _diverged(self, sign: str) -> AtomscopeError:
        return AtomscopeError(f"Training {self.name} diverged: {sign} Train again with a lower --lr.")


def named_tensors(sae: SparseAutoencoder) -> dict[str, Tensor]:
    """Parameters and all buffers by name, the unsaved ones too: what training counts must survive a restart."""
    return dict(sae.named_parameters()) | dict(sae.named_buffers())


def adam(sae: SparseAutoencoder, betas: tuple[float, float]) -> torch.optim.Adam:
    """Adam over the parameters of ``sae``, each with the multiple of the learning rate that it learns at; see ``step``."""
    named = sae.named_parameters()
    groups = [{"params": [parameter], "factor": sae.rates.get(name, 1.0)} for name, parameter in named]
    return torch.optim.Adam(groups, lr=1.0, betas=betas, fused=True)
