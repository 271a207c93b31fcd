"""``POST /feedback``: what the widget in other people's pages sends, and the widget itself.

It is for anybody who has the token of an answer, from any site, and no cookie is read: nothing that a browser
adds by itself speaks for anybody here.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headrace.app.labels.opinions import say_with_token
from headrace.core.errors import HeadraceError
from headrace.web.pages.rendering import parts_of
from headrace.web.problems import problem_of

FROM_ANYWHERE = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}


async def take(request: Request) -> Response:
    """Store it; durable when this answers. Problems are told to other sites' scripts, too."""
    app, body = parts_of(request).app, await request.body()
    try:
        kept = await run_in_threadpool(say_with_token, app, body)
    except HeadraceError as error:
        refused = problem_of(error, instance=request.url.path, now=app.clock.now())
        refused.headers.update(FROM_ANYWHERE)
        return refused
    return JSONResponse({"subject": kept.subject, "stored": len(kept.ids)}, headers=FROM_ANYWHERE)
