"""Who imports whom, read from the source by ``ast``: nothing is run, so a lazy import counts like any other."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

Graph = dict[str, set[str]]
"""Module -> what it imports."""


def modules(root: Path, tops: Iterable[str]) -> dict[str, Path]:
    """Dotted name -> file of every Python file below ``root / top``; a package's name stands for its ``__init__``."""
    found = {}
    for top in tops:
        for file in sorted((root / top).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def named(root: Path, tops: Iterable[str]) -> Graph:
    """Every dotted name that a module imports, ours and others'; ``from a import b`` counts as ``a.b``.

    Every import counts: at the top of a file, inside a function, for type checkers, and by ``import_module("name")``.
    """
    found = {}
    for name, file in modules(root, tops).items():
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        found[name] = set(_named_in(ast.parse(file.read_text("utf-8")), package))
    return found


def inside(asked: Graph) -> Graph:
    """Imports between the modules of ``asked`` alone.

    ``from package import name`` is an import of the submodule where there is one, else of the package's ``__init__``.
    """
    return {name: {_owner(other, asked) for other in others} - {name, ""} for name, others in asked.items()}


def _named_in(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
            yield from (given.value for given in node.args[:1] if isinstance(given, ast.Constant))


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _owner(asked: str, known: Graph) -> str:
    """The module behind a dotted name (the longest beginning that is one); empty for other people's packages."""
    while asked and asked not in known:
        asked = asked.rpartition(".")[0]
    return asked


def circle(graph: Graph) -> list[str]:
    """A path that comes back to where it began, each importing the next; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))  # graphlib lists predecessors first: each is imported by the next
    return []


def folded(graph: Graph, group: Callable[[str], str]) -> Graph:
    """The graph between groups of modules; modules whose group is empty are left out."""
    found: Graph = {}
    for module, wanted in graph.items():
        if here := group(module):
            found.setdefault(here, set()).update(there for there in map(group, wanted) if there and there != here)
    return found
