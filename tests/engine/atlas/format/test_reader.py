"""The reader on a synthetic atlas: what it gives, what it refuses, and that threads may share it."""

from __future__ import annotations

import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from engine.atlas import Atlas
from engine.atlas.format.schema import ATOMS_PER_GROUP, COLUMNS
from engine.atlas.validation import validate_atlas
from engine.errors import InputError
from tests.synthetic_atlas import write_synthetic_atlas


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return Atlas.open(write_synthetic_atlas(tmp_path_factory.mktemp("atlas") / "shapes", 700, 60, seed=3))


@pytest.mark.parametrize(("n_atoms", "n_items"), [(8, 4), (255, 10), (257, 33)])
def test_synthetic_atlases_of_any_size_are_valid(tmp_path: Path, n_atoms: int, n_items: int) -> None:
    assert validate_atlas(write_synthetic_atlas(tmp_path / "atlas", n_atoms, n_items)) == []


def test_the_same_seed_gives_the_same_atlas(tmp_path: Path, atlas: Atlas) -> None:
    again = Atlas.open(write_synthetic_atlas(tmp_path / "again", 700, 60, seed=3))
    other = Atlas.open(write_synthetic_atlas(tmp_path / "other", 700, 60, seed=4))
    assert again.key == atlas.key != other.key
    assert len(atlas.key) == 12 and int(atlas.key, 16) >= 0


def test_frames_have_the_columns_of_the_format(atlas: Atlas) -> None:
    assert [atlas.atoms.index.name, *atlas.atoms.columns] == list(COLUMNS["atoms.parquet"])
    shown = [name for name in COLUMNS["items.parquet"] if name not in ("support", "tau")]
    assert [atlas.items.index.name, *atlas.items.columns] == shown
    assert ["atom", *atlas.exemplars(0).columns] == list(COLUMNS["exemplars.parquet"])
    assert ["atom", *atlas.labels(0).columns] == list(COLUMNS["labels.parquet"])
    assert ["atom", *atlas.neighbours(0).columns] == list(COLUMNS["neighbours.parquet"])
    assert [atlas.clusters.index.name, *atlas.clusters.columns] == list(COLUMNS["clusters.parquet"])
    assert atlas.support.shape == (atlas.n_items, atlas.n_positions) and atlas.support.dtype == np.uint16
    assert atlas.tau is not None and atlas.tau.shape == atlas.support.shape
    assert atlas.n_positions == atlas.prefix + atlas.grid[0] * atlas.grid[1]
    assert atlas.training is not None and {"step", "loss", "l0"} <= set(atlas.training.columns)
    assert all(isinstance(names, list) for names in atlas.atoms["label_candidates"])


def test_one_atom_is_what_the_whole_table_says(atlas: Atlas) -> None:
    whole = pd.read_parquet(atlas.path / "exemplars.parquet")
    for atom in (0, 255, 256, 511, 512, 699):
        rows = whole[whole["atom"] == atom]
        found = atlas.exemplars(atom)
        assert found["item"].tolist() == rows["item"].tolist()
        assert [h.tolist() for h in found["heat_values"]] == [h.tolist() for h in rows["heat_values"]]
        top, quantile = atlas.exemplars(atom, "top"), atlas.exemplars(atom, "quantile")
        assert len(top) + len(quantile) == len(found)
        assert set(top["kind"]) <= {"top"} and set(quantile["kind"]) <= {"quantile"}
        assert atlas.histogram(atom)[1].sum() == atlas.atoms.loc[atom, "firing_count"]


def test_codes_by_token_and_by_atom_agree(atlas: Atlas) -> None:
    for item in atlas.sampled_items[:3].tolist():
        for position in (0, 1, 100, atlas.n_positions - 1):
            found = atlas.token_codes(item, position)
            assert found is not None
            assert len(found[0]) == atlas.support[item, position]
            for atom, value in zip(*found, strict=True):
                heat = atlas.item_heat(item, int(atom))
                assert heat is not None and heat[position] == value
            entrants = atlas.entrants(item, position)
            assert entrants is not None and not set(entrants["atom"]) & set(found[0].tolist())
            assert (np.diff(entrants["gap"]) >= 0).all()


