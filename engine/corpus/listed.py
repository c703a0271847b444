"""A corpus of just the pictures that a captions file names, out of a folder that may hold many more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.corpus.base import Corpus, digest_files, digest_items
from engine.corpus.captions import CaptionRow
from engine.corpus.folder import FolderFiles, list_files
from engine.corpus.items import items_frame
from engine.corpus.matching import finder
from engine.errors import InputError


def open_listed(name: str, root: Path, rows: Sequence[CaptionRow]) -> Corpus:
    """The pictures below ``root`` that the rows name, in the order of their paths, with all of their captions.

    Raises
    ------
    InputError
        If none of them is there.
    """
    root = root.resolve()
    files = list_files(root).files
    find = finder(files)
    found: dict[int, list[CaptionRow]] = {}
    lost: set[str] = set()
    for row in rows:
        place = find(row.file)
        if place < 0:
            lost.add(row.file)
        else:
            found.setdefault(place, []).append(row)
    if not found:
        raise InputError(
            f"None of the {len(lost):,} pictures of {name} lies in {root}, the first is "
            f"{rows[0].file if rows else ''!r}. Name their folder with --images."
        )
    there = sorted(found)
    names = [files[place] for place in there]
    captions = [[caption for row in found[place] for caption in row.captions] for place in there]
    items = items_frame(
        {
            "id": names,
            "caption": [said[0] if said else "" for said in captions],
            "split": [found[place][0].known.get("split", "") for place in there],
        }
    )
    warnings = []
    if lost:
        warnings.append(f"{len(lost):,} of {len(lost) + len(there):,} pictures of {name} are not in {root}; left out.")
    return Corpus(
        name,
        root,
        items,
        FolderFiles(root, names),
        lambda: digest_items(items, digest_files(root, names)),
        warnings,
        captions,
    )
