"""The validator finds what is wrong: every mutation of a sound atlas is a fault, in a line that names the file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.atlas.format.schema import arrow_schema
from engine.atlas.format.tables import write_grouped
from engine.atlas.validation import validate_atlas
from engine.files import sha256
from tests.synthetic_atlas import write_synthetic_atlas

M, N = 300, 30


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_atlas(tmp_path_factory.mktemp("atlas") / "sound", M, N, seed=1)


@pytest.fixture
def atlas(tmp_path: Path, sound: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "atlas"))


def rehash(folder: Path) -> None:
    """State the hashes of the files as they now are: the mutation is then the only fault."""
    meta = json.loads((folder / "atlas.json").read_text())
    for name in meta["files"]:
        if (folder / name).is_file():
            meta["files"][name] = {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size}
    (folder / "atlas.json").write_text(json.dumps(meta))


def edit_header(folder: Path, change: Callable[[Any], Any]) -> None:
    meta = json.loads((folder / "atlas.json").read_text())
    change(meta)
    (folder / "atlas.json").write_text(json.dumps(meta))


GROUPED = {"exemplars": (M, 256), "histograms": (M, 256), "labels": (M, 256), "neighbours": (M, 256)}


def rewrite(folder: Path, name: str, change: Callable[[pd.DataFrame], Any]) -> None:
    """Change a table as a frame and write it back as the format cuts it."""
    path = folder / f"{name}.parquet"
    frame = pq.read_table(path).to_pandas()
    changed = change(frame)
    frame = frame if changed is None else changed
    table = pa.Table.from_pandas(frame, arrow_schema(path.name), preserve_index=False)
    columns = [c.combine_chunks().fill_null(np.nan) if pa.types.is_floating(c.type) else c for c in table.columns]
    table = pa.Table.from_arrays(columns, schema=table.schema)
    if name in GROUPED:
        write_grouped(path, table, "atom", *GROUPED[name])
    elif name == "entrants":
        tokens = len(np.load(folder / "codes" / "token_crow.npy")) - 1
        write_grouped(path, table, "token", tokens, 4096)
    else:
        pq.write_table(table, path)
    rehash(folder)


def put(column: str, row: int, value: Any) -> Callable[[pd.DataFrame], None]:
    """Set one cell."""

    def change(frame: pd.DataFrame) -> None:
        frame.at[row, column] = value

    return change


def swap(column: str, first: int, second: int) -> Callable[[pd.DataFrame], None]:
    """Exchange two cells."""

    def change(frame: pd.DataFrame) -> None:
        frame.loc[[first, second], column] = frame.loc[[second, first], column].to_numpy()

    return change


def shorten(column: str, row: int) -> Callable[[pd.DataFrame], None]:
    """Drop the last entry of a list."""

    def change(frame: pd.DataFrame) -> None:
        frame.at[row, column] = frame.at[row, column][:-1]

    return change


def bump(column: str, row: int, place: int, by: Any) -> Callable[[pd.DataFrame], None]:
    """Change one entry of a list."""

    def change(frame: pd.DataFrame) -> None:
        values = np.array(frame.at[row, column])
        values[place] += by
        frame.at[row, column] = values

    return change


def test_a_sound_atlas_has_no_fault(sound: Path) -> None:
    assert validate_atlas(sound) == []


TABLES: list[tuple[str, str, Callable[[pd.DataFrame], Any]]] = [
    ("atoms", "one each, in order", swap("atom", 3, 4)),
    ("atoms", "firing_count", put("firing_count", 5, 10**7)),
    ("atoms", "item_count does not fit", put("item_count", 5, N + 1)),
    ("atoms", "frequency is not", put("frequency", 5, 0.7)),
    ("atoms", "status does not follow", put("status", 5, "dead")),
    ("atoms", "mean_activation is not a number exactly", put("mean_activation", 5, np.nan)),
    ("atoms", "mean_activation is above", put("mean_activation", 5, 1e6)),
    ("atoms", "follow from the exemplars", put("label_entropy", 5, 2.7)),
    ("atoms", "follow from the exemplars", put("top_label", 5, "no such label")),
    ("atoms", "top_label_share is not in", put("top_label_share", 5, 1.5)),
    ("atoms", "monosemanticity is not in", put("monosemanticity", 5, -1.5)),
    ("atoms", "diversity is not in", put("diversity", 5, 3.0)),
    ("atoms", "it has a place although it is dead, or none", put("x", 5, np.nan)),
    ("atoms", "cluster is no row", put("cluster", 5, 99)),
    ("atoms", "label_candidates repeat", lambda f: put("label_candidates", 5, [f.at[5, "label"]])(f)),
    ("clusters", "size is not the number", put("size", 0, 1)),
    ("clusters", "x is not the mean", put("x", 0, 99.0)),
    ("clusters", "one each, in order", swap("cluster", 0, 1)),
    ("histograms", "does not hold every atom once", lambda f: f.drop(index=7)),
    ("histograms", "do not sum to firing_count", bump("counts", 5, 3, 1)),
    ("histograms", "the highest filled bin", lambda f: bump("counts", 5, -1, 1)(f)),
    ("histograms", "does not hold 48 bins", shorten("counts", 5)),
    ("exemplars", "ranks do not count", put("rank", 2, 7)),
    ("exemplars", "values rise with rank", put("value", 2, 1e6)),
    ("exemplars", "names the same item twice", lambda f: put("item", 1, f.at[0, "item"])(f)),
    ("exemplars", "item or position does not exist", put("item", 1, N)),
    ("exemplars", "item or position does not exist", put("position", 1, 197)),
    ("exemplars", "kind is not", put("kind", 1, "worst")),
    ("exemplars", "quantile of a top exemplar", put("quantile", 1, 0.01)),
    ("exemplars", "no share of its sample", lambda f: put("quantile", f.index[f["kind"] == "quantile"][0], 0.0123)(f)),
    ("exemplars", "quantile is not in", put("quantile", 1, 1.4)),
    ("exemplars", "differ in length", shorten("heat_values", 1)),
    ("exemplars", "value is not the largest", bump("heat_values", 1, 0, 99)),
    ("exemplars", "has not top_n top exemplars", lambda f: f.drop(index=f.index[f["atom"] == 4][-1])),
    ("labels", "tokens rise", put("tokens", 1, 10**6)),
    ("labels", "is not the label of any item", put("label", 0, "unheard of")),
    ("labels", "share is not", put("share", 0, 0.99)),
    ("labels", "items do not", put("items", 0, N + 5)),
    ("labels", "do not add up", lambda f: f.drop(index=0)),
    ("neighbours", "other is no other atom", lambda f: put("other", 0, f.at[0, "atom"])(f)),
    ("neighbours", "similarity is not the cosine", put("similarity", 0, 0.999)),
    ("neighbours", "similarity rises", put("similarity", 1, 1.0)),
    ("neighbours", "kind is not", put("kind", 0, "friend")),
    ("items", "one each, in order", swap("item", 0, 1)),
    ("items", "id is empty or not its own", lambda f: put("id", 1, f.at[0, "id"])(f)),
    ("items", "kind is not", put("kind", 0, "sound")),
    ("items", "corpus_index does not ascend", put("corpus_index", 3, 0)),
    ("items", "not those of corpus.splits", put("split", 0, "secret")),
    ("items", "support does not hold 197", shorten("support", 2)),
    ("items", "support_mean is not", put("support_mean", 2, 99.0)),
    ("items", "do not sum to the firing counts", bump("support", 2, 5, 1)),
    ("items", "tau does not hold 197", shorten("tau", 2)),
    ("items", "tau is not finite", bump("tau", 2, 5, np.inf)),
    ("entrants", "ranks do not count", put("rank", 1, 5)),
    ("entrants", "gaps fall", put("gap", 0, 1e6)),
    ("entrants", "a gap is not 0 or more", put("gap", 0, -0.5)),
    ("entrants", "an atom does not exist", put("atom", 0, M)),
]


@pytest.mark.parametrize(("name", "sentence", "change"), TABLES, ids=[f"{n}: {s}" for n, s, _ in TABLES])
def test_a_wrong_cell_is_found(atlas: Path, name: str, sentence: str, change: Callable[[pd.DataFrame], Any]) -> None:
    rewrite(atlas, name, change)
    faults = validate_atlas(atlas)
    assert any(fault.startswith(f"{name}.parquet: ") and sentence in fault for fault in faults), faults
    assert all("\n" not in fault for fault in faults)


@pytest.mark.parametrize("name", ["atoms", "exemplars", "items", "neighbours", "entrants"])
def test_a_missing_column_or_another_type_is_found(atlas: Path, name: str) -> None:
    path = atlas / f"{name}.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(table.column_names[1]), path)
    rehash(atlas)
    assert f"{name}.parquet: the column {table.column_names[1]} is missing." in validate_atlas(atlas)
    pq.write_table(table.set_column(0, table.column_names[0], table.column(0).cast(pa.float64())), path)
    rehash(atlas)
    assert f"{name}.parquet: the column {table.column_names[0]} is double, not int32." in validate_atlas(atlas)


def test_row_groups_that_split_atoms_are_found(atlas: Path) -> None:
    pq.write_table(pq.read_table(atlas / "labels.parquet"), atlas / "labels.parquet", row_group_size=100)
    rehash(atlas)
    assert any(
        f.startswith("labels.parquet: it has ") and "row groups instead of 2" in f for f in validate_atlas(atlas)
    )


ARRAYS: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("items", "do not ascend inside", lambda a: a[::-1].copy()),
    ("items", "int64", lambda a: a.astype(np.int64)),
    ("token_crow", "does not cut", lambda a: a[:-1].copy()),
    ("token_col", "do not ascend", lambda a: a[::-1].copy()),
    ("token_col", "an atom does not exist", lambda a: np.where(np.arange(len(a)) == 3, M, a).astype(a.dtype)),
    ("token_val", "not finite", lambda a: np.where(np.arange(len(a)) == 3, np.nan, a).astype(a.dtype)),
    ("atom_row", "by atom are not the codes by token", lambda a: np.roll(a, 1)),
    ("atom_val", "by atom are not the codes by token", lambda a: a + np.float32(1)),
]


@pytest.mark.parametrize(("name", "sentence", "change"), ARRAYS, ids=[f"{n}: {s}" for n, s, _ in ARRAYS])
def test_wrong_arrays_are_found(atlas: Path, name: str, sentence: str, change: Callable[[Any], Any]) -> None:
    path = atlas / "codes" / f"{name}.npy"
    np.save(path, change(np.load(path)))
    rehash(atlas)
    faults = validate_atlas(atlas)
    assert any(fault.startswith("codes") and sentence in fault for fault in faults), faults


HEADERS: list[tuple[str, Callable[[Any], Any]]] = [
    ("format 3.0, this program reads up to 1", lambda m: m["format"].update(major=3, minor=0)),
    ("names no atomscope-atlas format", lambda m: m["format"].update(name="other")),
    ("counts.tokens is not", lambda m: m["counts"].update(tokens=-1)),
    ("tokens is not items x positions", lambda m: m["counts"].update(tokens=5)),
    ("do not add up to atoms", lambda m: m["counts"].update(live=0)),
    ("sae.n_atoms is not counts.atoms", lambda m: m["sae"].update(n_atoms=5)),
    ("backbone.grid is not", lambda m: m["backbone"].update(grid=14)),
    ("positions is not prefix", lambda m: m["backbone"].update(prefix=3)),
    ("backbone.revision is missing", lambda m: m["backbone"].pop("revision")),
    ("histogram_edges are not ascending", lambda m: m["histogram_edges"].reverse()),
    ("histogram_edges are not ascending", lambda m: m.update(histogram_edges=[0, "1"])),
    ("created is not", lambda m: m.update(created="yesterday")),
    ("layout does not name", lambda m: m.update(layout={"method": "magic"})),
    ("thumbs.kind is 'cloud'", lambda m: m.update(thumbs={"kind": "cloud"})),
    ("thumbs.size is not", lambda m: m.update(thumbs={"kind": "shards"})),
    ("columns does not define diversity", lambda m: m["columns"]["atoms.parquet"].pop("diversity")),
    ("measured is not", lambda m: m.update(measured={"test": 3})),
    ("atoms_per_group is not", lambda m: m.update(atoms_per_group=0)),
    ("corpus.path must be ../NAME", lambda m: m["corpus"].update(path="../../etc")),
    ("corpus.path must be ../NAME", lambda m: m["corpus"].update(path="/etc")),
    (
        "'../outside' , which".replace(" ,", ","),
        lambda m: m["files"].update({"../outside": {"sha256": "", "bytes": 0}}),
    ),
    ("not a plain path", lambda m: m["files"].update({"/etc/passwd": {"sha256": "", "bytes": 0}})),
    ("not a plain path", lambda m: m["files"].update({"codes\\x": {"sha256": "", "bytes": 0}})),
    ("lacks sha256 or bytes", lambda m: m["files"].update({"atoms.parquet": "fine"})),
]


@pytest.mark.parametrize(("sentence", "change"), HEADERS, ids=[s for s, _ in HEADERS])
def test_a_wrong_header_is_found(atlas: Path, sentence: str, change: Callable[[Any], Any]) -> None:
    edit_header(atlas, change)
    faults = validate_atlas(atlas)
    assert any(sentence in fault for fault in faults), faults


def test_damaged_missing_and_foreign_files_are_found(atlas: Path) -> None:
    data = bytearray((atlas / "exemplars.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (atlas / "exemplars.parquet").write_bytes(data)
    (atlas / "labels.parquet").write_bytes(b"")
    (atlas / "neighbours.parquet").unlink()
    (atlas / "codes" / "extra.npy").write_bytes(b"x")
    faults = validate_atlas(atlas)
    assert any(f.startswith("exemplars.parquet: its SHA-256 is not") for f in faults)
    assert any(f.startswith("labels.parquet: it has 0 bytes") for f in faults)
    assert "neighbours.parquet: it is missing." in faults
    assert "codes/extra.npy: it is not listed in atlas.json." in faults
    assert len(faults) == 4


def test_a_table_that_is_none_is_one_fault(atlas: Path) -> None:
    (atlas / "histograms.parquet").write_bytes(b"PAR1 nonsense PAR1")
    rehash(atlas)
    faults = validate_atlas(atlas)
    assert len(faults) == 1 and faults[0].startswith("histograms.parquet: ")


def test_links_out_of_the_atlas_are_refused(atlas: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (atlas / "training.parquet").unlink()
    os.symlink(tmp_path / "secret", atlas / "training.parquet")
    rehash(atlas)
    assert "training.parquet: it is a link: an atlas holds its own files." in validate_atlas(atlas)


def test_pictures_that_are_none_are_found(atlas: Path) -> None:
    path = atlas / "thumbs" / "thumbs-00000.parquet"
    table = pq.read_table(path)
    pictures = table.column("webp").to_pylist()
    pictures[3] = b"GIF89a"
    pq.write_table(table.set_column(1, "webp", pa.array(pictures, pa.binary())), path, row_group_size=64)
    rehash(atlas)
    assert any("a picture is not WebP" in fault and "item 3" in fault for fault in validate_atlas(atlas))
    pq.write_table(table.slice(0, N - 1), path, row_group_size=64)
    rehash(atlas)
    assert any("29 pictures for 30 items" in fault for fault in validate_atlas(atlas))


def test_a_damaged_sae_is_found(atlas: Path) -> None:
    weights = bytearray((atlas / "sae" / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (atlas / "sae" / "weights.safetensors").write_bytes(weights)
    rehash(atlas)
    assert any(fault.startswith("sae: ") and "damaged" in fault for fault in validate_atlas(atlas))


def test_what_is_no_atlas_is_one_fault(tmp_path: Path) -> None:
    assert len(validate_atlas(tmp_path)) == 1
    (tmp_path / "atlas.json").write_text("{}")
    assert len(validate_atlas(tmp_path)) == 1


def test_a_format_with_further_columns_and_files_keys_is_sound(atlas: Path) -> None:
    """A later minor version may add columns and keys."""
    table = pq.read_table(atlas / "atoms.parquet")
    pq.write_table(table.append_column("later", pa.array(range(M))), atlas / "atoms.parquet")
    rehash(atlas)
    edit_header(atlas, lambda meta: meta.update(later={"a": 1}))
    edit_header(atlas, lambda meta: meta["format"].update(minor=7))
    assert validate_atlas(atlas) == []
