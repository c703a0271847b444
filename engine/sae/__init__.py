"""Sparse autoencoders: one architecture per file, one contract (``SparseAutoencoder``) for all of them."""

from engine.sae.base import SAEConfig, SAEOutput, SparseAutoencoder
from engine.sae.batchtopk import BatchTopKConfig, BatchTopKSAE
from engine.sae.cross_relu import CrossReLUConfig, CrossReLUSAE
from engine.sae.gated import GatedConfig, GatedSAE
from engine.sae.jumprelu import JumpReLUConfig, JumpReLUSAE
from engine.sae.matryoshka import MatryoshkaConfig, MatryoshkaSAE
from engine.sae.mlp_sparsemax import MLPSparsemaxConfig, MLPSparsemaxSAE
from engine.sae.registry import ARCHITECTURES, build_sae, parse_config
from engine.sae.relu import ReLUConfig, ReLUSAE
from engine.sae.sparsemax import SparsemaxConfig, SparsemaxSAE
from engine.sae.storage import load_sae, save_sae
from engine.sae.topk import TopKConfig, TopKSAE
from kernels.codes import SparseCodes

__all__ = [
    "ARCHITECTURES",
    "BatchTopKConfig",
    "BatchTopKSAE",
    "CrossReLUConfig",
    "CrossReLUSAE",
    "GatedConfig",
    "GatedSAE",
    "JumpReLUConfig",
    "JumpReLUSAE",
    "MLPSparsemaxConfig",
    "MLPSparsemaxSAE",
    "MatryoshkaConfig",
    "MatryoshkaSAE",
    "ReLUConfig",
    "ReLUSAE",
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
    "save_sae",
]
