"""Values that hang on the object they were worked out from."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from engine.derived import derived


class Thing:
    """Something with content."""

    def __init__(self, content: int) -> None:
        self.content = content


def test_a_value_is_made_once_by_many_threads() -> None:
    made = []

    @derived
    def content(thing: Thing) -> int:
        made.append(thing.content)
        return thing.content

    thing = Thing(7)
    threads = [threading.Thread(target=content, args=(thing,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content(thing) == 7 and made == [7]


def test_objects_and_arguments_have_values_of_their_own() -> None:
    @derived
    def plus(thing: Thing, more: int = 0) -> int:
        return thing.content + more

    one, two = Thing(1), Thing(2)
    assert [plus(one), plus(two), plus(one, 5), plus(one, more=6), plus(two, 5)] == [1, 2, 6, 7, 7]


def test_two_functions_do_not_share() -> None:
    once = derived(lambda thing: thing.content)
    twice = derived(lambda thing: 2 * thing.content)
    thing = Thing(3)
    assert (once(thing), twice(thing)) == (3, 6)


def test_what_was_used_longest_ago_goes_first() -> None:
    made = []

    @derived(most=2)
    def noted(thing: Thing, key: str) -> str:
        made.append(key)
        return key

    thing = Thing(0)
    for key in ("a", "b", "a", "c", "a", "b"):
        noted(thing, key)
    assert made == ["a", "b", "c", "b"]


def test_values_go_with_their_object() -> None:
    @derived
    def itself(thing: Thing) -> list[Thing]:
        return [thing]

    thing = Thing(0)
    itself(thing)
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    assert gone() is None


def test_a_failure_is_not_kept() -> None:
    made = []

    @derived
    def once_broken(thing: Thing) -> int:
        made.append(1)
        if len(made) == 1:
            raise ValueError("not yet")
        return 5

    thing = Thing(0)
    with pytest.raises(ValueError, match="not yet"):
        once_broken(thing)
    assert once_broken(thing) == 5