def test_what_is_not_sampled_is_none(atlas: Atlas) -> None:
    item = next(i for i in range(atlas.n_items) if i not in atlas.sampled_items)
    assert atlas.token_codes(item, 0) is None
    assert atlas.item_heat(item, 0) is None
    assert atlas.entrants(item, 0) is None


def test_thumbnails_are_webp(atlas: Atlas) -> None:
    for item in (0, 17, atlas.n_items - 1):
        with Image.open(io.BytesIO(atlas.thumbnail(item))) as image:
            assert image.format == "WEBP" and max(image.size) == atlas.meta["thumbs"]["size"]


def test_pictures_come_from_a_corpus_beside_the_atlas(tmp_path: Path, atlas: Atlas) -> None:
    copy = shutil.copytree(atlas.path, tmp_path / "atlas")
    write_corpus(tmp_path / "corpus", atlas)
    pictures = pq.ParquetFile(copy / "thumbs" / "thumbs-00000.parquet").read().column("webp").to_pylist()
    meta = json.loads((copy / "atlas.json").read_text())
    meta["thumbs"], meta["corpus"]["path"] = {"kind": "corpus"}, "../corpus"
    (copy / "atlas.json").write_text(json.dumps(meta))
    assert Atlas.open(copy).thumbnail(5) == pictures[5]
    for hostile in ("../../etc", "/etc", "..", "corpus", "../corpus/..", ""):
        meta["corpus"]["path"] = hostile
        (copy / "atlas.json").write_text(json.dumps(meta))
        with pytest.raises(InputError, match="a folder beside the atlas"):
            Atlas.open(copy).thumbnail(5)


def write_corpus(path: Path, atlas: Atlas) -> None:
    """A corpus in our shards with the atlas's thumbnails for images."""
    import hashlib

    from engine.corpus.shards import SCHEMA

    path.mkdir()
    pictures = pq.ParquetFile(atlas.path / "thumbs" / "thumbs-00000.parquet").read().column("webp").to_pylist()
    words = {
        name: atlas.items[name].tolist() for name in ("id", "caption", "label", "source", "license", "credit", "split")
    }
    images = [{"bytes": picture, "path": f"{i}.webp"} for i, picture in enumerate(pictures)]
    table = pa.table({"image": images, **words, "keywords": [[] for _ in images]}, SCHEMA)
    pq.write_table(table, path / "data-00000.parquet")
    data = (path / "data-00000.parquet").read_bytes()
    stated = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "items": len(images)}
    manifest = {
        "format": {"name": "atomscope-corpus", "major": 1, "minor": 0},
        "name": "shapes",
        "items": len(images),
        "splits": atlas.meta["corpus"]["splits"],
        "files": {"data-00000.parquet": stated},
        "sources": [],
    }
    (path / "corpus.json").write_text(json.dumps(manifest))


def test_no_pictures_is_one_sentence(tmp_path: Path, atlas: Atlas) -> None:
    copy = shutil.copytree(atlas.path, tmp_path / "atlas")
    edit_header(copy, lambda meta: meta.update(thumbs={"kind": "none"}))
    with pytest.raises(InputError, match="no picture of item 3"):
        Atlas.open(copy).thumbnail(3)


def edit_header(folder: Path, change: object) -> None:
    """Change ``atlas.json`` in place."""
    meta = json.loads((folder / "atlas.json").read_text())
    change(meta)  # type: ignore[operator]
    (folder / "atlas.json").write_text(json.dumps(meta))


@pytest.mark.parametrize("atom", [-1, 700, 10**12])
def test_atoms_that_do_not_exist(atlas: Atlas, atom: int) -> None:
    for read in (atlas.exemplars, atlas.histogram, atlas.labels, atlas.neighbours):
        with pytest.raises(InputError, match=f"Atom {atom} does not exist: this atlas has atoms 0 to 699"):
            read(atom)


def test_items_and_positions_that_do_not_exist(atlas: Atlas) -> None:
    with pytest.raises(InputError, match="Item 60 does not exist"):
        atlas.thumbnail(60)
    with pytest.raises(InputError, match="Item -1 does not exist"):
        atlas.token_codes(-1, 0)
    with pytest.raises(InputError, match="Position 197 does not exist"):
        atlas.token_codes(0, 197)


