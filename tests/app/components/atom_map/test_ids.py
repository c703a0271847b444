"""A selection as text: exact for every set, short for real ones, and deaf to hostile text."""

from __future__ import annotations

import base64
import tracemalloc
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.components.atom_map import ids as written
from app.components.atom_map.ids import MAX_ATOMS, decode_ids, encode_ids
from engine.errors import InputError


@given(st.sets(st.integers(0, 2**22), max_size=300))
def test_round_trip(ids: set[int]) -> None:
    text = encode_ids(np.array(list(ids), dtype=np.int64))
    assert decode_ids(text, 2**22 + 1).tolist() == sorted(ids)
    assert text.isascii() and not set(text) & set("+/=&?#% ")


def test_repeats_and_order_do_not_matter() -> None:
    assert encode_ids(np.array([5, 1, 5])) == encode_ids(np.array([1, 5]))
    assert encode_ids(np.array([], dtype=int)) == ""


def test_links_stay_short() -> None:
    random = np.random.default_rng(0)
    assert len(encode_ids(random.choice(49_152, MAX_ATOMS, replace=False))) < 12_000
    assert len(encode_ids(random.choice(49_152, 40, replace=False))) < 130


def test_too_many_or_negative_are_refused() -> None:
    with pytest.raises(InputError, match="at most"):
        encode_ids(np.arange(MAX_ATOMS + 1))
    with pytest.raises(InputError, match="start at 0"):
        encode_ids(np.array([-1]))


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_any_text_gives_a_set_or_a_sentence(text: str) -> None:
    try:
        ids = decode_ids(text, 100)
    except InputError as error:
        assert str(error).endswith(".")
    else:
        assert ((ids >= 0) & (ids < 100)).all() and (np.diff(ids) >= 0).all()


@given(st.binary(max_size=40))
def test_any_packed_bytes_give_a_set_or_a_sentence(raw: bytes) -> None:
    text = base64.urlsafe_b64encode(zlib.compress(raw)).rstrip(b"=").decode()
    try:
        ids = decode_ids(text, 1000)
    except InputError:
        return
    assert ((ids >= 0) & (ids < 1000)).all()


def test_a_bomb_costs_nothing() -> None:
    """Neither the memory nor the steps of a link grow with what it would unpack to: both are those of the largest set."""
    peaks, unpacked = [], []

    class Counted:
        def __init__(self) -> None:
            self.unpacker = zlib.decompressobj()
            self.eof = False

        def decompress(self, packed: bytes, most: int) -> bytes:
            raw = self.unpacker.decompress(packed, most)
            unpacked.append(len(raw))
            self.eof = self.unpacker.eof
            return raw

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(written, "zlib", SimpleNamespace(decompressobj=Counted, error=zlib.error))
        for size in (1_000_000, 100_000_000):
            text = base64.urlsafe_b64encode(zlib.compress(bytes(size), 9)).decode()
            tracemalloc.start()
            with pytest.raises(InputError, match="damaged"):
                decode_ids(text, 100)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert unpacked == [10 * MAX_ATOMS] * 2
    assert max(peaks) < 1_000_000


def test_atoms_outside_the_atlas_are_refused() -> None:
    with pytest.raises(InputError, match="does not have"):
        decode_ids(encode_ids(np.array([3, 100])), 100)
