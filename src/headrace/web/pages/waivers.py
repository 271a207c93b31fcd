"""``/policy/waivers``: leave to deviate from a rule, by project; asking for it, deciding, giving it back."""

from __future__ import annotations

from itertools import groupby

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.app.composition import App
from headrace.app.governance import waivers
from headrace.app.inbox import why_not_waiver
from headrace.app.overviews import reading
from headrace.core.errors import HeadraceError, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.release import Waiver
from headrace.releases.waivers import LEAST, MAX_DAYS, SIZES
from headrace.web.identity import principal_of
from headrace.web.pages.forms import read_comment, read_decision, read_form, unix_lines
from headrace.web.pages.rendering import parts_of, renderer_of

_DAYS = "30"


def show_all(request: Request) -> Response:
    """Waivers that wait, hold or are over; and the form for asking."""
    return _page(request, {})


def show(request: Request) -> Response:
    """One waiver: who asked, why, who has agreed, and the decision on it."""
    app, me = parts_of(request).app, principal_of(request.scope)
    standing = waivers.waiver(app, me, request.path_params["id"])
    resource = f"waiver:{standing.waiver.id}"
    return renderer_of(request).page(
        request,
        "waiver.html",
        one=standing.waiver,
        standing=standing,
        over=app.clock.now() >= standing.waiver.ends_at,
        why_not=why_not_waiver(app, me, standing.waiver),
        lacks_proof=app.gatekeeper.lacks_proof(me, "waiver.decide", resource),
        may_end=app.gatekeeper.allows(me, "waiver.ask", f"project:{standing.waiver.subject}"),
    )


async def ask(request: Request) -> Response:
    """Ask for leave; what cannot be asked for comes back with what is wrong."""
    app, me, form = parts_of(request).app, principal_of(request.scope), await read_form(request)
    try:
        asked = await run_in_threadpool(_ask, app, me, form)
    except (InvalidInput, NotFound) as error:
        return await run_in_threadpool(_page, request, form, error)
    return RedirectResponse(f"/policy/waivers/{asked.id}", 303)


async def settle(request: Request) -> Response:
    """Agree, refuse, or give it back before its time, as the page's buttons say."""
    app, me, form = parts_of(request).app, principal_of(request.scope), await read_form(request)
    wanted, comment = request.path_params["id"], read_comment(form)
    if form.get("decision") == "ended":
        await run_in_threadpool(waivers.end, app, me, wanted, comment)
    else:
        await run_in_threadpool(waivers.decide, app, me, wanted, read_decision(form), comment)
    return RedirectResponse(f"/policy/waivers/{wanted}", 303)


def _ask(app: App, me: Principal, form: dict[str, str]) -> Waiver:
    size, days = form.get("size", ""), form.get("days", "")
    if size not in SIZES:
        raise InvalidInput(f"A deviation is {', '.join(SIZES)}, got {size[:40]!r}.")
    if not (days.isdecimal() and len(days) < 5):
        raise InvalidInput(f"The days are a whole number, got {days[:40]!r}.")
    return waivers.ask(
        app,
        me,
        form.get("project", ""),
        form.get("rule", ""),
        reason=unix_lines(form.get("reason", "")),
        days=int(days),
        size=size,
    )


def _page(request: Request, form: dict[str, str], error: HeadraceError | None = None) -> Response:
    app, me = parts_of(request).app, principal_of(request.scope)
    found = waivers.waivers(app, me)
    known = [project.name for project in reading.projects(app, me)]
    projects = [name for name in known if app.gatekeeper.allows(me, "waiver.ask", f"project:{name}")]
    waiting = [one for one in found if one.missing]
    over = [one for one in found if not one.missing and not one.holds]
    return renderer_of(request).page(
        request,
        "waivers.html",
        200 if error is None else 400,
        waiting=_by_project(waiting),
        holding=_by_project([one for one in found if one.holds]),
        over=_by_project(over[::-1]),
        known=known,
        projects=projects,
        rules=LEAST,
        max_days=MAX_DAYS,
        form={"size": "medium", "days": _DAYS, "project": "", "rule": "", "reason": ""} | form,
        problem="" if error is None else str(error),
    )


def _by_project(found: list[waivers.Standing]) -> list[tuple[str, list[waivers.Standing]]]:
    def name(one: waivers.Standing) -> str:
        return one.waiver.subject

    return [(project, list(group)) for project, group in groupby(sorted(found, key=name), key=name)]
