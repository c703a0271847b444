"""The house stands: no two files import each other, no arrow runs upward, pages and rooms keep apart, files stay short."""

from __future__ import annotations

import statistics
from itertools import pairwise
from pathlib import Path

import pytest

from engine.paths import ASSETS
from tests.import_graph import Graph, circle, folded, inside, modules, named

ROOT = ASSETS.parent
FLOORS = ("kernels", "engine", "app")
LONGEST, MEDIAN = 400, 150


@pytest.fixture(scope="module")
def asked() -> Graph:
    """All that our files import."""
    return named(ROOT, FLOORS)


@pytest.fixture(scope="module")
def graph(asked: Graph) -> Graph:
    """Imports between our own files."""
    return inside(asked)


def _below(module: str, *rooms: str) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def _arrows(graph: Graph, source: tuple[str, ...], target: tuple[str, ...]) -> list[str]:
    """Imports that go from a room of ``source`` to one of ``target``."""
    return [
        f"{module} -> {wanted}"
        for module, all_wanted in graph.items()
        for wanted in sorted(all_wanted)
        if _below(module, *source) and _below(wanted, *target)
    ]


def _page(module: str) -> str:
    parts = module.split(".")
    return parts[2] if parts[:2] == ["app", "pages"] and len(parts) > 2 else ""


def _room(module: str) -> str:
    """The first folder below engine; a file that lies directly in it is a room of its own."""
    parts = module.split(".")
    return parts[1] if parts[0] == "engine" and len(parts) > 1 else ""


def test_no_two_files_import_each_other_round_any_corner(graph: Graph) -> None:
    assert len(graph) > 300, "the files were not found"
    assert not (found := circle(graph)), f"an import circle: {' -> '.join(found)}"


def test_the_rooms_of_the_engine_have_an_order(graph: Graph) -> None:
    rooms = folded(graph, _room)
    assert rooms["cli"] >= {"sae", "atlas", "retrieval"}
    found = circle(rooms)
    files = [arrow for a, b in pairwise(found) for arrow in _room_arrows(graph, a, b)]
    assert not found, f"rooms in a circle: {' -> '.join(found)}, by {', '.join(files)}"


def _room_arrows(graph: Graph, source: str, target: str) -> list[str]:
    return _arrows(graph, (f"engine.{source}",), (f"engine.{target}",))


@pytest.mark.parametrize("floor", range(len(FLOORS) - 1), ids=FLOORS[:-1])
def test_no_arrow_runs_upward(graph: Graph, floor: int) -> None:
    assert _arrows(graph, FLOORS[floor + 1 :], FLOORS[: floor + 1]), "no arrow was found at all"
    assert _arrows(graph, FLOORS[: floor + 1], FLOORS[floor + 1 :]) == []


def test_two_pages_never_import_each_other(graph: Graph) -> None:
    pages = folded(graph, _page)
    assert len(pages) >= 6
    assert pages == {page: set() for page in pages}


def test_the_kit_knows_no_atlas_and_no_session(graph: Graph) -> None:
    assert _arrows(graph, ("app.ui",), ("app.ui",)), "no file of the kit was found"
    assert _arrows(graph, ("app.ui",), ("engine.atlas", "app.state", "app.opened", "app.atlas_ui", "app.pages")) == []


def test_the_command_line_is_imported_by_nobody_in_the_engine(graph: Graph) -> None:
    rest = tuple(f"engine.{room}" for room in folded(graph, _room) if room != "cli")
    assert _arrows(graph, ("engine.cli",), rest)
    assert _arrows(graph, rest, ("engine.cli",)) == []


def _strangers(asked: Graph, floors: tuple[str, ...], packages: tuple[str, ...]) -> list[str]:
    """Imports of other people's packages by files of ``floors``."""
    return [
        f"{module} -> {name}"
        for module, names in asked.items()
        for name in sorted(names)
        if _below(module, *floors) and _below(name, *packages)
    ]


def test_below_the_app_nothing_draws(asked: Graph) -> None:
    assert _strangers(asked, ("app",), ("streamlit",)) and _strangers(asked, ("app",), ("plotly",))
    assert _strangers(asked, ("engine", "kernels"), ("streamlit", "plotly")) == []


def test_what_ships_needs_no_test(asked: Graph) -> None:
    assert _strangers(asked, FLOORS, ("tests", "pytest", "hypothesis")) == []


def test_files_are_short() -> None:
    tops = (*FLOORS, "tests")
    lines = {name: len(file.read_text("utf-8").splitlines()) for name, file in modules(ROOT, tops).items()}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}
    assert statistics.median(lines.values()) < MEDIAN
    assert statistics.median(count for name, count in lines.items() if not _below(name, "tests")) < MEDIAN


# That the graph sees every kind of import is not taken on trust.


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package of five files: one function-level, one TYPE_CHECKING, one relative and one named import."""
    sources = {
        "house/__init__.py": "VALUE = 1",
        "house/top.py": "from house import VALUE, middle\nimport os",
        "house/middle.py": "def f():\n    import house.room.low as low\n    return low",
        "house/room/__init__.py": "",
        "house/room/low.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..side import Thing",
        "house/side.py": "from importlib import import_module\nThing = import_module('house.ground')",
        "house/ground.py": "from .room import low as low",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_kind_of_import_is_seen(tree: Path) -> None:
    assert inside(named(tree, ("house",))) == {
        "house": set(),
        "house.top": {"house", "house.middle"},
        "house.middle": {"house.room.low"},
        "house.room": set(),
        "house.room.low": {"house.side"},
        "house.side": {"house.ground"},
        "house.ground": {"house.room.low"},
    }


def test_a_circle_is_told_in_the_order_of_its_imports(tree: Path) -> None:
    graph = inside(named(tree, ("house",)))
    found = circle(graph)
    assert found[0] == found[-1] and set(found) == {"house.room.low", "house.side", "house.ground"}
    assert all(later in graph[earlier] for earlier, later in pairwise(found))
    graph["house.ground"].clear()
    assert circle(graph) == []
