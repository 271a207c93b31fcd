"""``/projects/{name}/drafts``: answers that wait for a person, one at a time."""

from __future__ import annotations

from functools import partial
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.app.llm import drafts
from headrace.core.errors import InvalidInput
from headrace.store.drafts import Decided
from headrace.web.identity import principal_of
from headrace.web.pages.forms import read_form, unix_lines
from headrace.web.pages.paging import named_one, part_of_those
from headrace.web.pages.places import bar_of
from headrace.web.pages.project import project_name, texts_project
from headrace.web.pages.rendering import parts_of, renderer_of

_DECISIONS: dict[str, Decided] = {"approve": "approved", "edit": "edited", "reject": "rejected"}


def show(request: Request) -> Response:
    """The first draft that waits, or the one that is named, with the form to decide on it."""
    app, me, name = parts_of(request).app, principal_of(request.scope), texts_project(request)
    named = named_one(
        request,
        "draft",
        name,
        app.store.drafts.find,
        lambda one: bool(one.said) and drafts.may_read(app, me, one),
    )
    waiting = drafts.listed(app, me, name)
    chosen = named or next(waiting, None)
    others = (one for one in waiting if chosen is None or one.id != chosen.id)
    n_waiting = drafts.count(app, name)
    n_others = n_waiting - (chosen is not None and chosen.state == "waiting")
    decided = drafts.listed(app, me, name, decided=True)
    return renderer_of(request).page(
        request,
        "drafts.html",
        project=name,
        bar=bar_of(request, name),
        opened=None if chosen is None else drafts.opened(app, me, chosen.id),
        why_not="" if chosen is None else drafts.why_not(app, me, chosen),
        n_withheld=0 if chosen is not None else n_waiting,
        question=partial(drafts.question, app),
        waiting=part_of_those(request, others, n_others, "waiting"),
        decided=part_of_those(request, decided, drafts.count(app, name, decided=True), "decided"),
    )


async def decide(request: Request) -> Response:
    """Keep what was decided, and go on with the next one."""
    app, me, name = parts_of(request).app, principal_of(request.scope), project_name(request)
    form = await read_form(request)
    chosen = _DECISIONS.get(form.get("decision", ""))
    if chosen is None:
        raise InvalidInput("Nothing was decided. Expected 'approve', 'edit' or 'reject'.")
    text = unix_lines(form.get("text", "")) if chosen == "edited" else None
    reason = unix_lines(form.get("reason", "")).strip()
    await run_in_threadpool(drafts.decide, app, me, form.get("draft", ""), chosen, text=text, reason=reason)
    return RedirectResponse(f"/projects/{quote(name)}/drafts", 303)
