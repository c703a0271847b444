"""A training of each kind on made activations: the loss falls, supports are exact, a checkpoint goes on the same."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.sae import SAEConfig, SparsemaxConfig, TopKConfig
from engine.training import TrainConfig
from engine.training.checkpoint import restore_checkpoint, save_checkpoint
from engine.training.train_spec import TrainSpec
from engine.training.trainee import Trainee
from kernels import audit_supports
from tests.device.correctness import waits
from tests.device.rows import Rows

K = 16


def run(rows: Rows, device: torch.device, small: bool) -> None:
    """Sparsemax and TopK."""
    n, m, d, steps = (256, 512, 48, 30) if small else (4096, 16384, 768, 300)
    configs: dict[str, SAEConfig] = {
        "sparsemax": SparsemaxConfig(d_model=d, n_atoms=m, scale=0.6, init="spread", normalise="standardise"),
        "topk": TopKConfig(d_model=d, n_atoms=m, k=K),
    }
    made = Activations(device, n, d)
    for name, config in configs.items():
        with rows.attempt(f"{name}, training"), tempfile.TemporaryDirectory() as work:
            train(rows, f"{name} M={m} d={d}", config, made, steps, Path(work), device)


class Activations:
    """Batches of mixtures of a few hidden directions and noise, the same for the same step."""

    def __init__(self, device: torch.device, n: int, d: int) -> None:
        self._generator = torch.Generator(device)
        self._generator.manual_seed(0)
        self._device, self.n = device, n
        self._kinds = torch.randn(200, d, device=device, generator=self._generator)

    def batch(self, step: int) -> Tensor:
        """Tokens [n, d] of one step; -1 is a sample of its own."""
        self._generator.manual_seed(step + 2)
        which = torch.randint(len(self._kinds), (self.n, 3), device=self._device, generator=self._generator)
        noise = torch.randn(self.n, self._kinds.shape[1], device=self._device, generator=self._generator)
        return self._kinds[which].sum(dim=1) + 0.3 * noise


def train(
    rows: Rows, name: str, config: SAEConfig, made: Activations, steps: int, work: Path, device: torch.device
) -> None:
    """One training, and its second half once more from the checkpoint in its middle."""
    options, half, every = TrainConfig(lr=1e-3), steps // 2, max(steps // 6, 1)
    trainee = _fresh(config, options, device)
    trainee.sae.initialise(made.batch(-1), torch.Generator().manual_seed(0))
    trainee.settle()
    sparsemax = isinstance(config, SparsemaxConfig)
    losses: list[float] = []
    quick = tokens = 0.0
    checked = uncertified = different = fallback = 0
    for first in range(0, steps, every):
        last = min(first + every, steps)
        with audit_supports(rows=64) as audit:  # the first step of every stretch
            _step(trainee, made, first, options)
        if first == 0:
            losses.append(_record(trainee, 1, made.n)["loss"])
        checked, uncertified = checked + audit.rows, uncertified + audit.uncertified
        different, fallback = different + audit.different, fallback + audit.fallback
        _wait(device)
        began = time.perf_counter()
        for step in range(first + 1, last):
            _step(trainee, made, step, options)
        _wait(device)
        quick += time.perf_counter() - began
        tokens += made.n * (last - first - 1)
        losses.append(_record(trainee, last, made.n)["loss"])
        if last == half:
            save_checkpoint(work, {"made": name}, {"step": half}, [trainee])
    if not (work / "checkpoint").exists():
        raise AssertionError(f"no stretch of {every} steps ends at step {half}")

    rows.holds(
        f"{name}: the loss falls", losses[-1] < 0.95 * losses[0], losses[-1], f"from {losses[0]:.4g}, {steps} steps"
    )
    rows.measured(f"{name}: tokens/s", round(tokens / quick), f"{made.n} tokens a step; making them is part of it")
    if sparsemax:
        right = checked > 0 and uncertified == different == 0
        what = f"{checked:,} rows: {uncertified} uncertified, {different} unlike a sort, {fallback} the longer way"
        rows.holds(f"{name}: supports certified", right, note=f"every {every} steps, {what}")
    else:
        active = trainee.log[-1]["l0"]
        rows.holds(f"{name}: winners a token", active == K, active, f"k = {K}")

    again = _fresh(config, options, device)
    position = restore_checkpoint(work, {"made": name}, [again])
    assert position == {"step": half}
    again.settle()
    for step in range(half, steps):
        _step(again, made, step, options)
        if (step + 1) % every == 0 or step + 1 == steps:
            resumed = _record(again, step + 1, made.n)["loss"]
    pairs = zip(trainee.sae.parameters(), again.sae.parameters(), strict=True)
    apart = max(float((a - b).detach().abs().max()) for a, b in pairs)
    note = f"the run without a break: {losses[-1]:.9g}; weights differ by at most {apart:.1e}"
    rows.holds(f"{name}: resumed to the same loss", resumed == losses[-1], resumed, note)
    if device.type != "cuda":
        rows.skipped(f"{name}: waits of the host in a step", "needs CUDA")
        return
    batch = made.batch(steps)
    count, places = waits(lambda: trainee.step(batch, options.lr, options.grad_clip))
    rows.measured(f"{name}: waits of the host in a step", count, f"at {places}")


def _fresh(config: SAEConfig, options: TrainConfig, device: torch.device) -> Trainee:
    return Trainee.make("check", TrainSpec(config=config), options, device)


def _step(trainee: Trainee, made: Activations, step: int, options: TrainConfig) -> None:
    trainee.step(made.batch(step), options.lr, options.grad_clip)


def _record(trainee: Trainee, step: int, n: int) -> dict[str, Any]:
    return trainee.record(step, step * n, 1e-3, 0.0, 10**9)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
