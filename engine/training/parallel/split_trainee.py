"""One SAE in training whose dictionary is split over processes, each of which holds a part of the atoms and of Adam's state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from engine.distributed import ALONE, Group
from engine.sae import SparseAutoencoder, SparseCodes
from engine.training.config import TrainConfig
from engine.training.parallel.checks import check_splittable
from engine.training.parallel.placement import from_parts, full_tensor, placed
from engine.training.parallel.split_sae import SplitSAE, split_over
from engine.training.train_spec import TrainSpec
from engine.training.trainee import Trainee, adam


@dataclass
class SplitTrainee(Trainee):
    """A ``Trainee`` whose checkpoints and finished SAE are those of one process: they hold all atoms.

    It starts with all of them; ``settle`` splits the SAE once it is initialised or restored.
    """

    @classmethod
    def make(cls, name: str, spec: TrainSpec, options: TrainConfig, device: torch.device, group: Group = ALONE) -> Self:
        check_splittable(spec.config, group)
        return super().make(name, spec, options, device, group)

    def settle(self) -> None:
        mesh = init_device_mesh(self.sae.atoms.device.type, (self.group.size,))
        known = {name: self.optimiser.state.get(parameter, {}) for name, parameter in self.sae.named_parameters()}
        self.sae = split_over(self.sae, mesh)
        self.optimiser = adam(self.sae, self.optimiser.defaults["betas"])
        for name, parameter in self.sae.named_parameters():
            if state := known[name]:
                self.optimiser.state[parameter] = {key: placed(name, value, mesh) for key, value in state.items()}

    def whole(self) -> SparseAutoencoder:
        return self._split.whole()

    def _clip(self, grad_clip: float) -> None:
        """As for one process: the length is that of the gradient of all atoms. torch takes no mixture of DTensors and others."""
        split: list[nn.Parameter] = [each for each in self.sae.parameters() if isinstance(each, DTensor)]
        alike = [each for each in self.sae.parameters() if not isinstance(each, DTensor)]
        lengths = [
            full_tensor(get_total_norm([each.grad for each in part if each.grad is not None]))
            for part in (split, alike)
        ]
        for part in (split, alike):
            clip_grads_with_norm_(part, grad_clip, torch.linalg.vector_norm(torch.stack(lengths)))

    def _active(self, codes: SparseCodes) -> int:
        return int(from_parts(torch.tensor(codes.nnz, device=codes.col.device), self._split.mesh))

    def _gathered(self, tensor: Tensor) -> Tensor:
        return full_tensor(tensor)

    @property
    def _split(self) -> SplitSAE:
        assert isinstance(self.sae, SplitSAE), "settle() comes before the first step"
        return self.sae
