"""``Atlas``: reads one concept atlas lazily. Opening costs one small JSON file; an atom costs one row group."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.atlas.format.header import Header, check_header
from engine.atlas.format.pictures import PictureReader
from engine.atlas.format.reading import GroupedTable, damaged_file, frame, open_parquet, read_whole
from engine.atlas.format.sampled import SampledCodes
from engine.atlas.format.texts import Snippets, snippets_of
from engine.errors import InputError
from engine.files import read_json

if TYPE_CHECKING:
    from engine.sae import SparseAutoencoder


class Atlas(Header):
    """A concept atlas on disk, as ``engine/atlas/FORMAT.md`` describes it.

    All tables are read on first use and shared: treat what you get as read-only. Every method may be called from several
    threads. ``InputError`` means that an atom or item does not exist, or that a file is missing or damaged. What
    ``atlas.json`` says is in :class:`~engine.atlas.format.header.Header`.
    """

    def __init__(self, path: Path, meta: dict[str, Any]) -> None:
        super().__init__(path, meta)
        self._per_group = int(meta["atoms_per_group"])
        self._exemplars = GroupedTable(path / "exemplars.parquet", keep=16)
        self._histograms = GroupedTable(path / "histograms.parquet")
        self._labels = GroupedTable(path / "labels.parquet")
        self._neighbours = GroupedTable(path / "neighbours.parquet")
        header = Header(path, meta)  # not this object: a ring of references would keep a closed atlas in memory
        self._sampled = SampledCodes(header)
        self._pictures = PictureReader(header)

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

    # Whole tables.

    @cached_property
    def atoms(self) -> pd.DataFrame:
        """One row for each atom (index ``atom``), columns as in FORMAT.md; ``label_candidates`` holds lists."""
        table = frame(read_whole(self.path / "atoms.parquet")).set_index("atom")
        table["label_candidates"] = [list(names) for names in table["label_candidates"]]
        return table

    @cached_property
    def items(self) -> pd.DataFrame:
        """One row for each item (index ``item``), without the list columns ``support`` and ``tau``."""
        path = self.path / "items.parquet"
        names = [name for name in open_parquet(path).schema_arrow.names if name not in ("support", "tau")]
        return frame(read_whole(path, names)).set_index("item")

    @cached_property
    def support(self) -> NDArray[np.uint16]:
        """Support size of every token, uint16 [n_items, P]."""
        return self._of_positions("items.parquet", "support", np.uint16)

    @cached_property
    def tau(self) -> NDArray[np.float32] | None:
        """Threshold of every token, in score units, float32 [n_items, P], or None when the SAE has none."""
        values = self._of_positions("items.parquet", "tau", np.float32)
        return values if values.size else None

    @cached_property
    def tokens(self) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
        """Token ids, and where each begins in the item's caption (characters), both int32 [n_items, P]; None for pictures."""
        if not self.is_text:
            return None
        ids, starts = (self._of_positions("tokens.parquet", name, np.int32) for name in ("ids", "starts"))
        return ids, starts

    @cached_property
    def snippets(self) -> Snippets:
        """The words at and around any token. Only an atlas of texts has them."""
        if self.tokens is None:
            raise InputError(f"{self.title} is an atlas of pictures: it has no tokens to read.")
        return snippets_of(self.items, self.tokens[1], self.meta["backbone"])

    @cached_property
    def clusters(self) -> pd.DataFrame:
        """One row for each cluster of the map (index ``cluster``); ``keywords`` holds lists."""
        table = frame(read_whole(self.path / "clusters.parquet")).set_index("cluster")
        table["keywords"] = [list(words) for words in table["keywords"]]
        return table

    @cached_property
    def training(self) -> pd.DataFrame | None:
        """The SAE's training log, one row for each logged step, or None."""
        path = self.path / "training.parquet"
        return frame(read_whole(path)) if path.is_file() else None

    @cached_property
    def histogram_edges(self) -> NDArray[np.float64]:
        """B + 1 ascending bin edges, shared by all atoms, in code units."""
        return np.asarray(self.meta["histogram_edges"], np.float64)

    # One atom.

    def exemplars(self, atom: int, kind: str | None = None) -> pd.DataFrame:
        """Exemplars of one atom, ``top`` first, by rank; ``kind`` keeps ``"top"`` or ``"quantile"`` only.

        ``heat_positions`` (uint16) and ``heat_values`` (float32) hold one array in each row.
        """
        return self._of_atom(self._exemplars, atom, kind)

    def histogram(self, atom: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Bin edges [B + 1] and the atom's token counts [B]; the outer bins also take what lies outside."""
        rows = self._histograms.rows("atom", self.check_atom(atom), self._per_group)
        if rows.num_rows != 1:
            raise damaged_file(self._histograms.path, f"atom {atom} has {rows.num_rows} rows")
        return self.histogram_edges, rows.column("counts")[0].values.to_numpy()

    def labels(self, atom: int) -> pd.DataFrame:
        """The labels of the items on which the atom fires, most tokens first: label, tokens, items, share."""
        return self._of_atom(self._labels, atom, None)

    def neighbours(self, atom: int, kind: str | None = None) -> pd.DataFrame:
        """Nearest atoms, nearest first: kind (``decoder``, ``coactivation``), rank, other, similarity."""
        return self._of_atom(self._neighbours, atom, kind)

    # Sampled items.

    @property
    def sampled_items(self) -> NDArray[np.int32]:
        """Items whose codes the atlas holds, ascending, int32 [S]."""
        return self._sampled.items

    def sampled_row(self, item: int) -> int | None:
        """Place of an item in ``sampled_items``, or None when it is not sampled."""
        return self._sampled.row(item)

    def token_codes(self, item: int, position: int) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        """Atoms that fire on one token (ascending) and their activations, or None when the item is not sampled."""
        token = self._sampled.token(item, position)
        return None if token is None else self._sampled.codes(token)

    def item_heat(self, item: int, atom: int) -> NDArray[np.float32] | None:
        """Activation of one atom at every position of an item, float32 [P] with 0 where it does not fire.

        None when the item is not sampled.
        """
        row = self._sampled.row(item)
        return None if row is None else self._sampled.heat(row, self.check_atom(atom))

    def entrants(self, item: int, position: int) -> pd.DataFrame | None:
        """Atoms just below one token's threshold, nearest first: rank, atom, gap (how far tau would have to drop).

        None when the item is not sampled or the SAE has no threshold.
        """
        token = self._sampled.token(item, position)
        return None if token is None or self.tau is None else self._sampled.entrants(token)

    # Pictures and SAEs.

    def thumbnail(self, item: int) -> bytes:
        """The picture of one item as the backbone saw it, WebP bytes.

        Raises
        ------
        InputError
            If the item does not exist or the atlas has no picture of it.
        """
        self.check_item(item)
        kind = self.meta["thumbs"]["kind"]
        if kind == "corpus":
            return self._pictures.from_corpus(int(self.items["corpus_index"].iloc[item]))
        if kind == "shards" and (picture := self._pictures.thumbnail(item)):
            return picture
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

    def _of_atom(self, table: GroupedTable, atom: int, kind: str | None) -> pd.DataFrame:
        """The rows of one atom, or those of one kind among them."""
        rows = table.rows("atom", self.check_atom(atom), self._per_group).drop_columns("atom")
        if kind is not None:
            rows = rows.filter(pc.equal(rows.column("kind"), kind))
        return frame(rows)

    def _of_positions(self, file: str, column: str, dtype: type) -> NDArray[Any]:
        """A list column with one value for each position of each item, [n_items, P] (or [0, P] when its lists are empty)."""
        values = read_whole(self.path / file, [column]).column(column).combine_chunks()
        flat = values.flatten().to_numpy(zero_copy_only=False).astype(dtype, copy=False)
        if flat.size not in (0, self.n_items * self.n_positions):
            raise damaged_file(self.path / file, f"{column} does not hold {self.n_positions} values an item")
        return flat.reshape(-1, self.n_positions)
