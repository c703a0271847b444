"""Every architecture on the same synthetic worlds at matched sparsity: which finds the true features?

Matched sparsity: the mean L0 of the truth. Architectures with a ``k`` get it; those with a penalty steer to it
(``target_l0``); those whose ``scale`` decides, the sparsemax family, get the scale that bisection finds on the first seed.
What was reached is always in the figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from engine.errors import InputError
from engine.lab.recovery import score
from engine.lab.world import World, WorldConfig
from engine.progress import Progress, SilentProgress
from engine.sae import ARCHITECTURES, SAEConfig, SparseAutoencoder, parse_config
from engine.training import TrainConfig
from engine.training.train_spec import TrainSpec
from engine.training.trainee import Trainee
from kernels import sparse_decode

MATCHED_WITHIN = 0.2
"""L0 counts as matched when it is within this share of the truth's."""

FIGURES = ("cosine", "recovered", "f1", "fvu", "l0", "dead")
_TEST_TOKENS = 8192
_SEARCHES = 6
_CLOSE = 0.05
_NEVER_MATCHED = 1_000_003
"""Offset between the seed of a world and those of its batches, so that they share no random numbers."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """How the benchmark trains."""

    n_atoms: int = 256
    """M, the size of the dictionaries."""

    steps: int = 2000
    """Training steps."""

    batch_tokens: int = 1024
    """Fresh tokens a step; no token is seen twice."""

    lr: float = 2e-3
    """Peak learning rate of Adam, with the warm-up and decay of ``TrainConfig``."""

    def __post_init__(self) -> None:
        if min(self.n_atoms, self.steps, self.batch_tokens) < 1:
            raise InputError("synthetic benchmark: atoms, steps and batch must be at least 1.")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise InputError("synthetic benchmark: lr must be positive.")


def run(
    saes: Sequence[str],
    world: WorldConfig,
    options: BenchmarkConfig,
    seeds: Sequence[int] = (0, 1, 2),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train and score every SAE of ``saes`` on one world per seed.

    Parameters
    ----------
    saes : list of str
        ``NAME[:key=value,...]`` as on the command line; what is given there wins over the matching.

    Returns
    -------
    dict, JSON-ready
        ``world``, ``training``, ``seeds``, ``reference`` (the true dictionary and codes by the same measures), and ``saes``: for
        each its ``config``, ``seeds`` (figures of each), and ``mean``, ``low``, ``high`` over them.
    """
    progress = progress or SilentProgress()
    worlds = {seed: World(world, seed) for seed in seeds}
    settings = {name: matched_settings(name, world, options) for name in saes}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in saes}
    configs: dict[str, SAEConfig] = {}
    for name in saes:
        if needs_search(name):
            configs[name] = search_scale(name, worlds[seeds[0]], settings[name], options, seeds[0], progress)
        else:
            configs[name] = parse_config(name, world.d_model, options.n_atoms, **settings[name])
    for seed in seeds:
        trained = train(list(configs.values()), worlds[seed], options, seed, progress)
        for name, sae in zip(saes, trained, strict=True):
            found[name].append(measure(sae, worlds[seed], seed))
    return {
        "world": world.to_dict(),
        "training": {entry.name: getattr(options, entry.name) for entry in fields(options)},
        "seeds": list(seeds),
        "reference": summary([truth(worlds[seed], seed) for seed in seeds]),
        "saes": {name: {"config": configs[name].to_dict()} | summary(found[name]) for name in saes},
    }


def unmatched(document: dict[str, Any]) -> dict[str, float]:
    """Mean L0 of the SAEs of a benchmark's document that missed the truth's by more than 20%, by name."""
    wanted = document["reference"]["mean"]["l0"]
    reached = {name: float(figures["mean"]["l0"]) for name, figures in document["saes"].items()}
    return {name: l0 for name, l0 in reached.items() if abs(l0 / wanted - 1) > MATCHED_WITHIN}


