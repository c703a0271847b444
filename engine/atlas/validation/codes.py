"""Checks of ``codes/``: the codes of the sampled items by token and by atom."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.atlas.format.schema import CODE_ARRAYS
from engine.atlas.validation.context import ValidationContext
from engine.atlas.validation.report import CheckStopped
from engine.derived import derived


@derived
def read_codes(context: ValidationContext) -> dict[str, NDArray[Any]]:
    """The arrays of ``codes/`` by name, checked against each other, the items and the atoms; read once for all checks.

    Raises
    ------
    CheckStopped
        If they are not what the format says: what depends on them cannot be checked.
    """
    report = context.report
    arrays = {}
    for name, dtype in CODE_ARRAYS.items():
        where = f"codes/{name}.npy"
        array = np.load(context.need(where), mmap_mode="r", allow_pickle=False)
        if array.ndim != 1 or array.dtype != np.dtype(dtype):
            report.add(where, f"it is {array.dtype} with {array.ndim} axes, not {dtype} with one.")
            raise CheckStopped
        arrays[name] = array
    items, n = arrays["items"], len(arrays["items"]) * context.n_positions
    good = np.all(np.diff(items) > 0) and (len(items) == 0 or (items[0] >= 0 and items[-1] < context.n_items))
    report.expect(bool(good), "codes/items.npy", "its items do not ascend inside the atlas.")
    for axis, length, other in (("token", n, "token_col"), ("atom", context.n_atoms, "atom_row")):
        crow, where = arrays[f"{axis}_crow"], f"codes/{axis}_crow.npy"
        nnz = len(arrays[other])
        if len(crow) != length + 1 or crow[0] != 0 or crow[-1] != nnz or np.any(np.diff(crow) < 0):
            report.add(where, f"it does not cut {nnz:,} entries into {length:,} rows.")
            raise CheckStopped
        report.expect(len(arrays[f"{axis}_val"]) == nnz, f"codes/{axis}_val.npy", f"it does not hold {nnz:,} values.")
    if (
        not good
        or len(arrays["token_val"]) != len(arrays["token_col"])
        or len(arrays["atom_val"]) != len(arrays["atom_row"])
    ):
        raise CheckStopped
    _check_csr(context, arrays, n)
    return arrays


def _check_csr(context: ValidationContext, arrays: dict[str, NDArray[Any]], n: int) -> None:
    report, col, val = context.report, np.asarray(arrays["token_col"]), np.asarray(arrays["token_val"])
    token = np.repeat(np.arange(n), np.diff(arrays["token_crow"]))
    if len(col) and (col.min() < 0 or col.max() >= context.n_atoms):
        report.add("codes/token_col.npy", "an atom does not exist.")
        raise CheckStopped
    report.expect(bool(np.isfinite(val).all()), "codes/token_val.npy", "a value is not finite.")
    rises = (token[1:] > token[:-1]) | (col[1:] > col[:-1])
    report.expect(bool(rises.all()), "codes/token_col.npy", "the atoms of a token do not ascend.")
    order = np.argsort(col, kind="stable")
    same = (
        np.array_equal(np.cumsum(np.bincount(col, minlength=context.n_atoms)), arrays["atom_crow"][1:])
        and np.array_equal(token[order], arrays["atom_row"])
        and np.array_equal(val[order], arrays["atom_val"])
    )
    report.expect(same, "codes", "the codes by atom are not the codes by token.")
    if not same:
        raise CheckStopped
    dead = context.firing == 0
    report.rows(dead[col], "codes/token_col.npy", "a dead atom fires", col)
    maximum = context.atoms["max_activation"][col]
    report.rows(
        val > maximum + 1e-5 * np.maximum(1, np.abs(maximum)),
        "codes/token_val.npy",
        "a value is above max_activation",
        col,
    )
    support = np.concatenate([context.items["support"][item] for item in arrays["items"]] or [np.zeros(0)])
    sizes = np.minimum(np.diff(arrays["token_crow"]), np.iinfo(np.uint16).max)
    report.rows(support != sizes, "codes/token_crow.npy", "the support is not that of items.parquet", kind="token")
