"""The server: Streamlit's app with our picture, export and font routes beside it.

Every URL below ``/atomscope/`` names its content (it begins with the atlas's content key), so answers never change and
browsers may keep them for ever. Whatever does not exist, or is not even a number, is a plain 404.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app import parse, urls
from app.atlas_ui import exports, heat
from app.atlas_ui.map_picture import map_png
from app.atlas_ui.sheet import exemplar_sheet
from app.components.atom_map.routes import map_routes
from app.opened import atlases
from app.pages.retrieval import routes as retrieval_routes
from app.ui import browser
from engine.atlas import Atlas
from engine.errors import AtomscopeError
from engine.paths import ASSETS

log = logging.getLogger("atomscope")

_NAME = re.compile(r"(top|quantile)-(\d{1,4})")
_FONT = re.compile(r"[a-z-]{1,40}\.woff2")
_FOR_EVER = "public, max-age=31536000, immutable"

# What a route makes from (request, atlas): the bytes, or None for "no such thing".
Maker = Callable[[Request, Atlas], bytes | None]


def _number(request: Request, name: str, end: int) -> int | None:
    """The path parameter as a whole number in ``[0, end)``, else None."""
    return parse.whole(request.path_params[name], end)


def _answer(make: Maker, media_type: str, download: str | None, request: Request) -> Response:
    """Run ``make`` in the server's thread pool (Starlette does so for plain functions) and wrap its bytes."""
    atlas = atlases.find(request.path_params["atlas"])
    if atlas is None:
        return _missing()
    # The URL names the content, so a copy the browser has is good whatever it says.
    tag = f'"{atlas.key}"'
    headers = {"Cache-Control": _FOR_EVER, "ETag": tag, "X-Content-Type-Options": "nosniff"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        content = make(request, atlas)
    except AtomscopeError as error:
        log.info("%s: %s", request.url.path, error)
        return _missing()
    except Exception:
        log.exception("%s failed", request.url.path)
        return Response("This could not be drawn.", 500, media_type="text/plain")
    if content is None:
        return _missing()
    if download is not None:
        atom = request.path_params.get("atom", "")
        headers["Content-Disposition"] = f'attachment; filename="atom-{atom}-{download}"'
    return Response(content, media_type=media_type, headers=headers)


def _missing() -> Response:
    return Response("Not found.", 404, media_type="text/plain", headers={"Cache-Control": "no-store"})


def _thumb(request: Request, atlas: Atlas) -> bytes | None:
    item = _number(request, "item", atlas.n_items)
    return None if item is None else atlas.thumbnail(item)


def _heat(request: Request, atlas: Atlas) -> bytes | None:
    atom = _number(request, "atom", atlas.n_atoms)
    match = _NAME.fullmatch(request.path_params["name"])
    if atom is None or match is None:
        return None
    scale = "picture" if request.query_params.get("scale") == "picture" else "atom"
    return heat.exemplar_heat(atlas, atom, match[1], int(match[2]), scale)


def _item_heat(request: Request, atlas: Atlas) -> bytes | None:
    item, atom = _number(request, "item", atlas.n_items), _number(request, "atom", atlas.n_atoms)
    return None if item is None or atom is None else heat.item_heat(atlas, item, atom)


def _support(request: Request, atlas: Atlas) -> bytes | None:
    item = _number(request, "item", atlas.n_items)
    return None if item is None else heat.support_png(atlas, item)


def _support_numbers(request: Request, atlas: Atlas) -> bytes | None:
    item = _number(request, "item", atlas.n_items)
    return None if item is None else exports.support_json(atlas, item)


def _item(request: Request, atlas: Atlas) -> bytes | None:
    item = _number(request, "item", atlas.n_items)
    return None if item is None else exports.item_json(atlas, item)


def _map(request: Request, atlas: Atlas) -> bytes | None:
    return map_png(atlas)


def _of_atom(make: Callable[[Atlas, int], bytes]) -> Maker:
    def maker(request: Request, atlas: Atlas) -> bytes | None:
        atom = _number(request, "atom", atlas.n_atoms)
        return None if atom is None else make(atlas, atom)

    return maker


def _font(request: Request) -> Response:
    name = request.path_params["name"]
    path = ASSETS / "fonts" / name
    if not _FONT.fullmatch(name) or not path.is_file():
        return _missing()
    return Response(path.read_bytes(), media_type="font/woff2", headers={"Cache-Control": _FOR_EVER})


def _script(request: Request) -> Response:
    if request.path_params["name"] != browser.script_name():
        return _missing()
    return Response(browser.script(), media_type="text/javascript", headers={"Cache-Control": _FOR_EVER})


def _route(path: str, make: Maker, media_type: str, download: str | None = None) -> Route:
    return Route(path, partial(_answer, make, media_type, download))


ROUTES = [
    _route(urls.THUMB, _thumb, "image/webp"),
    _route(urls.HEAT, _heat, "image/png"),
    _route(urls.ITEM_HEAT, _item_heat, "image/png"),
    _route(urls.SUPPORT, _support, "image/png"),
    _route(urls.SUPPORT_NUMBERS, _support_numbers, "application/json"),
    _route(urls.ITEM, _item, "application/json"),
    _route(urls.MAP_PICTURE, _map, "image/png"),
    _route(urls.EXPORT + "/exemplars.png", _of_atom(exemplar_sheet), "image/png", "exemplars.png"),
    _route(urls.EXPORT + "/exemplars.csv", _of_atom(exports.exemplars_csv), "text/csv", "exemplars.csv"),
    _route(urls.EXPORT + "/provenance.json", _of_atom(exports.provenance), "application/json", "provenance.json"),
    *map_routes(atlases.find, urls.thumb),
    *retrieval_routes.ROUTES,
    Route(urls.FONT, _font),
    Route(urls.SCRIPT, _script),
]


def on_script_error(error: Exception) -> bool:
    """The last boundary: a person reads one sentence, the server's log has the traceback."""
    if isinstance(error, AtomscopeError):
        log.warning("%s", error)
        st.error(str(error), icon=":material/error:")
        return True
    number = secrets.token_hex(3)
    log.error("page failed, error %s", number, exc_info=error)
    st.error(
        f"This page could not be shown (error {number}). The log of the server says why; the other pages go on working.",
        icon=":material/error:",
    )
    return True


app = st.App(Path(__file__).parent / "entry" / "dashboard.py", routes=ROUTES, on_script_error=on_script_error)
