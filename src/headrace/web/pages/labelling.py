"""``/projects/{name}/labelling``: the answers that people should judge, one at a time."""

from __future__ import annotations

from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.app.labels import labelling
from headrace.app.labels.labelling import Judgement
from headrace.app.overviews.impact import impact
from headrace.core.errors import InvalidInput
from headrace.web.identity import principal_of
from headrace.web.pages.forms import read_form, unix_lines
from headrace.web.pages.places import bar_of
from headrace.web.pages.project import project_name
from headrace.web.pages.rendering import parts_of, renderer_of

_PREFIX, _SHOWN = "category-", 20


def show(request: Request) -> Response:
    """The first answer that waits, with the form to judge it; and those after it."""
    app, me, name = parts_of(request).app, principal_of(request.scope), project_name(request)
    asked = request.query_params.get("answer", "")
    waiting = labelling.queue(app, me, name, most=_SHOWN)
    chosen = next((one for one in waiting if one.subject == asked), waiting[0] if waiting else None)
    may_judge = me.kind == "person" and app.gatekeeper.allows(me, "label.write", f"project:{name}")
    return renderer_of(request).page(
        request,
        "labelling.html",
        project=name,
        bar=bar_of(request, name),
        chosen=chosen,
        waiting=waiting,
        may_judge=may_judge,
        prefix=_PREFIX,
        categories=labelling.categories_of(app.store.projects.get(name)),
        agreement=labelling.agreement(app, me, name),
        labels=labelling.labels(app, me, name)[::-1],
        changes=impact(app, me, name).changes[::-1][:_SHOWN],
        shown=_SHOWN,
    )


async def judge(request: Request) -> Response:
    """Store what was said, and go on with the next one."""
    app, me, name = parts_of(request).app, principal_of(request.scope), project_name(request)
    form = await read_form(request)
    verdict = form.get("verdict", "")
    if verdict not in ("good", "bad"):
        raise InvalidInput(f"The verdict is {verdict[:40]!r}. Expected 'good' or 'bad'.")
    words = {field: unix_lines(form.get(field, "")).strip() or None for field in ("correction", "comment")}
    judgement = Judgement(
        verdict="good" if verdict == "good" else "bad",
        categories=tuple(field[len(_PREFIX) :] for field in form if field.startswith(_PREFIX)),
        **words,
    )
    await run_in_threadpool(labelling.judge, app, me, name, form.get("answer", ""), judgement)
    return RedirectResponse(f"/projects/{quote(name)}/labelling", 303)
