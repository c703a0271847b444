"""Sparse autoencoders: one architecture a file, one contract (``SparseAutoencoder``) for all of them."""

from engine.sae.base import SAEConfig, SAEOutput, SparseAutoencoder
from engine.sae.registry import ARCHITECTURES, build_sae, load_sae, parse_config
from engine.sae.sparsemax import SparsemaxConfig, SparsemaxSAE
from engine.sae.topk import TopKConfig, TopKSAE
from kernels.codes import SparseCodes

__all__ = [
    "ARCHITECTURES",
    "SAEConfig",
    "SAEOutput",
    "SparseAutoencoder",
    "SparseCodes",
    "SparsemaxConfig",
    "SparsemaxSAE",
    "TopKConfig",
    "TopKSAE",
    "build_sae",
    "load_sae",
    "parse_config",
]