def matched_settings(name: str, world: WorldConfig, options: BenchmarkConfig) -> dict[str, Any]:
    """Settings that bring an architecture to the true mean L0, for those that know them."""
    tokens = options.steps * options.batch_tokens
    # An atom that did not fire for a tenth of a short training is as good as dead.
    return {"k": max(round(world.l0), 1), "target_l0": float(world.l0), "dead_after": max(tokens // 10, 1)}


def needs_search(name: str) -> bool:
    """Whether a ``scale`` decides the sparsity of this SAE and ``name`` does not give it."""
    architecture, _, rest = name.partition(":")
    if architecture not in ARCHITECTURES:
        parse_config(name, 2, 2)  # says what is wrong
    known = {entry.name for entry in fields(ARCHITECTURES[architecture][0])}
    return "scale" in known and not known & {"k", "target_l0"} and "scale=" not in rest


def search_scale(
    name: str, world: World, settings: dict[str, Any], options: BenchmarkConfig, seed: int, progress: Progress
) -> SAEConfig:
    """The config whose whole training ends nearest the wanted L0, by bisection of the logarithm of ``scale``.

    At most six trainings, fewer when one comes within 5%.
    """
    low, high = math.log(1 / 16), math.log(64.0)
    best: tuple[float, SAEConfig] | None = None
    for _ in range(_SEARCHES):
        scale = math.exp((low + high) / 2)
        given = settings | {"scale": scale}
        config = parse_config(name, world.config.d_model, options.n_atoms, **given)
        (sae,) = train([config], world, options, seed, progress, f"scale {scale:.3g}, ")
        error = math.log(max(measure(sae, world, seed)["l0"], 1e-3) / world.config.l0)
        if best is None or abs(error) < best[0]:
            best = (abs(error), config)
        if abs(error) <= _CLOSE:
            break
        low, high = ((low + high) / 2, high) if error > 0 else (low, (low + high) / 2)
    assert best is not None
    return best[1]


def train(
    configs: list[SAEConfig], world: World, options: BenchmarkConfig, seed: int, progress: Progress, stage: str = ""
) -> list[SparseAutoencoder]:
    """Train SAEs side by side on the same fresh batches of ``world``."""
    training = TrainConfig(lr=options.lr, seed=seed, batch_tokens=options.batch_tokens)
    trainees = [
        Trainee.make(config.architecture, TrainSpec(config=config), training, torch.device("cpu")) for config in configs
    ]
    generator = torch.Generator().manual_seed(seed + _NEVER_MATCHED)
    sample = world.sample(16 * options.batch_tokens, generator)[0]
    for trainee in trainees:
        trainee.sae.initialise(sample, torch.Generator().manual_seed(seed))
    names = ", ".join(trainee.name for trainee in trainees) if len(trainees) < 3 else f"{len(trainees)} SAEs"
    progress.start(f"{stage}train {names}, seed {seed}", options.steps, "steps")
    for step in range(options.steps):
        x = world.sample(options.batch_tokens, generator)[0]
        for trainee in trainees:
            trainee.step(x, training.learning_rate(step, options.steps), training.grad_clip)
        progress.advance()
    progress.finish()
    return [trainee.sae.eval() for trainee in trainees]


@torch.no_grad()
def measure(sae: SparseAutoencoder, world: World, seed: int) -> dict[str, float]:
    """The figures of a trained SAE on fresh tokens of its world."""
    x, codes = world.sample(_TEST_TOKENS, torch.Generator().manual_seed(seed + 2 * _NEVER_MATCHED))
    found = sae.encode(x)
    return score(sae.directions(), world.dictionary, found, codes, x, sae.decode(found, sae.norm(x)))


def truth(world: World, seed: int) -> dict[str, float]:
    """The figures of the true dictionary and the true codes; their FVU is the share of noise."""
    x, codes = world.sample(_TEST_TOKENS, torch.Generator().manual_seed(seed + 2 * _NEVER_MATCHED))
    return score(world.dictionary, world.dictionary, codes, codes, x, sparse_decode(codes, world.dictionary))


def summary(figures: list[dict[str, float]]) -> dict[str, Any]:
    """Figures of every seed, their mean and their range."""
    table = {key: np.array([each[key] for each in figures]) for key in FIGURES}
    return {
        "seeds": figures,
        "mean": {key: float(values.mean()) for key, values in table.items()},
        "low": {key: float(values.min()) for key, values in table.items()},
        "high": {key: float(values.max()) for key, values in table.items()},
    }
