"""The routes beside Streamlit: what they answer, and what they answer to nonsense."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app import server
from app.ui import browser
from engine.atlas import Atlas


@pytest.fixture
def client(shown: Atlas) -> TestClient:
    return TestClient(Starlette(routes=server.ROUTES))


def test_pictures_are_kept_for_ever_and_not_sent_twice(client: TestClient, shown: Atlas) -> None:
    for path, kind in (
        (f"thumb/{shown.key}/3.webp", "WEBP"),
        (f"heat/{shown.key}/{_busy(shown)}/top-0.png", "PNG"),
        (f"support/{shown.key}/3.png", "PNG"),
        (f"map/{shown.key}.png", "PNG"),
        (f"item-heat/{shown.key}/{shown.sampled_items[0]}/{_busy(shown)}.png", "PNG"),
    ):
        answer = client.get(f"/atomscope/{path}")
        assert answer.status_code == 200, path
        assert "immutable" in answer.headers["cache-control"]
        assert Image.open(io.BytesIO(answer.content)).format == kind
        again = client.get(f"/atomscope/{path}", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304 and again.content == b""


HOSTILE = [
    "thumb/{key}/-1.webp",
    "thumb/{key}/999999.webp",
    "thumb/{key}/99999999999999999999999.webp",
    "thumb/{key}/1e3.webp",
    "thumb/{key}/%D9%A3.webp",
    "thumb/{key}/..%2F..%2Fatlas.json.webp",
    "thumb/nosuchatlas1/0.webp",
    "thumb/..%2F..%2Fetc/0.webp",
    "heat/{key}/0/top-99.png",
    "heat/{key}/0/best-0.png",
    "heat/{key}/0/top--1.png",
    "heat/{key}/999999/top-0.png",
    "item-heat/{key}/999999/0.png",
    "support/{key}/x.json",
    "export/{key}/x/exemplars.csv",
    "fonts/..%2Ftheme.toml",
    "fonts/none.woff2",
    "ui/browser-0000000000.js",
    "ui/..%2F..%2Fserver.py",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_hostile_paths_are_a_plain_404(client: TestClient, shown: Atlas, path: str) -> None:
    answer = client.get("/atomscope/" + path.format(key=shown.key))
    assert answer.status_code == 404
    assert "Traceback" not in answer.text and len(answer.text) < 80


def test_exports(client: TestClient, shown: Atlas) -> None:
    atom = _busy(shown)
    base = f"/atomscope/export/{shown.key}/{atom}"
    table = pd.read_csv(io.BytesIO(client.get(f"{base}/exemplars.csv").content))
    assert table["item"].tolist() == shown.exemplars(atom)["item"].tolist()
    assert table["caption"].tolist() == shown.items["caption"].loc[table["item"]].tolist()
    document = json.loads(client.get(f"{base}/provenance.json").content)
    assert document["atlas"]["key"] == shown.key and document["atom"]["atom"] == atom
    answer = client.get(f"{base}/exemplars.png")
    assert f'filename="atom-{atom}-exemplars.png"' in answer.headers["content-disposition"]


def test_a_dead_atom_has_a_provenance_without_numbers(client: TestClient, shown: Atlas) -> None:
    dead = int(shown.atoms.index[shown.atoms["status"] == "dead"][0])
    document = json.loads(client.get(f"/atomscope/export/{shown.key}/{dead}/provenance.json").content)
    assert document["atom"]["max_activation"] is None
    assert client.get(f"/atomscope/export/{shown.key}/{dead}/exemplars.png").status_code == 200


def test_support_numbers_fonts_and_the_browser_half(client: TestClient, shown: Atlas) -> None:
    assert client.get(f"/atomscope/support/{shown.key}/2.json").json() == shown.support[2].tolist()
    assert client.get("/atomscope/fonts/inter-latin.woff2").content[:4] == b"wOF2"
    assert "export default" in client.get(f"/atomscope/ui/{browser.script_name()}").text


def test_an_item_names_its_terms(client: TestClient, shown: Atlas) -> None:
    about = client.get(f"/atomscope/item/{shown.key}/4.json").json()
    row = shown.items.iloc[4]
    assert (about["id"], about["license"], about["credit"]) == (row["id"], row["license"], row["credit"])
    assert client.get(f"/atomscope/item/{shown.key}/{shown.n_items}.json").status_code == 404


def test_spreadsheets_run_no_formula() -> None:
    from app.atlas_ui.exports import to_csv

    text = to_csv(pd.DataFrame({"caption": ["=HYPERLINK(1)", "@x", "fine"], "value": [-1.5, 2, 3]})).decode()
    assert "'=HYPERLINK(1)" in text and "'@x" in text and "\nfine" in text and "-1.5" in text


def _busy(atlas: Atlas) -> int:
    return int(atlas.atoms["item_count"].idxmax())
