"""``/policy/shadow``: language models and tools in use that nobody has approved, and what to use instead."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from headrace.app.llm.shadow_use import report
from headrace.web.identity import principal_of
from headrace.web.pages.rendering import parts_of, renderer_of

_SHOWN = 200


def show(request: Request) -> Response:
    """What was seen, the most frequent first, and the logs that were read for it; without ``?ours=``."""
    app, me = parts_of(request).app, principal_of(request.scope)
    found = report(app, me, ours=request.query_params.getlist("ours"))
    return renderer_of(request).page(
        request,
        "shadow.html",
        found=found.found[:_SHOWN],
        n_found=len(found.found),
        logs=found.logs[:20],
        n_people=len({one.seen.who for one in found.found if one.seen.who}),
        n_times=sum(one.seen.n for one in found.found),
    )
