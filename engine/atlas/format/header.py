"""What ``atlas.json`` says, read before any table: whether it is an atlas, how large, and where its pictures are."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from engine.atlas.format.schema import FORMAT_MAJOR, FORMAT_NAME, content_key
from engine.errors import InputError


class Header:
    """``atlas.json`` of one atlas.

    Attributes
    ----------
    path : Path
        The atlas folder.
    meta : dict
        The document.
    """

    def __init__(self, path: Path, meta: dict[str, Any]) -> None:
        self.path = path
        self.meta = meta

    @cached_property
    def key(self) -> str:
        """Short id of the content: 12 hexadecimal digits. Another key means other content."""
        return content_key(self.meta)

    @property
    def title(self) -> str:
        """The title of the atlas."""
        return str(self.meta.get("title") or self.path.name)

    @property
    def n_atoms(self) -> int:
        """M, the width of the dictionary."""
        return int(self.meta["sae"]["n_atoms"])

    @property
    def n_items(self) -> int:
        """Items the atlas was made from."""
        return int(self.meta["counts"]["items"])

    @property
    def n_positions(self) -> int:
        """P, positions of an item."""
        return int(self.meta["counts"]["positions"])

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches; (0, 0) when the items have none."""
        rows, columns = self.meta["backbone"].get("grid") or (0, 0)
        return int(rows), int(columns)

    @property
    def prefix(self) -> int:
        """Positions before the first patch (CLS and registers)."""
        return int(self.meta["backbone"].get("prefix", 0))

    @property
    def is_text(self) -> bool:
        """Whether the items are texts: chunks of tokens, with ``tokens`` and ``snippets``."""
        return "tokens.parquet" in self.meta["files"]

    def check_atom(self, atom: int) -> int:
        """``atom``, or InputError when there is no such atom."""
        if not 0 <= atom < self.n_atoms:
            raise InputError(f"Atom {atom} does not exist: this atlas has atoms 0 to {self.n_atoms - 1}.")
        return int(atom)

    def check_item(self, item: int) -> int:
        """``item``, or InputError when there is no such item."""
        if not 0 <= item < self.n_items:
            raise InputError(f"Item {item} does not exist: this atlas has items 0 to {self.n_items - 1}.")
        return int(item)

    def check_position(self, position: int) -> int:
        """``position``, or InputError when items have no such position."""
        if not 0 <= position < self.n_positions:
            raise InputError(f"Position {position} does not exist: an item has positions 0 to {self.n_positions - 1}.")
        return int(position)


def check_header(meta: Any, folder: Path) -> None:
    """Raise an error unless this is the header of an atlas with a major version that this program reads.

    Raises
    ------
    InputError
        With the sentence for the user.
    """
    header = meta.get("format") if isinstance(meta, dict) else None
    if not isinstance(header, dict) or header.get("name") != FORMAT_NAME or not isinstance(header.get("major"), int):
        raise InputError(f"{folder} is not a concept atlas: its atlas.json names no {FORMAT_NAME} format.")
    if header["major"] > FORMAT_MAJOR:
        raise InputError(
            f"{folder} has atlas format {header['major']}.{header.get('minor', 0)}, this program reads up to "
            f"{FORMAT_MAJOR}. Update atomscope."
        )
    for name in ("counts", "sae", "backbone", "corpus", "thumbs", "files"):
        if not isinstance(meta.get(name), dict):
            raise InputError(f"{folder} is not a whole concept atlas: its atlas.json has no {name!r}.")


def corpus_folder(atlas: Path, meta: dict[str, Any]) -> Path:
    """The corpus that ships beside the atlas.

    Only a folder beside the atlas is accepted: an atlas from somewhere else must not be able to name other files.

    Raises
    ------
    InputError
        If ``corpus.path`` is missing or points elsewhere.
    """
    relative = str(meta["corpus"].get("path") or "")
    parts = Path(relative).parts
    if len(parts) != 2 or parts[0] != ".." or parts[1] == "..":
        raise InputError(f"{atlas}: corpus.path must be ../NAME, a folder beside the atlas, not {relative!r}.")
    return atlas.resolve().parent / parts[1]
