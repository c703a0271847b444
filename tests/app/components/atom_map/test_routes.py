"""What the map fetches: the bytes are the atlas's numbers, in the layout the browser reads."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.components.atom_map.filters import AtomFilter
from app.components.atom_map.ids import encode_ids
from app.components.atom_map.routes import map_routes, matching, static_version
from app.urls import MAP
from engine.atlas import Atlas, search


@pytest.fixture
def client(shown: Atlas) -> TestClient:
    routes = map_routes(lambda key: shown if key == shown.key else None, lambda atlas, item: f"/thumb/{item}")
    return TestClient(Starlette(routes=routes))


def test_columns_are_little_endian_floats(client: TestClient, shown: Atlas) -> None:
    for column in ("x", "y", "frequency", "firing_count"):
        answer = client.get(f"{MAP}/{shown.key}/columns/{column}.f32")
        assert "immutable" in answer.headers["cache-control"]
        np.testing.assert_array_equal(np.frombuffer(answer.content, "<f4"), shown.atoms[column].to_numpy(np.float32))


def test_a_point_costs_ten_to_twelve_bytes(client: TestClient, shown: Atlas) -> None:
    paths = ("columns/x.f32", "columns/y.f32", "categories/cluster.i16")
    sizes = [len(client.get(f"{MAP}/{shown.key}/{path}").content) for path in paths]
    assert sum(sizes) == 10 * shown.n_atoms


def test_filter_bits(client: TestClient, shown: Atlas) -> None:
    wanted = AtomFilter(frozenset({"dead"}), "frequency", 1e-3)
    answer = client.get(f"{MAP}/{shown.key}/visible.bits?{wanted.encoded()}")
    bits = np.unpackbits(np.frombuffer(answer.content, np.uint8), bitorder="little")[: shown.n_atoms].astype(bool)
    np.testing.assert_array_equal(bits, wanted.mask(shown.atoms))
    assert 0 < bits.sum() < shown.n_atoms


def test_sets_and_searches(client: TestClient, shown: Atlas) -> None:
    answer = client.get(f"{MAP}/{shown.key}/set.u32?ids={encode_ids(np.array([7, 3]))}")
    assert np.frombuffer(answer.content, "<u4").tolist() == [3, 7]
    word = shown.clusters["label"].iloc[0].split()[0]
    found = np.frombuffer(client.get(f"{MAP}/{shown.key}/search.u32?q={word}").content, "<u4")
    assert set(found.tolist()) == {hit.atom for hit in search.find_atoms(shown, word, limit=shown.n_atoms)}
    assert len(found)


def test_a_number_finds_its_atom(shown: Atlas) -> None:
    assert 17 in matching(shown, "17")
    assert 17 in matching(shown, " #17 ")
    assert matching(shown, "99999999999").size == 0
    assert matching(shown, "").size == 0


def test_a_card_names_the_atom_and_its_pictures(client: TestClient, shown: Atlas) -> None:
    atom = int(np.flatnonzero(shown.atoms["status"] == "live")[0])
    card = client.get(f"{MAP}/{shown.key}/atoms/{atom}.json").json()
    assert card["label"] == shown.atoms["label"].iloc[atom]
    first = shown.exemplars(atom, "top")["item"].iloc[0]
    assert card["thumbs"][0] == f"/thumb/{first}"
    dead = int(np.flatnonzero(shown.atoms["status"] == "dead")[0])
    assert client.get(f"{MAP}/{shown.key}/atoms/{dead}.json").json()["values"]["mean_activation"] is None


@pytest.mark.parametrize(
    "path",
    [
        "columns/label.f32",
        "columns/path.f32",
        "categories/frequency.i16",
        "set.u32?ids=!",
        "visible.bits?range=a:b:c",
        "atoms/9999.json",
    ],
)
def test_what_is_not_there_is_a_404_with_a_sentence(client: TestClient, shown: Atlas, path: str) -> None:
    answer = client.get(f"{MAP}/{shown.key}/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"].endswith(".")
    assert client.get(f"{MAP}/unknown/columns/x.f32").status_code == 404


def test_static_files_and_nothing_else(client: TestClient) -> None:
    static = f"{MAP}/static/{static_version()}"
    script = client.get(f"{static}/atom_map.js")
    assert script.headers["content-type"].startswith("text/javascript")
    plotly = client.get(f"{static}/plotly.min.js")
    assert "plotly.js" in plotly.text[:200]
    raw = client.get(f"{static}/plotly.min.js", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in raw.headers
    assert len(gzip.compress(raw.content, 1)) < len(raw.content)
    for name in ("routes.py", "..", "nothing.js"):
        assert client.get(f"{static}/{name}").status_code == 404
