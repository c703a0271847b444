"""One SAE in training: its parameters, its optimiser and its log."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from engine.distributed import ALONE, Group, shared_batch
from engine.errors import AtomscopeError
from engine.sae import SparseAutoencoder, build_sae
from engine.training.config import TrainConfig
from engine.training.entrant import Entrant


@dataclass
class Trainee:
    """One SAE in training.

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
    """

    name: str
    sae: SparseAutoencoder
    optimiser: torch.optim.Adam
    seed: int = 0
    lr_factor: float = 1.0
    seconds: float = 0.0
    bf16: bool = False
    log: list[dict[str, float]] = field(default_factory=list)
    _sums: Tensor | None = None

    @classmethod
    def make(cls, name: str, entrant: Entrant, options: TrainConfig, device: torch.device) -> Trainee:
        """A fresh SAE on ``device`` with its own Adam."""
        seed = options.seed if entrant.seed is None else entrant.seed
        sae = build_sae(entrant.config, seed).to(device).train()
        groups = [
            {"params": [parameter], "factor": sae.rates.get(name, 1.0)} for name, parameter in sae.named_parameters()
        ]
        optimiser = torch.optim.Adam(groups, lr=options.lr, betas=options.betas, fused=True)
        return cls(
            name,
            sae,
            optimiser,
            seed,
            1.0 if entrant.lr is None else entrant.lr / options.lr,
            bf16=options.precision == "bf16",
        )

    def step(self, x: Tensor, lr: float, grad_clip: float, group: Group = ALONE) -> None:
        """One step of gradient descent on the tokens ``x`` [N, d], of which this process of ``group`` computes its share."""
        began = time.perf_counter()
        for settings in self.optimiser.param_groups:
            settings["lr"] = lr * settings.get("factor", 1.0)
        own = group.tokens(x)
        try:
            with (
                shared_batch(group, len(own), len(x)) as share,
                torch.autocast(x.device.type, torch.bfloat16, self.bf16),
            ):
                output = self.sae(own)
        except ValueError as error:  # the kernels refuse scores that are not finite
            raise self._diverged(str(error)) from error
        loss = torch.stack(list(output.losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        group.add_gradients(self.sae.parameters(), share)
        self.sae.before_step()
        if grad_clip:
            self._clip(grad_clip)
        self.optimiser.step()
        self.sae.after_step()
        if (changed := self.sae.resample(x)) is not None:
            self._forget(changed)
        with torch.no_grad():  # sums stay on the device until the log wants them: no synchronisation inside a step
            squared = (output.x_hat - own).square().sum()
            variance = (x - x.mean(0)).square().sum() * share
            count = torch.tensor([share, len(own), output.codes.nnz], device=x.device)
            sums = group.sum(torch.cat([count, torch.stack([loss.detach() * share, squared, variance])]).double())
            self._sums = sums if self._sums is None else self._sums + sums
        self.seconds += time.perf_counter() - began

    def record(self, step: int, tokens: int, lr: float, speed: float, dead_window: int) -> dict[str, float]:
        """Close the row of the log that covers the steps since the last one, and return it.

        Raises
        ------
        AtomscopeError
            If the loss is no longer a number.
        """
        assert self._sums is not None
        steps, seen, active, loss, error, variance = self._sums.tolist()
        self._sums = None
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss} at step {step}.")
        row = {
            "step": step,
            "tokens": tokens,
            "loss": loss / steps,
            "nmse": error / variance if variance > 0 else math.nan,
            "l0": active / seen,
            "dead": float((self.sae.tokens_since_fired >= min(dead_window, tokens)).float().mean().item()),
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
        tensors = {f"sae.{name}": tensor for name, tensor in self._tensors().items()}
        for name, parameter in self.sae.named_parameters():
            for key, value in self.optimiser.state[parameter].items():
                tensors[f"adam.{key}.{name}"] = value
        if self._sums is not None:
            tensors["sums"] = self._sums
        # Copies: safetensors refuses tensors that share memory, and the CPU ones go on changing.
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, {
            "log": _plain(self.log),
            "seconds": self.seconds,
        }

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Take up the state that ``state`` gave."""
        for name, tensor in self._tensors().items():
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

    def _clip(self, grad_clip: float) -> None:
        torch.nn.utils.clip_grad_norm_(self.sae.parameters(), grad_clip)

    def _diverged(self, sign: str) -> AtomscopeError:
        return AtomscopeError(f"Training {self.name} diverged: {sign} Train again with a lower --lr.")

    def _tensors(self) -> dict[str, Tensor]:
        """Parameters and all buffers, the unsaved ones too: a gate's count must survive a restart."""
        return dict(self.sae.named_parameters()) | dict(self.sae.named_buffers())


def _plain(log: list[dict[str, float]]) -> list[dict[str, float | None]]:
    """Rows with None for NaN, which JSON does not know."""
    return [{key: None if math.isnan(value) else value for key, value in row.items()} for row in log]
