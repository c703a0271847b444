"""Training: several SAEs on one pass over stored activations."""

from engine.training.config import TrainConfig
from engine.training.loop import train

__all__ = ["TrainConfig", "train"]
