"""Held-out measurement of SAEs: which activations, which classifier, the table."""

from engine.evaluation.measure import measure
from engine.evaluation.run import Evaluation, EvaluationOptions, evaluate

__all__ = ["Evaluation", "EvaluationOptions", "evaluate", "measure"]
