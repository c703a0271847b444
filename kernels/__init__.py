"""Exact sparsemax support, CSR codes, sparse decode and their gradients.

This package stays light on import. ``transformers`` probes for a package named ``kernels`` (Hugging Face's) when it is
imported and finds this one; so nothing here imports torch or triton before a function is called, and there is no
``__version__``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernels.attention import sparse_attention as sparse_attention
    from kernels.attention import sparse_attention_with_threshold as sparse_attention_with_threshold
    from kernels.audit import audit_supports as audit_supports
    from kernels.audit import support_counts as support_counts
    from kernels.codes import SparseCodes as SparseCodes
    from kernels.decode import sparse_decode as sparse_decode
    from kernels.products import linear as linear
    from kernels.products import use_fast_linear as use_fast_linear
    from kernels.rows import Support as Support
    from kernels.sparsemax import sparsemax_codes as sparsemax_codes
    from kernels.support import sparsemax_support as sparsemax_support
    from kernels.threshold import threshold_attention as threshold_attention
    from kernels.topk import batch_topk_attention as batch_topk_attention
    from kernels.topk import batch_topk_codes as batch_topk_codes
    from kernels.topk import topk_attention as topk_attention
    from kernels.topk import topk_codes as topk_codes

_HOMES = {
    "SparseCodes": "kernels.codes",
    "Support": "kernels.rows",
    "audit_supports": "kernels.audit",
    "batch_topk_attention": "kernels.topk",
    "batch_topk_codes": "kernels.topk",
    "linear": "kernels.products",
    "use_fast_linear": "kernels.products",
    "sparse_attention": "kernels.attention",
    "sparse_attention_with_threshold": "kernels.attention",
    "sparse_decode": "kernels.decode",
    "sparsemax_codes": "kernels.sparsemax",
    "sparsemax_support": "kernels.support",
    "support_counts": "kernels.audit",
    "threshold_attention": "kernels.threshold",
    "topk_attention": "kernels.topk",
    "topk_codes": "kernels.topk",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'kernels' has no attribute {name!r}")
    return getattr(import_module(home), name)
