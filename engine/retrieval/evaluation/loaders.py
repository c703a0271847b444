"""Pairs of pictures and captions from the files people have: COCO captions, Karpathy's splits, Flickr30k, any corpus."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.corpus import Corpus, open_corpus
from engine.corpus.base import digest_files, digest_items
from engine.corpus.folder import Files
from engine.corpus.items import id_fault, items_frame, split_name
from engine.errors import InputError
from engine.files import read_json
from engine.retrieval.evaluation.pairs import PairSet, from_corpus

_FILE_COLUMNS = ("image_name", "file_name", "filename", "image", "file")
_TEXT_COLUMNS = ("raw", "comment", "caption", "sentences", "text")


@dataclass(frozen=True)
class Entry:
    """A picture's file, its captions and its split."""

    file: str
    captions: list[str]
    split: str = ""


def load_pairs(path: Path, images: Path | None = None, split: str | None = "") -> PairSet:
    """Captioned pictures of one split.

    Parameters
    ----------
    path : Path
        A COCO captions JSON ("images" and "annotations"), a Karpathy JSON (``dataset_coco.json``), a Flickr30k CSV
        (``results.csv`` with ``|``, ``captions.txt``, or the one with a "raw" column), or anything ``open_corpus`` opens:
        shards, image folders with captions, Hugging Face data set folders.
    images : Path, optional
        Where the pictures of a JSON or CSV lie; default: beside it, in ``images`` or the same folder.
    split : str or None
        "" takes all; None the test split of a corpus that has one, and else all.

    Raises
    ------
    InputError
        If the file cannot be understood, no picture of it is there, or there is no such split.
    """
    if path.is_file() and path.suffix.lower() in (".json", ".csv", ".txt") and (entries := _entries(path)) is not None:
        return _pairs(path, _folder(path, images), entries, split or "")
    if images is not None:
        raise InputError(f"--images goes with a JSON or CSV file of captions; {path} brings its own pictures.")
    corpus = open_corpus(path)
    return from_corpus(corpus, ("test" if "test" in corpus.splits else "") if split is None else split)


def folder_corpus(name: str, root: Path, entries: list[Entry]) -> tuple[Corpus, list[Entry]]:
    """A corpus of the listed files that are there, with the entries of those, in the order of their names.

    Raises
    ------
    InputError
        If none of them is there.
    """
    merged: dict[str, Entry] = {}
    for entry in entries:
        known = merged.get(entry.file)
        merged[entry.file] = Entry(entry.file, [*known.captions, *entry.captions], known.split) if known else entry
    there = [entry for file, entry in sorted(merged.items()) if not id_fault(file) and (root / file).is_file()]
    if not there:
        raise InputError(
            f"None of the {len(merged):,} pictures of {name} lies in {root}, the first is {next(iter(merged), '')!r}. Name "
            "their folder with --images."
        )
    files = [entry.file for entry in there]
    columns = {
        "id": files,
        "caption": [entry.captions[0] if entry.captions else "" for entry in there],
        "split": [entry.split for entry in there],
    }
    items, warnings = items_frame(columns), []
    if lost := len(merged) - len(there):
        warnings.append(f"{lost:,} of {len(merged):,} pictures of {name} are not in {root}; left out.")
    corpus = Corpus(
        name, root, items, Files(root, files), lambda: digest_items(items, digest_files(root, files)), warnings
    )
    return corpus, there


def _pairs(path: Path, root: Path, entries: list[Entry], split: str) -> PairSet:
    corpus, there = folder_corpus(path.stem, root, entries)
    if split and split not in corpus.splits:
        known = ", ".join(name for name in corpus.splits if name) or "none"
        raise InputError(f"{path} has no split {split!r}; its splits: {known}.")
    owners, captions = [], []
    for row, entry in enumerate(there):
        if not split or entry.split == split:
            owners += [row] * len(entry.captions)
            captions += entry.captions
    if len(set(owners)) < 2:
        raise InputError(f"{path} has {len(set(owners))} captioned pictures: a benchmark needs at least two.")
    return PairSet(corpus, split, captions, np.array(owners, np.int64), own=False)


def _folder(path: Path, images: Path | None) -> Path:
    if images is not None:
        if not images.is_dir():
            raise InputError(f"There is no folder of images {images}.")
        return images.resolve()
    beside = path.parent / "images"
    return (beside if beside.is_dir() else path.parent).resolve()


def _entries(path: Path) -> list[Entry] | None:
    """The entries of a captions file; None if it is none (a text corpus, say)."""
    if path.suffix.lower() == ".json":
        return _json_entries(path, read_json(path))
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        header = file.readline()
        delimiter = max("|,;\t", key=header.count)
        file.seek(0)
        if delimiter == "|":  # Flickr30k's own file has loose quotes
            rows = csv.DictReader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE, skipinitialspace=True)
        else:
            rows = csv.DictReader(file, delimiter=delimiter)
        columns = {name.strip().lower(): name for name in rows.fieldnames or ()}
        image = next((columns[name] for name in _FILE_COLUMNS if name in columns), None)
        text = next((columns[name] for name in _TEXT_COLUMNS if name in columns), None)
        if image is None or text is None:
            if path.suffix.lower() == ".txt":
                return None
            raise InputError(
                f"{path} has no column of pictures ({', '.join(_FILE_COLUMNS)}) beside one of captions "
                f"({', '.join(_TEXT_COLUMNS)}); its columns: {', '.join(columns)}."
            )
        return [
            Entry(
                (row.get(image) or "").strip().split("#")[0],
                list(_captions(row.get(text))),
                split_name(row.get(columns.get("split", "split")) or ""),
            )
            for row in rows
        ]


def _json_entries(path: Path, document: Any) -> list[Entry]:
    try:
        if "annotations" in document:
            files = {image["id"]: str(image["file_name"]) for image in document["images"]}
            known = [note for note in document["annotations"] if note["image_id"] in files]
            return [Entry(files[note["image_id"]], [str(note["caption"]).strip()]) for note in known]
        return [
            Entry(
                "/".join(part for part in (image.get("filepath", ""), image["filename"]) if part),
                [str(sentence["raw"]).strip() for sentence in image["sentences"]],
                # Karpathy's "restval" is training material.
                "train" if image.get("split") == "restval" else split_name(image.get("split", "")),
            )
            for image in document["images"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path} is neither a COCO captions file ("images" with id and file_name, "annotations" with image_id and '
            f"caption) nor one of Karpathy's splits ({type(error).__name__}: {error})."
        ) from None


def _captions(cell: Any) -> Iterable[str]:
    """The captions of a cell: one, or a JSON list of several."""
    written = str(cell or "").strip()
    if written.startswith("["):
        try:
            return [str(caption).strip() for caption in json.loads(written)]
        except ValueError:
            pass
    return [written] if written else []
