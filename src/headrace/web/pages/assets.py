"""``/assets``: what projects have that can be used again."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from headrace.app.data.assets import KINDS, assets
from headrace.core.errors import InvalidInput
from headrace.web.identity import principal_of
from headrace.web.pages.rendering import parts_of, renderer_of

_MANY = 200
"""So many characters of words are looked for."""


def show(request: Request) -> Response:
    """All that can be used again, or what has the words and the kind that the address asks for."""
    app, me = parts_of(request).app, principal_of(request.scope)
    words, kind = request.query_params.get("words", "").strip(), request.query_params.get("kind", "")
    if len(words) > _MANY:
        raise InvalidInput(f"A search takes at most {_MANY} characters, got {len(words)}. Search for fewer.")
    wanted = next((one for one in KINDS if one == kind), None)
    if kind and wanted is None:
        raise InvalidInput(f"{kind[:40]!r} is no kind of asset. Expected one of {', '.join(KINDS)}.")
    found = assets(app, me, words, wanted)
    return renderer_of(request).page(request, "assets.html", found=found, words=words, kind=kind, kinds=KINDS)
