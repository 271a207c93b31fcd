"""``/projects/{name}/handoffs``: conversations that wait for a person, and what became of others."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.app import handoffs
from headrace.core.errors import InvalidInput
from headrace.web.identity import principal_of
from headrace.web.pages.forms import read_form, unix_lines
from headrace.web.pages.project import project_name
from headrace.web.pages.rendering import parts_of, renderer_of

_SHOWN = 20


def show(request: Request) -> Response:
    """The one that is named, or the first that is open, with what the reader may do about it."""
    app, me, name = parts_of(request).app, principal_of(request.scope), project_name(request)
    waiting, over = handoffs.listed(app, me, name), handoffs.listed(app, me, name, over=True)
    asked = request.query_params.get("handoff", "")
    readable = [*waiting, *(one for one in over if one.messages)]
    chosen = next((one for one in readable if one.id == asked), waiting[0] if waiting else None)
    return renderer_of(request).page(
        request,
        "handoffs.html",
        project=name,
        opened=None if chosen is None else handoffs.opened(app, me, chosen.id),
        why_not="" if chosen is None else handoffs.why_not(app, me, chosen),
        mine=chosen is not None and chosen.state == "taken" and chosen.by == me.name,
        steps=[] if chosen is None else [one | {"at": _moment(one["at"])} for one in chosen.steps],
        waiting=waiting,
        over=over[:_SHOWN],
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def act(request: Request) -> Response:
    """Take it, answer it, or put it back, as the page's buttons say."""
    app, me, name = parts_of(request).app, principal_of(request.scope), project_name(request)
    form = await read_form(request)
    handoff, text = form.get("handoff", ""), unix_lines(form.get("text", "")).strip()
    match form.get("do", ""):
        case "take":
            await run_in_threadpool(handoffs.take, app, me, handoff)
        case "answer":
            goes_on = form.get("then", "") == "on"
            await run_in_threadpool(handoffs.answer, app, me, handoff, text, goes_on=goes_on)
        case "put back":
            to = form.get("to", "").strip() or None
            await run_in_threadpool(handoffs.put_back, app, me, handoff, to=to, note=text)
        case _:
            raise InvalidInput("Nothing was done. Expected 'take', 'answer' or 'put back'.")
    return RedirectResponse(f"/projects/{quote(name)}/handoffs?handoff={quote(handoff)}", 303)
