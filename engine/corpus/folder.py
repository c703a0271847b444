"""A folder of image files: found without opening them, labelled by sub-folder, captioned by side-car files."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.corpus.base import Corpus, digest_files, digest_items
from engine.corpus.images import EXTENSIONS, OTHER_PICTURES, UnreadableItem, looks_like_image, read_limited
from engine.corpus.items import id_fault, items_frame, usual_split
from engine.corpus.sidecars import AUTOMATIC, Row, read_sidecar
from engine.errors import InputError


@dataclass
class Listing:
    """The regular files below a folder, as paths relative to it; links are never followed."""

    files: list[str] = field(default_factory=list)
    links: int = 0
    odd_names: int = 0
    unreadable: list[str] = field(default_factory=list)

    def warnings(self) -> Iterator[str]:
        """What was left out, a sentence each."""
        if self.links:
            yield f"{self.links:,} symbolic links are left out: links are not followed. Copy the files into the folder."
        if self.odd_names:
            yield f"{self.odd_names:,} files are left out: backslashes, control characters or no UTF-8 in their names."
        for folder in self.unreadable[:5]:
            yield f"The folder {folder} cannot be listed; its files are left out."


def list_files(root: Path) -> Listing:
    """Every regular file below ``root`` in the order of their paths; names that begin with a dot are hidden."""
    listing = Listing()
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    path = folder + entry.name
                    if entry.name.startswith((".", "__MACOSX")):
                        continue
                    if entry.is_symlink():
                        listing.links += 1
                    elif id_fault(path):
                        listing.odd_names += 1
                    elif entry.is_dir(follow_symlinks=False):
                        pending.append(path + "/")
                    elif entry.is_file(follow_symlinks=False):
                        listing.files.append(path)
        except OSError:
            if not folder:
                raise InputError(f"{root} cannot be listed. Check its permissions.") from None
            listing.unreadable.append(folder)
    listing.files.sort()
    return listing


class Files:
    """Items that are whole files below a folder."""

    def __init__(self, root: Path, names: list[str]) -> None:
        self._root = root
        self._names = names

    def read(self, item: int) -> bytes:
        name = self._names[item]
        path = self._root / name
        # The folder may have changed since it was listed: a link put there later is not followed either.
        if path.resolve() != path or not path.is_file():
            raise UnreadableItem(f"{name} is no longer a regular file in {self._root}.")
        return read_limited(path, name)


def open_image_folder(root: Path, listing: Listing, captions: Path | None = None) -> Corpus:
    """Images below ``root`` (resolved); ids are their relative paths. No image is opened beyond its first bytes.

    Raises
    ------
    InputError
        If nothing in the folder is an image that can be read, or a caption file cannot be parsed.
    """
    warnings = list(listing.warnings())
    names = candidates(root, listing)
    left_out = Counter(suffix for name in listing.files if (suffix := _suffix(name)) in OTHER_PICTURES)
    if left_out:
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in left_out.most_common())
        warnings.append(f"Pictures of types that are not read are left out: {kinds}. Convert them to PNG or JPEG.")
    _refuse_hopeless(root, names, listing, left_out)

    columns: dict[str, list[Any]] = {"id": names, "label": [], "split": []}
    for name in names:
        split, label = from_folders(name)
        columns["split"].append(split)
        columns["label"].append(label)
    if captions is not None:
        _apply(columns, read_sidecar(captions), "", captions.name, warnings, strict=True)
    else:
        for path in listing.files:
            folder, _, file = path.rpartition("/")
            if file.lower() in AUTOMATIC:
                _apply(columns, read_sidecar(root / path), folder, path, warnings, strict=False)
    items = items_frame(columns)
    return Corpus(
        root.name,
        root,
        items,
        Files(root, names),
        lambda: digest_items(items, digest_files(root, names)),
        warnings,
    )


def holds_pictures(root: Path, listing: Listing) -> bool:
    """Whether a file of the listing has a picture's name or first bytes, be it of a type that is read or not."""
    return any(_suffix(name) in OTHER_PICTURES for name in listing.files) or bool(candidates(root, listing))


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(16)
    except OSError:
        return b""


def candidates(root: Path, listing: Listing) -> list[str]:
    """The files with a picture's name, or with no suffix and a picture's first bytes."""
    return [
        name
        for name in listing.files
        if (suffix := _suffix(name)) in EXTENSIONS or (not suffix and looks_like_image(_first_bytes(root / name)))
    ]


def _refuse_hopeless(root: Path, names: list[str], listing: Listing, left_out: Counter[str]) -> None:
    if any(looks_like_image(_first_bytes(root / name)) for name in names):  # stops at the first: one read as a rule
        return
    if names:
        raise InputError(f"None of the {len(names):,} files in {root} with the name of a picture holds one.")
    if left_out:
        kinds = ", ".join(left_out)
        raise InputError(f"{root} holds no picture of a type that is read, only {kinds}: convert them to PNG or JPEG.")
    if listing.files:
        raise InputError(f"{root} holds {len(listing.files):,} files but no picture. Name a folder with images.")
    cause = " (symbolic links are not followed)" if listing.links else ""
    raise InputError(f"{root} holds no file{cause}. Name a folder with images.")


def from_folders(name: str) -> tuple[str, str]:
    """Split and label by folders: a first one called train, val, test, ... is the split, those below are the label."""
    folders = name.split("/")[:-1]
    split = usual_split(folders[0]) if folders else None
    return split or "", "/".join(folders[1:] if split else folders)


def _composed(name: str) -> str:
    """One spelling for names that look the same: macOS stores an umlaut as two characters, tables hold one."""
    return unicodedata.normalize("NFC", name)


def _apply(
    columns: dict[str, list[Any]], rows: list[Row], folder: str, title: str, warnings: list[str], strict: bool
) -> None:
    """Write what the rows of a caption file know into the columns; count what does not fit into ``warnings``.

    A row finds its image by its path below the caption file's folder, else by a file name that occurs only once. Names
    are compared with the listing and never opened, so one such as ``../../secret.png`` leads nowhere.
    """
    names: list[str] = columns["id"]
    here = folder + "/" if folder else ""
    by_path = {_composed(name[len(here) :]): index for index, name in enumerate(names) if name.startswith(here)}
    by_name: dict[str, list[int]] = defaultdict(list)
    for path, index in by_path.items():
        by_name[path.rpartition("/")[2]].append(index)

    for column in rows[0].known if rows else ():
        columns.setdefault(column, [[] for _ in names] if column == "keywords" else [""] * len(names))
    captioned: set[int] = set()
    lost: list[str] = []
    repeated = 0
    for row in rows:
        written = _composed(row.file.replace("\\", "/").removeprefix("./"))
        same_name = by_name.get(written, [])  # a path is in no need of this, and holds a slash, so it finds nothing
        index = by_path.get(written, same_name[0] if len(same_name) == 1 else -1)
        if index < 0:
            lost.append(row.file)
        elif index in captioned:
            repeated += 1
        else:
            captioned.add(index)
            for column, value in row.known.items():
                if value:
                    columns[column][index] = value
    if strict and not captioned:
        first = f", the first names {lost[0]!r}" if lost else ""
        raise InputError(f"{title}: none of its {len(rows):,} rows names an image of the folder{first}.")
    if lost:
        warnings.append(f"{title}: {len(lost):,} rows name files that are not there, such as {lost[0]!r}; left out.")
    if repeated:
        warnings.append(f"{title}: {repeated:,} rows name an image again; only the first row of each is used.")
    if missing := len(by_path) - len(captioned):
        warnings.append(f"{title}: {missing:,} of {len(by_path):,} images have no row in it.")
