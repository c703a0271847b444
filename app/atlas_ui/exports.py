"""What a person takes away: tables and provenance of an atom, as bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.files import without_nan

if TYPE_CHECKING:
    import pandas as pd

    from engine.atlas import Atlas

# A spreadsheet runs a cell that begins with one of these; captions come from strangers.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def exemplars_csv(atlas: Atlas, atom: int) -> bytes:
    """The exemplars of an atom with their items, and of texts the word and the words around it: CSV, UTF-8."""
    rows = atlas.exemplars(atom).drop(columns=["heat_positions", "heat_values"])
    if atlas.is_text:
        places = [(int(row.item), int(row.position)) for row in rows.itertuples()]
        rows["word"] = [atlas.snippets.word(*place) for place in places]
        rows["around"] = [atlas.snippets.window(*place) for place in places]
    items = atlas.items.loc[rows["item"], ["id", "label", "caption", "split", "source", "license", "credit"]]
    table = rows.reset_index(drop=True).join(items.reset_index(drop=True))
    table.insert(0, "atom", atom)
    return to_csv(table)


def to_csv(table: pd.DataFrame) -> bytes:
    """A table as CSV, UTF-8, with text cells that cannot be run as spreadsheet formulas."""
    safe = table.copy()
    for column in safe.columns[[not np.issubdtype(kind, np.number) for kind in map(_numpy_kind, safe.dtypes)]]:
        safe[column] = ["'" + v if isinstance(v, str) and v.startswith(_FORMULA) else v for v in safe[column]]
    return str(safe.to_csv(index=False)).encode()


def _numpy_kind(kind: Any) -> Any:
    return kind if isinstance(kind, np.dtype) else np.dtype(object)


def provenance(atlas: Atlas, atom: int) -> bytes:
    """Where the figures of an atom come from: atlas, model, corpus, SAE, packages, and the atom's own row. JSON."""
    row = without_nan(atlas.atoms.iloc[atom].to_dict())
    kept = ("title", "created", "format", "counts", "backbone", "corpus", "activations", "sae", "packages", "layout")
    document = {"atlas": {"key": atlas.key} | {k: atlas.meta[k] for k in kept if k in atlas.meta}}
    document["atom"] = {"atom": atom} | row
    document["columns"] = (atlas.meta.get("columns") or {}).get("atoms.parquet", {})
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def support_json(atlas: Atlas, item: int) -> bytes:
    """Support size of every position of an item: a JSON list of numbers."""
    return json.dumps(atlas.support[item].tolist(), separators=(",", ":")).encode()


def item_json(atlas: Atlas, item: int) -> bytes:
    """What is known of an item: id, label, caption, split, and whom to thank for it under which terms. JSON."""
    row = atlas.items.iloc[item]
    kept = ("id", "kind", "split", "label", "caption", "source", "license", "credit")
    return json.dumps({"item": item} | {name: str(row[name]) for name in kept}, ensure_ascii=False).encode()


def terms(row: pd.Series) -> str:
    """Source, licence and credit of an item (a row of ``Atlas.items``) in one line; empty when nothing is known."""
    return " · ".join(str(row[name]) for name in ("source", "license", "credit") if row[name])


def view_provenance(atlas: Atlas, view: dict[str, Any], atoms: NDArray[np.int64]) -> bytes:
    """Where a picture of the map comes from: atlas, model, corpus, SAE, layout, the view, the selected atoms. JSON."""
    kept = (
        "title",
        "created",
        "format",
        "counts",
        "backbone",
        "corpus",
        "activations",
        "sae",
        "layout",
        "packages",
        "measured",
    )
    document = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "atlas": {"key": atlas.key} | {name: atlas.meta[name] for name in kept if name in atlas.meta},
        "view": view,
        "selection": [int(atom) for atom in atoms],
        "columns": (atlas.meta.get("columns") or {}).get("atoms.parquet", {}),
    }
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
