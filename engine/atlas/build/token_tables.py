"""Support size and threshold of every token, written to files by the pass, so that memory does not grow with the items."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from engine.atlas.build.encoding import EncodedTokens
from engine.files import explain_os_errors


class TokenTables:
    """``support.npy`` and ``tau.npy`` in the work folder, growing with the pass.

    Parameters
    ----------
    folder : Path
        The work folder.
    n_items, n_positions : int
        Size of the tables.
    resumed : bool
        Whether an earlier run left tables to go on with.

    Attributes
    ----------
    support : uint16 [n_items, P], mapped
        Support size of every token; larger ones are noted as 65,535.
    tau : float32 [n_items, P], mapped, or None
        Threshold of every token, in score units; None when the SAE has none.
    """

    def __init__(self, folder: Path, n_items: int, n_positions: int, resumed: bool) -> None:
        self._shape = (n_items, n_positions)
        self._resumed = resumed
        self._tau_path = folder / "tau.npy"
        self.support: Any = self._open(folder / "support.npy", np.uint16)
        self.tau: Any = self._open(self._tau_path, np.float32) if resumed and self._tau_path.is_file() else None

    def write(self, first: int, end: int, codes: EncodedTokens) -> None:
        """Note the tokens of the items ``first`` to ``end``."""
        sizes = np.minimum(codes.sizes, np.iinfo(np.uint16).max)
        self.support[first:end] = sizes.reshape(-1, self._shape[1])
        if codes.tau is not None:
            if self.tau is None:
                self.tau = self._open(self._tau_path, np.float32)
            self.tau[first:end] = codes.tau.reshape(-1, self._shape[1])

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        for table in (self.support, self.tau):
            if table is not None:
                table.flush()

    def _open(self, path: Path, dtype: Any) -> Any:
        with explain_os_errors(path):
            if self._resumed and path.is_file():
                return open_memmap(path, mode="r+")
            table = open_memmap(path, mode="w+", dtype=dtype, shape=self._shape)
            # Writing into a mapped file that the disk has no room for kills the process: take the room now.
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            return table
