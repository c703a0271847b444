"""Stage 11, ``atlas.json``: where everything comes from, how many of what, and the hash of every file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.atlas.build.accumulators import RESERVOIR
from engine.atlas.build.exemplars import BAND_SIZE, BANDS
from engine.atlas.build.pass_plan import PassPlan
from engine.atlas.build.statistics import AtomStatistics
from engine.atlas.build.token_pass import PassResult
from engine.atlas.format.meta import header
from engine.atlas.format.status import status_counts

if TYPE_CHECKING:
    from engine.atlas.build.inputs import BuildInputs
    from engine.atlas.build.layout import AtomMap
    from engine.atlas.build.thumbs import PictureSource


def describe(
    inputs: BuildInputs,
    created: str,
    plan: PassPlan,
    passed: PassResult,
    statistics: AtomStatistics,
    atom_map: AtomMap,
    pictures: PictureSource,
) -> dict[str, Any]:
    """``atlas.json`` but for ``files``.

    Parameters
    ----------
    created : str
        When the build began, UTC, ISO 8601.
    """
    store, config, options = inputs.store, inputs.sae.config, inputs.options
    corpus = {key: store.corpus[key] for key in ("name", "hash", "items", "splits")}
    if pictures.kind == "corpus":
        corpus["path"] = f"../{Path(store.corpus['path']).resolve().name}"
    layer = store.backbone["layer"]
    title = f"{store.backbone['name']}, layer {layer}, {config.architecture} SAE with {config.n_atoms:,} atoms"
    return {
        **header(),
        "created": created,
        "title": options.title or title,
        "counts": {
            "atoms": config.n_atoms,
            "items": store.n_items,
            "positions": store.n_positions,
            "tokens": store.n_tokens,
            **status_counts(statistics.status),
            "skipped_items": len(store.manifest.get("skipped", [])),
            "labels": len({label for label in store.items["label"] if label}),
            "labels_counted": len(plan.label_names),
            "coactivation_tokens": passed.token_sample.n_tokens,
        },
        "backbone": store.backbone,
        "corpus": corpus,
        "activations": {"hash": store.hash, "dtype": store.dtype, "tokens": store.n_tokens},
        "sae": config.to_dict(),
        "exemplars": {"top_n": options.top_n, "bands": BANDS, "band_size": BAND_SIZE, "sample": RESERVOIR},
        "histogram_edges": plan.edges.tolist(),
        "measured": {},
        "layout": atom_map.recipe,
        "thumbs": pictures.as_dict(),
    }
