"""Pictures of the searched corpora, below addresses that name their content: browsers keep them for ever."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app import parse, urls
from app.opened import corpora
from engine.errors import AtomscopeError

_CONTENT = re.compile(r"[0-9a-f]{12}")
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


def _thumb(request: Request) -> Response:
    content, item = request.path_params["content"], parse.whole(request.path_params["item"])
    if not _CONTENT.fullmatch(content) or item is None:
        return _missing()
    corpus = corpora.find(content)
    if corpus is None or item >= len(corpus):
        return _missing()
    tag = f'"{content}"'
    headers = _FOR_EVER | {"ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        return Response(corpora.thumbnail(corpus, item), media_type="image/webp", headers=headers)
    except AtomscopeError:  # the file has vanished since the corpus was opened, or is no picture
        return _missing()


def _missing() -> Response:
    return Response("Not found.", 404, media_type="text/plain", headers={"Cache-Control": "no-store"})


ROUTES = [Route(urls.CORPUS_THUMB, _thumb)]
