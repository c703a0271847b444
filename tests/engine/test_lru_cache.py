"""The cache of what was used recently, bounded by bytes or by a count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.lru_cache import LRUCache


def test_the_oldest_go_until_all_fit() -> None:
    cache: LRUCache[str, str] = LRUCache(10)
    cache.put("a", "A", 4)
    cache.put("b", "B", 4)
    assert cache.get("a") == "A"
    cache.put("c", "C", 4)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ("A", None, "C")
    cache.put("huge", "H", 11)
    assert cache.get("huge") is None
    cache.put("a", "AA", 6)
    assert (cache.used, len(cache)) == (10, 2)
    cache.clear()
    assert (cache.used, len(cache)) == (0, 0)


def test_a_value_that_is_too_large_may_stay_alone() -> None:
    cache: LRUCache[str, str] = LRUCache(10, lone=True)
    cache.put("a", "A", 4)
    cache.put("huge", "H", 11)
    assert (cache.get("a"), cache.get("huge"), cache.used) == (None, "H", 11)
    cache.put("b", "B", 1)
    assert (cache.get("huge"), cache.get("b"), cache.used) == (None, "B", 1)


def test_what_goes_is_told() -> None:
    gone: list[str] = []
    cache: LRUCache[int, str] = LRUCache(2, dropped=gone.append)
    for number, value in enumerate("abcd"):
        cache.put(number, value)
    assert gone == ["a", "b"] and 2 in cache and 0 not in cache
    cache.put(3, "e")
    cache.clear()
    assert gone == ["a", "b", "d", "c", "e"]


@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9))), st.booleans())
def test_it_never_holds_more_than_its_limit(limit: int, puts: list[tuple[int, int]], lone: bool) -> None:
    cache: LRUCache[int, int] = LRUCache(limit, lone)
    for key, size in puts:
        cache.put(key, size, size)
        assert (key in cache) is (lone or size <= limit)
        assert cache.used <= limit or (lone and len(cache) == 1)
        assert cache.used == sum(cache.get(k) or 0 for k in range(6))
