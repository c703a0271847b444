"""A folder of image files: found without opening them, labelled by sub-folder, captioned by side-car files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.corpus.base import Corpus, digest_files, digest_items, several_captions_warning
from engine.corpus.captions import AUTOMATIC, CaptionRow, read_captions
from engine.corpus.images import EXTENSIONS, OTHER_PICTURES, UnreadableItem, looks_like_image, read_limited
from engine.corpus.items import id_fault, items_frame, usual_split
from engine.corpus.matching import finder
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


class FolderFiles:
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

    columns: dict[str, list[Any]] = {"id": names, "label": [], "split": [], "captions": [()] * len(names)}
    for name in names:
        split, label = from_folders(name)
        columns["split"].append(split)
        columns["label"].append(label)
    if captions is not None:
        _apply(columns, read_captions(captions), "", captions.name, warnings, strict=True)
    else:
        for path in listing.files:
            folder, _, file = path.rpartition("/")
            if file.lower() in AUTOMATIC:
                _apply(columns, read_captions(root / path), folder, path, warnings, strict=False)
    items = items_frame(columns)
    return Corpus(
        root.name,
        root,
        items,
        FolderFiles(root, names),
        lambda: digest_items(items, digest_files(root, names)),
        warnings,
        columns["captions"],
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


def _apply(
    columns: dict[str, list[Any]], rows: list[CaptionRow], folder: str, title: str, warnings: list[str], strict: bool
) -> None:
    """Write what the rows of a caption file know into the columns; count what does not fit into ``warnings``.

    Of a picture with several rows, the first says what is known of it; the captions of all are kept for benchmarks.
    """
    names: list[str] = columns["id"]
    here = folder + "/" if folder else ""
    below = [index for index, name in enumerate(names) if name.startswith(here)]
    find = finder([names[index][len(here) :] for index in below])

    for column in rows[0].known if rows else ():
        columns.setdefault(column, [[] for _ in names] if column == "keywords" else [""] * len(names))
    captioned: set[int] = set()
    lost: list[str] = []
    repeated = 0
    captions: list[tuple[str, ...]] = columns["captions"]
    for row in rows:
        place = find(row.file)
        if place < 0:
            lost.append(row.file)
            continue
        index = below[place]
        if index in captioned:
            repeated += 1
            captions[index] += row.captions
            if row.captions and not columns["caption"][index]:
                columns["caption"][index] = row.captions[0]
            continue
        captioned.add(index)
        captions[index] = row.captions or captions[index]
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
    if several := sum(len(captions[index]) > 1 for index in captioned):
        warnings.append(f"{title}: {several_captions_warning(several, len(captioned))}")
    if missing := len(below) - len(captioned):
        warnings.append(f"{title}: {missing:,} of {len(below):,} images have no row in it.")
