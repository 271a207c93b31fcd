"""``/projects/{name}/handoffs``: conversations that wait for a person, and what became of others."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.app.llm import handoffs
from headrace.core.errors import InvalidInput
from headrace.web.identity import principal_of
from headrace.web.pages.forms import read_form, unix_lines
from headrace.web.pages.paging import named_one, page_of, part_of_those
from headrace.web.pages.places import bar_of
from headrace.web.pages.project import project_name, texts_project
from headrace.web.pages.rendering import parts_of, renderer_of


def show(request: Request) -> Response:
    """The one that is named, or the first that is open, with what the reader may do about it."""
    app, me, name = parts_of(request).app, principal_of(request.scope), texts_project(request)
    waiting, over = list(handoffs.listed(app, me, name)), handoffs.listed(app, me, name, over=True)
    n_asked, backlog = sum(one.state == "asked" for one in waiting), app.store.backlog.waiting({name})
    named = named_one(
        request,
        "handoff",
        name,
        app.store.handoffs.find,
        lambda one: bool(one.messages) and handoffs.may_see(app, me, one),
    )
    chosen = named or next(iter(waiting), None)
    others = [one for one in waiting if chosen is None or one.id != chosen.id]
    return renderer_of(request).page(
        request,
        "handoffs.html",
        project=name,
        bar=bar_of(request, name),
        opened=None if chosen is None else handoffs.opened(app, me, chosen.id),
        why_not="" if chosen is None else handoffs.why_not(app, me, chosen),
        mine=chosen is not None and chosen.state == "taken" and chosen.by == me.name,
        steps=[] if chosen is None else [one | {"at": _moment(one["at"])} for one in chosen.steps],
        n_withheld=sum(one.n for one in backlog if one.kind == "handoff") - n_asked,
        waiting=page_of(request, others, "open"),
        over=part_of_those(request, over, handoffs.count_over(app, name), "over"),
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
