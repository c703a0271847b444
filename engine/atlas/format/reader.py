"""``Atlas``: reads one concept atlas lazily. Opening costs one small JSON file; an atom costs one row group."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.atlas.format.schema import (
    FORMAT_MAJOR,
    FORMAT_NAME,
    THUMBS_PER_GROUP,
    TOKENS_PER_GROUP,
    content_key,
)
from engine.atlas.format.tables import GroupedTable, damaged, open_parquet, read_whole
from engine.atlas.format.texts import Snippets, snippets_of
from engine.errors import InputError
from engine.files import read_json

if TYPE_CHECKING:
    from engine.corpus import Corpus
    from engine.sae import SparseAutoencoder


class Atlas:
    """A concept atlas on disk, as ``engine/atlas/FORMAT.md`` describes it.

    All tables are read on first use and shared: treat what you get as read-only. Every method may be called from several
    threads. ``InputError`` means that an atom or item does not exist, or that a file is missing or damaged.

    Attributes
    ----------
    path : Path
        The atlas folder.
    meta : dict
        ``atlas.json``.
    """

    def __init__(self, path: Path, meta: dict[str, Any]) -> None:
        self.path = path
        self.meta = meta
        self._per_group = int(meta["atoms_per_group"])
        self._exemplars = GroupedTable(path / "exemplars.parquet", keep=16)
        self._histograms = GroupedTable(path / "histograms.parquet")
        self._labels = GroupedTable(path / "labels.parquet")
        self._neighbours = GroupedTable(path / "neighbours.parquet")
        self._entrants = GroupedTable(path / "entrants.parquet")
        self._arrays: dict[str, NDArray[Any]] = {}

    @classmethod
    def open(cls, path: Path | str) -> Atlas:
        """Open the atlas in folder ``path``. Only ``atlas.json`` is read.

        Raises
        ------
        InputError
            If the folder is no atlas, or its format is newer than this program.
        """
        folder = Path(path).expanduser()
        if not (folder / "atlas.json").is_file():
            raise InputError(
                f"{folder} is not a concept atlas: it has no atlas.json. Build one with `atomscope atlas`."
            )
        meta = read_json(folder / "atlas.json")
        check_header(meta, folder)
        return cls(folder, meta)

    # What the atlas is.

    @cached_property
    def key(self) -> str:
        """Short id of the content: 12 hexadecimal digits. Another key means other content."""
        return content_key(self.meta)

    @property
    def title(self) -> str:
        """A line for the eye."""
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

    # Whole tables.

    @cached_property
    def atoms(self) -> pd.DataFrame:
        """One row an atom (index ``atom``), columns as in FORMAT.md; ``label_candidates`` holds lists."""
        frame = _frame(read_whole(self.path / "atoms.parquet")).set_index("atom")
        frame["label_candidates"] = [list(names) for names in frame["label_candidates"]]
        return frame

    @cached_property
    def items(self) -> pd.DataFrame:
        """One row an item (index ``item``), without the list columns ``support`` and ``tau``."""
        path = self.path / "items.parquet"
        names = [name for name in open_parquet(path).schema_arrow.names if name not in ("support", "tau")]
        return _frame(read_whole(path, names)).set_index("item")

    @cached_property
    def support(self) -> NDArray[np.uint16]:
        """Support size of every token, uint16 [n_items, P]."""
        return self._per_position("support", np.uint16)

    @cached_property
    def tau(self) -> NDArray[np.float32] | None:
        """Threshold of every token, float32 [n_items, P], or None when the SAE has none."""
        values = self._per_position("tau", np.float32)
        return values if values.size else None

    @cached_property
    def tokens(self) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
        """Token ids, and where each begins in the item's caption (characters), both int32 [n_items, P]; None for pictures."""
        if not self.is_text:
            return None
        path = self.path / "tokens.parquet"
        return self._per_position("ids", np.int32, path), self._per_position("starts", np.int32, path)

    @cached_property
    def snippets(self) -> Snippets:
        """The words at and around any token. Only an atlas of texts has them."""
        if self.tokens is None:
            raise InputError(f"{self.title} is an atlas of pictures: it has no tokens to read.")
        return snippets_of(self.items, self.tokens[1], self.meta["backbone"])

    @cached_property
    def clusters(self) -> pd.DataFrame:
        """One row a cluster of the map (index ``cluster``); ``keywords`` holds lists."""
        frame = _frame(read_whole(self.path / "clusters.parquet")).set_index("cluster")
        frame["keywords"] = [list(words) for words in frame["keywords"]]
        return frame

    @cached_property
    def training(self) -> pd.DataFrame | None:
        """The SAE's training log, one row a logged step, or None."""
        path = self.path / "training.parquet"
        return _frame(read_whole(path)) if path.is_file() else None

    @cached_property
    def histogram_edges(self) -> NDArray[np.float64]:
        """B + 1 ascending bin edges, shared by all atoms, in code units."""
        return np.asarray(self.meta["histogram_edges"], np.float64)

    # One atom.

    def exemplars(self, atom: int, kind: str | None = None) -> pd.DataFrame:
        """Exemplars of one atom, ``top`` first, by rank; ``kind`` keeps ``"top"`` or ``"quantile"`` only.

        ``heat_positions`` (uint16) and ``heat_values`` (float32) hold one array a row.
        """
        return self._of_atom(self._exemplars, atom, kind)

    def histogram(self, atom: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Bin edges [B + 1] and the atom's token counts [B]; the outer bins also take what lies outside."""
        rows = self._histograms.rows("atom", self._check_atom(atom), self._per_group)
        if rows.num_rows != 1:
            raise damaged(self._histograms.path, f"atom {atom} has {rows.num_rows} rows")
        return self.histogram_edges, rows.column("counts")[0].values.to_numpy()

    def labels(self, atom: int) -> pd.DataFrame:
        """The labels of the items on which the atom fires, most tokens first: label, tokens, items, share."""
        return self._of_atom(self._labels, atom, None)

    def neighbours(self, atom: int, kind: str | None = None) -> pd.DataFrame:
        """Nearest atoms, nearest first: kind (``decoder``, ``coactivation``), rank, other, similarity."""
        return self._of_atom(self._neighbours, atom, kind)

    # Sampled items.

    @cached_property
    def sampled_items(self) -> NDArray[np.int32]:
        """Items whose codes the atlas holds, ascending, int32 [S]."""
        return self._array("items")

    def sampled_row(self, item: int) -> int | None:
        """Place of an item in ``sampled_items``, or None when it is not sampled."""
        place = int(np.searchsorted(self.sampled_items, self._check_item(item)))
        return place if place < len(self.sampled_items) and self.sampled_items[place] == item else None

    def token_codes(self, item: int, position: int) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        """Atoms that fire on one token (ascending) and their activations, or None when the item is not sampled."""
        token = self._token(item, position)
        if token is None:
            return None
        start, end = self._array("token_crow")[token : token + 2]
        return self._array("token_col")[start:end], self._array("token_val")[start:end]

    def item_heat(self, item: int, atom: int) -> NDArray[np.float32] | None:
        """Activation of one atom at every position of an item, float32 [P] with 0 where it does not fire.

        None when the item is not sampled.
        """
        place = self.sampled_row(item)
        if place is None:
            return None
        start, end = self._array("atom_crow")[self._check_atom(atom) : atom + 2]
        tokens = self._array("atom_row")[start:end]
        low, high = np.searchsorted(tokens, [place * self.n_positions, (place + 1) * self.n_positions])
        heat = np.zeros(self.n_positions, np.float32)
        heat[tokens[low:high] - place * self.n_positions] = self._array("atom_val")[start + low : start + high]
        return heat

    def entrants(self, item: int, position: int) -> pd.DataFrame | None:
        """Atoms just below one token's threshold, nearest first: rank, atom, gap (how far tau would have to drop).

        None when the item is not sampled or the SAE has no threshold.
        """
        token = self._token(item, position)
        if token is None or self.tau is None:
            return None
        rows = self._entrants.rows("token", token, TOKENS_PER_GROUP)
        return _frame(rows.drop_columns("token"))

    # Pictures and tensors.

    def thumbnail(self, item: int) -> bytes:
        """The picture of one item as the backbone saw it, WebP bytes.

        Raises
        ------
        InputError
            If the item does not exist or the atlas has no picture of it.
        """
        self._check_item(item)
        kind = self.meta["thumbs"]["kind"]
        if kind == "corpus":
            return self._corpus.image_bytes(int(self.items["corpus_index"].iloc[item]))
        if kind == "shards":
            shard = int(np.searchsorted(self._thumb_starts, item, side="right")) - 1
            rows = self._thumbs[shard].group((item - int(self._thumb_starts[shard])) // THUMBS_PER_GROUP)
            picture = rows.column("webp").to_pylist()[(item - int(self._thumb_starts[shard])) % THUMBS_PER_GROUP]
            if picture:
                return bytes(picture)
        raise InputError(f"{self.title} has no picture of item {item}: it was built without the corpus images.")

    def sae(self) -> SparseAutoencoder:
        """The SAE, loaded from ``sae/`` (not cached here)."""
        from engine.sae import load_sae

        return load_sae(self.path / "sae")

    @cached_property
    def baselines(self) -> list[str]:
        """Names of further SAEs trained on the same data, in ``baselines/``."""
        folder = self.path / "baselines"
        return sorted(p.parent.name for p in folder.glob("*/config.json")) if folder.is_dir() else []

    def baseline(self, name: str) -> SparseAutoencoder:
        """One of ``baselines``, loaded."""
        if name not in self.baselines:
            raise InputError(f"{self.title} has no baseline {name!r}. It has: {', '.join(self.baselines) or 'none'}.")
        from engine.sae import load_sae

        return load_sae(self.path / "baselines" / name)

    # Helpers.

    def _check_atom(self, atom: int) -> int:
        if not 0 <= atom < self.n_atoms:
            raise InputError(f"Atom {atom} does not exist: this atlas has atoms 0 to {self.n_atoms - 1}.")
        return int(atom)

    def _check_item(self, item: int) -> int:
        if not 0 <= item < self.n_items:
            raise InputError(f"Item {item} does not exist: this atlas has items 0 to {self.n_items - 1}.")
        return int(item)

    def _token(self, item: int, position: int) -> int | None:
        if not 0 <= position < self.n_positions:
            raise InputError(f"Position {position} does not exist: an item has positions 0 to {self.n_positions - 1}.")
        place = self.sampled_row(item)
        return None if place is None else place * self.n_positions + position

    def _of_atom(self, table: GroupedTable, atom: int, kind: str | None) -> pd.DataFrame:
        rows = table.rows("atom", self._check_atom(atom), self._per_group).drop_columns("atom")
        if kind is not None:
            rows = rows.filter(pc.equal(rows.column("kind"), kind))
        return _frame(rows)

    def _per_position(self, column: str, dtype: type, path: Path | None = None) -> NDArray[Any]:
        path = path or self.path / "items.parquet"
        values = read_whole(path, [column]).column(column).combine_chunks()
        flat = values.flatten().to_numpy(zero_copy_only=False).astype(dtype, copy=False)
        if flat.size not in (0, self.n_items * self.n_positions):
            raise damaged(path, f"{column} does not hold {self.n_positions} values an item")
        return flat.reshape(-1, self.n_positions)

    def _array(self, name: str) -> NDArray[Any]:
        if name in self._arrays:
            return self._arrays[name]
        path = self.path / "codes" / f"{name}.npy"
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise damaged(path, str(error)) from None
        self._arrays[name] = array
        return array

    @cached_property
    def _thumbs(self) -> list[GroupedTable]:
        return [GroupedTable(p, keep=16, columns=["webp"]) for p in sorted((self.path / "thumbs").glob("*.parquet"))]

    @cached_property
    def _thumb_starts(self) -> NDArray[np.int64]:
        counts = [open_parquet(shard.path).metadata.num_rows for shard in self._thumbs]
        if sum(counts) != self.n_items:
            raise damaged(
                self.path / "thumbs",
                f"it holds {sum(counts)} pictures for {self.n_items} items",
            )
        return np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)

    @cached_property
    def _corpus(self) -> Corpus:
        from engine.corpus import open_corpus

        return open_corpus(corpus_folder(self.path, self.meta))


def check_header(meta: Any, folder: Path) -> None:
    """Refuse what is no atlas of a major version this program reads.

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


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame
