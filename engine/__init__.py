"""Everything that computes: corpora, backbones, activations, sparse autoencoders, metrics and the concept atlas."""

from pathlib import Path

from engine._kernels_guard import guard_kernels

guard_kernels(Path(__file__).resolve().parent.parent)
