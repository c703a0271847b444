"""Visual enhancement: what a model has seen is shown to it again where its layers are in doubt (RetLLM, arXiv 2602.22278)."""

from engine.retrieval.fine.enhancement.architecture import fault
from engine.retrieval.fine.enhancement.lens import LayerLens

__all__ = ["LayerLens", "fault"]
