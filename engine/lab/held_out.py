"""A sweep on real activations: every SAE measured on the same held-out items, by reconstruction and by a classifier."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.device import pick_device
from engine.errors import InputError
from engine.evaluation.classifying import Classification
from engine.evaluation.held_out import named_store
from engine.evaluation.measure import measure
from engine.evaluation.run import EvaluationOptions
from engine.lab.comparison import compare
from engine.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from engine.sae import SparseAutoencoder


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions(EvaluationOptions):
    """What a comparison measures: as an evaluation, with the classifier unless it is switched off.

    Attributes
    ----------
    items : int
        Classify at most so many items, evenly spread, and rank atoms on four times as many; 0: all.

    Raises
    ------
    InputError
        If ``threshold`` is not a finite number or ``items`` is negative.
    """

    fidelity: bool = True
    topn: bool = True
    items: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.items < 0:
            raise InputError(f"items must be at least 0 (all of them), not {self.items}.")


def compare_held_out(
    sweep: Path, acts: Path, options: ComparisonOptions, progress: Progress | None = None
) -> dict[str, Any]:
    """Measure every SAE of the sweep in ``sweep`` on the store at ``acts``.

    The figures are kept beside each SAE: those of an SAE that was measured before, with the same options and on the same
    activations, are not measured again.

    Returns
    -------
    dict, JSON-ready
        See ``engine.lab.comparison.compare``; ``about`` says what was measured and on which activations.

    Raises
    ------
    InputError
        If there is no finished sweep, no store or no such split, or a classifier cannot be made.
    """
    progress, where = progress or SilentProgress(), pick_device(options.device)
    store, rows = named_store(acts, options.split)
    classify = options.fidelity or options.topn
    about = asdict(options) | {"activations": store.hash, "fidelity": classify}
    del about["device"]
    prepared: list[Classification] = []  # the classifier takes a minute: only if there is something to measure

    def measured(sae: SparseAutoencoder) -> dict[str, Any]:
        sae = sae.to(where)
        figures = measure(sae, store, rows, progress)
        if classify:
            if not prepared:
                prepared.append(Classification.prepare(store, rows, None, options.device, progress, options.items))
            figures |= prepared[0].measure(sae, options.topn, options.threshold, progress)
        return figures

    return compare(sweep, measured, about, progress=progress)