def test_what_is_no_atlas_is_refused(tmp_path: Path, atlas: Atlas) -> None:
    with pytest.raises(InputError, match="is not a concept atlas"):
        Atlas.open(tmp_path)
    (tmp_path / "atlas.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        Atlas.open(tmp_path)
    for text in ("[]", "{}", '{"format": {"name": "atomscope-corpus", "major": 1}}'):
        (tmp_path / "atlas.json").write_text(text)
        with pytest.raises(InputError, match="is not a concept atlas"):
            Atlas.open(tmp_path)
    (tmp_path / "atlas.json").write_text('{"format": {"name": "atomscope-atlas", "major": 1}}')
    with pytest.raises(InputError, match="is not a whole concept atlas"):
        Atlas.open(tmp_path)


def test_a_newer_major_version_is_refused_and_a_newer_minor_is_read(tmp_path: Path, atlas: Atlas) -> None:
    copy = shutil.copytree(atlas.path, tmp_path / "atlas")
    edit_header(copy, lambda meta: meta["format"].update(minor=9, major=1))
    assert Atlas.open(copy).n_atoms == 700
    edit_header(copy, lambda meta: meta["format"].update(major=2))
    with pytest.raises(InputError, match=r"format 2\.9, this program reads up to 1\. Update atomscope"):
        Atlas.open(copy)


def test_damaged_files_are_one_sentence(tmp_path: Path, atlas: Atlas) -> None:
    copy = shutil.copytree(atlas.path, tmp_path / "atlas")
    (copy / "exemplars.parquet").write_bytes(b"PAR1 this is not a table PAR1")
    (copy / "codes" / "token_col.npy").write_bytes(b"\x93NUMPY")
    (copy / "labels.parquet").unlink()
    broken = Atlas.open(copy)
    with pytest.raises(InputError, match=r"exemplars.parquet is damaged"):
        broken.exemplars(0)
    with pytest.raises(InputError, match=r"token_col.npy is damaged"):
        broken.token_codes(int(broken.sampled_items[0]), 0)
    with pytest.raises(InputError, match=r"labels.parquet is missing"):
        broken.labels(0)


def test_pickled_arrays_are_never_loaded(tmp_path: Path, atlas: Atlas) -> None:
    copy = shutil.copytree(atlas.path, tmp_path / "atlas")
    np.save(copy / "codes" / "items.npy", np.array([{"run": "me"}], object), allow_pickle=True)
    with pytest.raises(InputError, match="items.npy is damaged"):
        _ = Atlas.open(copy).sampled_items


def test_unknown_columns_and_keys_are_ignored(tmp_path: Path, atlas: Atlas) -> None:
    copy = shutil.copytree(atlas.path, tmp_path / "atlas")
    table = pq.read_table(copy / "atoms.parquet")
    pq.write_table(table.append_column("later", pa.array(range(700))), copy / "atoms.parquet")
    edit_header(copy, lambda meta: meta.update(later=True))
    assert Atlas.open(copy).atoms["later"].tolist() == list(range(700))


def test_threads_share_one_reader(atlas: Atlas) -> None:
    fresh = Atlas.open(atlas.path)
    wanted = {atom: atlas.exemplars(atom)["value"].tolist() for atom in range(0, 700, 7)}

    def read(atom: int) -> bool:
        fresh.thumbnail(atom % fresh.n_items)
        fresh.neighbours(atom)
        return fresh.exemplars(atom)["value"].tolist() == wanted[atom]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, [*wanted, *reversed(wanted)]))


def test_one_atom_costs_one_row_group_of_each_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of the atlas: nothing is read as a whole, and no group but the atom's own."""
    atlas = Atlas.open(write_synthetic_atlas(tmp_path / "atlas", 4096, 30))
    read: list[int] = []
    group = pq.ParquetFile.read_row_group

    def counted(file: pq.ParquetFile, number: int, **options: Any) -> Any:
        read.append(number)
        return group(file, number, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    for atom in range(100, 4096, 256):
        read.clear()
        atlas.exemplars(atom), atlas.histogram(atom), atlas.labels(atom), atlas.neighbours(atom)
        assert read == [atom // ATOMS_PER_GROUP] * 4
        atlas.exemplars(atom), atlas.histogram(atom), atlas.labels(atom), atlas.neighbours(atom)
        assert len(read) == 4
