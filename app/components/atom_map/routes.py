"""What the atom map fetches by itself: plotly.js, its own modules, columns as typed arrays, sets of atoms, atom cards.

Everything hangs below an address that names its content (a version, a hash, an atlas key), so a browser may keep it for
ever. Numbers travel little-endian and raw: float32 coordinates and colours, one bit per atom for filters.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app import parse
from app.components.atom_map.filters import AtomFilter, numeric_columns
from app.components.atom_map.ids import decode_ids
from app.components.atom_map.scales import CATEGORICAL, categories_of
from app.urls import MAP
from engine.atlas import search
from engine.errors import InputError
from engine.files import without_nan

if TYPE_CHECKING:
    from engine.atlas import Atlas

STATIC = Path(__file__).parent / "static"
CARD_EXEMPLARS = 6
CARD_TEXTS = 4

_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

Lookup = Callable[[str], "Atlas | None"]
ThumbUrl = Callable[["Atlas", int], str]


def map_routes(lookup: Lookup, thumb_url: ThumbUrl) -> list[Route]:
    """Routes for the server.

    Parameters
    ----------
    lookup : atlas key -> open atlas, or None when this server does not show such an atlas
    thumb_url : (atlas, item) -> address of the item's thumbnail
    """
    answers: dict[str, Callable[[Atlas, Request], Response]] = {
        "columns/{column}.f32": _column,
        "categories/{column}.i16": _categories,
        "visible.bits": _visible,
        "set.u32": _set,
        "search.u32": _search,
        "clusters.json": _clusters,
        "atoms/{atom:int}.json": lambda atlas, request: _card(atlas, request, thumb_url),
    }
    routes = [Route(f"{MAP}/static/{{version}}/{{name}}", _static)]
    routes += [Route(f"{MAP}/{{key}}/{path}", _of_atlas(lookup, answer)) for path, answer in answers.items()]
    return routes


@cache
def static_version() -> str:
    """Hash of the component's files and plotly.js; part of their address."""
    digest = hashlib.sha256()
    for name in sorted(path.name for path in STATIC.iterdir() if path.suffix in _TYPES):
        digest.update((STATIC / name).read_bytes())
    digest.update(_plotly()[:2000])
    return digest.hexdigest()[:12]


def category_names(atlas: Atlas, column: str) -> dict[Any, str]:
    """Words for the values of a categorical column of ``atoms.parquet``."""
    if column != "cluster":
        return {}
    return {number: label or f"cluster {number}" for number, label in atlas.clusters["label"].items()}


def _of_atlas(lookup: Lookup, answer: Callable[[Atlas, Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        def work() -> Response:
            atlas = lookup(request.path_params["key"])
            if atlas is None:
                return JSONResponse({"error": "This server shows no such atlas."}, 404)
            try:
                return answer(atlas, request)
            except InputError as error:
                return JSONResponse({"error": str(error)}, 404)

        return await run_sync(work)

    return respond


def _column(atlas: Atlas, request: Request) -> Response:
    column = request.path_params["column"]
    if column not in ("x", "y") and column not in numeric_columns(atlas.atoms):
        raise InputError(f"{column!r} is not a numeric column of this atlas.")
    return _raw(atlas.atoms[column].to_numpy().astype("<f4"))


def _categories(atlas: Atlas, request: Request) -> Response:
    column = request.path_params["column"]
    if column not in CATEGORICAL:
        raise InputError(f"{column!r} is not a category of this atlas.")
    return _raw(categories_of(atlas.atoms, column, {})[0].astype("<i2"))


def _visible(atlas: Atlas, request: Request) -> Response:
    mask = AtomFilter.from_query(request.query_params, atlas.atoms).mask(atlas.atoms)
    return _raw(np.packbits(mask, bitorder="little"))


def _set(atlas: Atlas, request: Request) -> Response:
    return _raw(decode_ids(request.query_params.get("ids", ""), atlas.n_atoms).astype("<u4"))


def _search(atlas: Atlas, request: Request) -> Response:
    return _raw(matching(atlas, request.query_params.get("q", "")[:200]).astype("<u4"))


def _clusters(atlas: Atlas, request: Request) -> Response:
    table = atlas.clusters.dropna(subset=["x", "y"]).sort_values("size", ascending=False)
    names = ("label", "size", "x", "y")
    return JSONResponse([dict(zip(names, row, strict=True)) for row in table[list(names)].itertuples(index=False)])


def _card(atlas: Atlas, request: Request, thumb_url: ThumbUrl) -> Response:
    atom = int(request.path_params["atom"])
    if atom >= atlas.n_atoms:
        raise InputError(f"Atom {atom} does not exist.")
    row = atlas.atoms.iloc[atom]
    best = atlas.exemplars(atom, "top").head(CARD_EXEMPLARS)
    items = atlas.items.loc[best["item"], ["kind", "caption"]]
    texts = items["kind"] == "text"
    card = {
        "atom": atom,
        "label": search.names(atlas)[atom],
        "status": str(row["status"]),
        "values": {name: without_nan(float(row[name])) for name in numeric_columns(atlas.atoms)},
        "thumbs": [thumb_url(atlas, int(item)) for item in items.index[~texts]],
        "texts": _texts(atlas, best) if atlas.is_text else [str(caption)[:90] for caption in items["caption"][texts]],
    }
    return JSONResponse(card, headers=_FOREVER)


def _texts(atlas: Atlas, best: Any) -> list[dict[str, str]]:
    """The words before, at and after the token of each exemplar."""
    shown = []
    for item, position in zip(best["item"].head(CARD_TEXTS), best["position"], strict=False):
        words = atlas.snippets
        first, last = words.span(int(item), int(position))
        low, high = words.text_bounds(int(item), first, last)
        text = words.captions[int(item)]
        parts = {
            "before": text[max(low, first - 36) : first],
            "at": text[first:last],
            "after": text[last : min(high, last + 36)],
        }
        shown.append(parts)
    return shown


def matching(atlas: Atlas, words: str) -> np.ndarray:
    """Atoms that ``find_atoms`` finds, and the atom itself when the words are its number; ascending int64."""
    found = {hit.atom for hit in search.find_atoms(atlas, words, limit=atlas.n_atoms)}
    number = parse.whole(words.strip().removeprefix("#"), atlas.n_atoms)
    if number is not None:
        found.add(number)
    return np.array(sorted(found), dtype=np.int64)


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "plotly.min.js":
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers = {**_FOREVER, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
            return Response(await run_sync(_plotly_gzip), media_type=_TYPES[".js"], headers=headers)
        return Response(_plotly(), media_type=_TYPES[".js"], headers=_FOREVER)
    path = STATIC / name
    if path.suffix not in _TYPES or path.parent != STATIC or not path.is_file():
        return Response(status_code=404)
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix], headers=_FOREVER)


@cache
def _plotly() -> bytes:
    return files("plotly").joinpath("package_data/plotly.min.js").read_bytes()


@cache
def _plotly_gzip() -> bytes:
    return gzip.compress(_plotly(), 5)


def _raw(array: np.ndarray) -> Response:
    return Response(array.tobytes(), media_type="application/octet-stream", headers=_FOREVER)
