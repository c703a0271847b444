"""What a synthetic atlas is drawn from: items, codes, directions and pictures. Numbers and pictures only, no file."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

GRID = 14
PREFIX = 1
POSITIONS = PREFIX + GRID * GRID
WIDTH = 16  # d_model: small, so that a 49,152-atom atlas stays a few megabytes
THUMB = 112

COLOURS = {"red": "#d1495b", "blue": "#3066be", "green": "#2e933c", "yellow": "#f2c14e", "purple": "#7d5ba6"}
SHAPES = ("circle", "square", "triangle", "ring")
GROUNDS = {"white": "#f7f7f2", "grey": "#b8b8aa", "navy": "#1d2f4f", "sand": "#e6d5b8"}
LABELS = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]


@dataclass
class Items:
    """What each picture shows: places in ``COLOURS``, ``SHAPES``, ``GROUNDS``, ``LABELS``; all int64 [n_items]."""

    colour: NDArray[np.int64]
    shape: NDArray[np.int64]
    ground: NDArray[np.int64]

    @property
    def label(self) -> NDArray[np.int64]:
        """Place of each item's label."""
        return self.colour * len(SHAPES) + self.shape


@dataclass
class Codes:
    """CSR by token: item by item, position by position; atoms ascending inside a token."""

    crow: NDArray[np.int64]
    col: NDArray[np.int32]
    val: NDArray[np.float32]


def draw_items(rng: np.random.Generator, n_items: int) -> Items:
    """One coloured shape on a ground for every item."""
    return Items(*(rng.integers(len(kinds), size=n_items) for kinds in (COLOURS, SHAPES, GROUNDS)))


def draw_clusters(rng: np.random.Generator, n_atoms: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Cluster of every atom [M], and the home label of every cluster."""
    count = int(np.clip(n_atoms // 150, 3, 40))
    weights = rng.dirichlet(np.full(count, 4.0))
    cluster = np.concatenate([np.arange(count), rng.choice(count, max(n_atoms - count, 0), p=weights)])[:n_atoms]
    rng.shuffle(cluster)
    return cluster.astype(np.int32), rng.integers(len(LABELS), size=count)


def draw_codes(rng: np.random.Generator, n_atoms: int, label: NDArray[np.int64], homes: NDArray[np.int64]) -> Codes:
    """Draw which items an atom fires on, on which block of patches, how strongly.

    Frequencies follow a power law, some atoms are dead and a few fire nearly everywhere; the items of an atom begin near
    one of the labels ``homes`` and never repeat.
    """
    n_items = len(label)
    rank = rng.permutation(n_atoms)
    count = np.minimum(0.8 * n_items / (1 + rank) ** 0.7 + rng.integers(2, 36, n_atoms), n_items).astype(np.int64)
    dead = rng.random(n_atoms) < 0.08
    dead[:4] = False
    dense = rank < max(n_atoms // 4096, 1)
    count[dead] = 0
    count[dense] = n_items

    # Items sorted by label: a run of them that starts near the home label is mostly of that label.
    by_label = np.argsort(label, kind="stable")
    home = homes[rng.integers(len(homes), size=n_atoms)]
    first = np.searchsorted(label[by_label], home) + rng.integers(0, 6, n_atoms)
    pair_atom = np.repeat(np.arange(n_atoms), count)
    step = np.arange(len(pair_atom)) - np.repeat(np.cumsum(count) - count, count)
    pair_item = by_label[(np.repeat(first, count) + step) % n_items]

    # A block of patches; one atom in twelve fires on the CLS token only, dense ones nearly everywhere.
    n_pairs = len(pair_atom)
    high = rng.integers(1, 4, n_pairs)
    wide = rng.integers(1, 4, n_pairs)
    everywhere = dense[pair_atom]
    high[everywhere] = wide[everywhere] = GRID
    cls = (rng.random(n_atoms) < 1 / 12)[pair_atom] & ~everywhere
    high[cls] = wide[cls] = 1
    top = (rng.random(n_pairs) * (GRID - high + 1)).astype(np.int64)
    left = (rng.random(n_pairs) * (GRID - wide + 1)).astype(np.int64)
    strength = (rng.gamma(2.0, 0.25, n_pairs) + 0.05) * rng.lognormal(0, 0.4, n_atoms)[pair_atom]

    size = high * wide
    pair = np.repeat(np.arange(n_pairs), size)
    cell = np.arange(len(pair)) - np.repeat(np.cumsum(size) - size, size)
    row, column = cell // wide[pair], cell % wide[pair]
    position = PREFIX + (top[pair] + row) * GRID + left[pair] + column
    position[cls[pair]] = 0
    val = (strength[pair] * rng.uniform(0.35, 1.0, len(pair))).astype(np.float32)
    atom = pair_atom[pair].astype(np.int32)
    token = pair_item[pair] * POSITIONS + position

    order = np.argsort(token * np.int64(n_atoms) + atom)
    crow = np.zeros(n_items * POSITIONS + 1, np.int64)
    np.cumsum(np.bincount(token, minlength=n_items * POSITIONS), out=crow[1:])
    return Codes(crow, atom[order], val[order])


def draw_embeddings(rng: np.random.Generator, label: NDArray[np.int64]) -> NDArray[np.float32]:
    """Unit rows [n, 32], near each other for items of one label."""
    centres = rng.normal(size=(label.max() + 1, 32))
    points = centres[label] + 0.5 * rng.normal(size=(len(label), 32))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def draw_directions(rng: np.random.Generator, cluster: NDArray[np.int32]) -> NDArray[np.float32]:
    """A direction [M, d] for every atom, round the centre of its cluster."""
    centres = rng.normal(size=(cluster.max() + 1, WIDTH))
    return (centres[cluster] + 0.45 * rng.normal(size=(len(cluster), WIDTH))).astype(np.float32)


def draw_places(rng: np.random.Generator, cluster: NDArray[np.int32]) -> NDArray[np.float32]:
    """A place [M, 2] on the map for every atom, round that of its cluster."""
    angle = rng.uniform(0, 2 * np.pi, cluster.max() + 1)
    radius = 10 * np.sqrt(rng.random(cluster.max() + 1))
    centre = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return (centre[cluster] + rng.normal(0, 0.7, (len(cluster), 2))).astype(np.float32)


def picture(rng: np.random.Generator, colour: str, shape: str, ground: str) -> bytes:
    """A WebP of one shape, somewhere, of some size."""
    image = Image.new("RGB", (THUMB, THUMB), GROUNDS[ground])
    draw = ImageDraw.Draw(image)
    size = int(rng.integers(28, 72))
    x, y = (int(v) for v in rng.integers(4, THUMB - size - 4, 2))
    box, fill = (x, y, x + size, y + size), COLOURS[colour]
    match shape:
        case "circle":
            draw.ellipse(box, fill=fill)
        case "square":
            draw.rectangle(box, fill=fill)
        case "triangle":
            draw.polygon([(x, y + size), (x + size, y + size), (x + size // 2, y)], fill=fill)
        case _:
            draw.ellipse(box, outline=fill, width=max(size // 6, 3))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=70, method=0)
    return buffer.getvalue()
