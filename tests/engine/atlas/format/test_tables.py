"""Tables cut by whole atoms, and arrays whose writing says when the disk is full."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.atlas.format.tables import GroupedTable, make_table, save_array, write_grouped
from engine.errors import AtomscopeError, InputError
from engine.files import explain_os_errors


def entrants(tokens: list[int]) -> pa.Table:
    n = len(tokens)
    return make_table("entrants.parquet", {"token": tokens, "rank": [0] * n, "atom": range(n), "gap": np.zeros(n)})


@pytest.mark.parametrize("tokens", [[], [0, 0, 1], [5, 5, 9], [0, 3, 4, 7, 8, 9, 9]])
def test_row_groups_hold_whole_keys_and_empty_ones_exist(tmp_path: Path, tokens: list[int]) -> None:
    write_grouped(tmp_path / "t.parquet", entrants(tokens), "token", 10, 4)
    file = pq.ParquetFile(tmp_path / "t.parquet")
    assert file.num_row_groups == 3
    for group in range(3):
        assert file.read_row_group(group)["token"].to_pylist() == [t for t in tokens if t // 4 == group]
    table = GroupedTable(tmp_path / "t.parquet", keep=1)
    for token in range(10):
        assert len(table.rows("token", token, 4)) == tokens.count(token)
    with pytest.raises(InputError, match="has no row group 3"):
        table.group(3)


def test_arrays_round_trip(tmp_path: Path) -> None:
    for array in (np.arange(7, dtype=np.int32), np.zeros((0, 2)), np.asfortranarray(np.random.rand(3, 4))):
        save_array(tmp_path / "a.npy", array)
        assert np.array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), array)
    with pytest.raises(ValueError, match="Object arrays"):
        save_array(tmp_path / "a.npy", np.array([{}], object))


def test_a_full_disk_has_its_number() -> None:
    with pytest.raises(OSError) as caught:
        save_array(Path("/dev/full"), np.zeros(10_000))
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(AtomscopeError, match="No space left while writing"), explain_os_errors(Path("/dev/full")):
        save_array(Path("/dev/full"), np.zeros(10_000))
