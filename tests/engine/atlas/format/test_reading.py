"""Tables cut by whole keys: what is written can be read one row group at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.atlas.format.reading import GroupedTable
from engine.atlas.format.tables import make_table, write_grouped
from engine.errors import InputError


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
