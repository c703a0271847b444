"""One SAE in training whose dictionary is split over processes, each of which holds a part of the atoms and of Adam's state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.distributed import ALONE, Group
from engine.distributed.split import BY_ATOM, Split, check_splittable, divide, own_rows, undivided, whole
from engine.sae import SparseAutoencoder
from engine.training.config import TrainConfig
from engine.training.entrant import Entrant
from engine.training.trainee import Trainee


@dataclass
class SplitTrainee(Trainee):
    """A ``Trainee`` whose checkpoints and finished SAE are those of one process: they hold all atoms."""

    group: Group = ALONE
    betas: tuple[float, float] = (0.9, 0.999)

    @classmethod
    def split(
        cls, name: str, entrant: Entrant, options: TrainConfig, device: torch.device, group: Group
    ) -> SplitTrainee:
        """A fresh SAE with all its atoms; ``settle`` divides it once it is initialised or restored."""
        check_splittable(entrant.config, group)
        seed = options.seed if entrant.seed is None else entrant.seed
        sae = undivided(entrant.config, torch.Generator().manual_seed(seed), group).to(device).train()
        optimiser = torch.optim.Adam(sae.parameters(), lr=options.lr, betas=options.betas, fused=True)
        factor = 1.0 if entrant.lr is None else entrant.lr / options.lr
        return cls(
            name, sae, optimiser, seed, factor, bf16=options.precision == "bf16", group=group, betas=options.betas
        )

    def settle(self) -> None:
        kept = {name: self.optimiser.state.get(parameter, {}) for name, parameter in self.sae.named_parameters()}
        divide(self._split)
        parameters = dict(self.sae.named_parameters())
        groups = [{"params": [each], "factor": self.sae.rates.get(name, 1.0)} for name, each in parameters.items()]
        self.optimiser = torch.optim.Adam(groups, lr=1.0, betas=self.betas, fused=True)
        for name, state in kept.items():
            if state:
                moments = {
                    key: own_rows(value, self.group) if name in BY_ATOM and value.ndim else value
                    for key, value in state.items()
                }
                self.optimiser.state[parameters[name]] = moments
        if self._sums is not None and not self.group.first:
            self._sums[2] = 0.0  # the first process has the active entries of all

    def step(self, x: Tensor, lr: float, grad_clip: float, group: Group = ALONE) -> None:
        """One step on all of ``x``: every process sees the same tokens."""
        super().step(x, lr, grad_clip)

    def record(self, step: int, tokens: int, lr: float, speed: float, dead_window: int) -> dict[str, float]:
        assert self._sums is not None
        self._sums[2] = self.group.sum(self._sums[2])
        row = super().record(step, tokens, lr, speed, dead_window)
        row["dead"] = float(self.group.sum(torch.tensor(row["dead"], device=self._device))) / self.group.size
        return row

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, values = super().state()
        for name, tensor in tensors.items():
            if name.rpartition(".")[2] in BY_ATOM and tensor.ndim:
                tensors[name] = torch.cat(self.group.gathered(tensor.to(self._device))).cpu()
        if "sums" in tensors:
            tensors["sums"][2] = self.group.sum(tensors["sums"][2].to(self._device)).cpu()
        return tensors, values

    def whole(self) -> SparseAutoencoder:
        return whole(self._split)

    def _clip(self, grad_clip: float) -> None:
        """As for one process: the length is that of the gradient of all atoms."""
        squares = {True: torch.zeros((), device=self._device), False: torch.zeros((), device=self._device)}
        parameters = dict(self.sae.named_parameters())
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                squares[name in BY_ATOM] += parameter.grad.square().sum()
        length = (self.group.sum(squares[True]) + squares[False]).sqrt()
        torch.nn.utils.clip_grads_with_norm_(parameters.values(), grad_clip, length)

    @property
    def _split(self) -> Split:
        assert self.sae.__class__.__mro__[1].__name__.startswith("_Split")
        return self.sae  # type: ignore[return-value]

    @property
    def _device(self) -> torch.device:
        return self.sae.atoms.device
