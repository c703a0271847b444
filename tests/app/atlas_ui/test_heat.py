"""Pictures drawn from an atlas."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from app.atlas_ui import heat, map_picture, sheet
from engine.atlas import Atlas
from engine.errors import InputError


def _read(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_heat_map_is_opaque_exactly_where_the_atom_fires(shown: Atlas) -> None:
    atom = int(shown.atoms["item_count"].idxmax())
    row = shown.exemplars(atom, "top").iloc[0]
    rgba = _read(heat.exemplar_heat(shown, atom, "top", 0))
    assert rgba.shape == (*shown.grid, 4)
    fires = np.zeros(shown.n_positions, bool)
    fires[row["heat_positions"][row["heat_values"] > 0]] = True
    assert ((rgba[..., 3] > 0) == heat.patches(shown, fires).astype(bool)).all()


def test_heat_compares_between_pictures_unless_asked_otherwise() -> None:
    weak = heat.heat_png(np.array([[0.0, 1.0]], np.float32), top=10)
    strong = heat.heat_png(np.array([[0.0, 10.0]], np.float32), top=10)
    assert _read(weak)[0, 1, 3] < _read(strong)[0, 1, 3] and _read(weak)[0, 0, 3] == 0


def test_heat_of_negative_or_empty_activations_is_transparent() -> None:
    assert not _read(heat.heat_png(np.array([[-1.0, 0.0]], np.float32), top=-1))[..., 3].any()


def test_support_maps_share_one_fixed_range(shown: Atlas) -> None:
    low, high = heat.support_range(shown)
    grid = heat.patches(shown, shown.support[5])
    rgba = _read(heat.support_png(shown, 5))
    index = (np.clip((grid - low) / (high - low), 0, 1) * 255).astype(int)
    assert (rgba[..., :3] == heat.VIRIDIS[index]).all()


def test_the_small_map_places_live_atoms_inside(shown: Atlas) -> None:
    for atom, status in enumerate(shown.atoms["status"]):
        place = map_picture.map_place(shown, atom)
        assert (place is None) == (status == "dead")
        if place is not None:
            assert 0 < place[0] < 1 and 0 < place[1] < 1
    assert _read(map_picture.map_png(shown))[..., 3].any()


def test_a_sheet_shows_every_exemplar(shown: Atlas) -> None:
    page = Image.open(io.BytesIO(sheet.exemplar_sheet(shown, int(shown.atoms["item_count"].idxmax()))))
    assert page.width == 6 * (224 + 12) + 12 and page.height > 224


def test_what_does_not_exist_is_said(shown: Atlas) -> None:
    with pytest.raises(InputError, match="no top exemplar of rank 999"):
        heat.exemplar_heat(shown, 0, "top", 999)
    outside = next(item for item in range(shown.n_items) if shown.sampled_row(item) is None)
    with pytest.raises(InputError, match="codes of item"):
        heat.item_heat(shown, outside, 0)
