"""``/alerts``: what people were told, what they do about it; silences and known events by project."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.app.alerting import cases
from headrace.app.alerting.cases import Shown
from headrace.app.composition import App
from headrace.app.overviews import periods, reading
from headrace.core.errors import HeadraceError, IllegalTransition, InvalidInput
from headrace.core.identity import Principal
from headrace.core.record import FINDING_KINDS
from headrace.monitoring.notices import VIOLATIONS
from headrace.web.identity import principal_of
from headrace.web.pages.forms import read_form, unix_lines
from headrace.web.pages.rendering import parts_of, renderer_of

_CLOSED = 50
"""Closed alerts that are shown."""
_GRAVEST = ("critical", "warning", "info")
_HOURS = {"1": "an hour", "12": "12 hours", "24": "a day", "168": "a week", "720": "30 days"}


def show_all(request: Request) -> Response:
    """Alerts that wait for somebody and those that are closed, of one project or of all."""
    return _page(request, {})


def show(request: Request) -> Response:
    """One alert: whom it was told to, and what was done about it."""
    app, me = parts_of(request).app, principal_of(request.scope)
    return _show(request, cases.one(app, me, request.path_params["id"]))


async def answer(request: Request) -> Response:
    """Acknowledge, note, ignore, remediate or accept, as the page's buttons say."""
    app, me, form = parts_of(request).app, principal_of(request.scope), await read_form(request)
    wanted = request.path_params["id"]
    try:
        await run_in_threadpool(_answer, app, me, wanted, form)
    except (InvalidInput, IllegalTransition) as error:
        found = await run_in_threadpool(cases.one, app, me, wanted)
        return await run_in_threadpool(_show, request, found, form, error)
    return RedirectResponse(f"/alerts/{wanted}", 303)


async def name_period(request: Request) -> Response:
    """Silence a project's alerts, name a known event, or take either back."""
    app, me, form = parts_of(request).app, principal_of(request.scope), await read_form(request)
    try:
        await run_in_threadpool(_name, app, me, form)
    except InvalidInput as error:
        return await run_in_threadpool(_page, request, form, error)
    return RedirectResponse(f"/alerts?project={form.get('project', '')}#periods", 303)


def _answer(app: App, me: Principal, wanted: str, form: dict[str, str]) -> None:
    match form.get("step", ""):
        case "acknowledge" | "note" | "ignore" | "remediate" | "accept" as step:
            why, evidence = unix_lines(form.get("why", "")), form.get("evidence", "")
            cases.answer(app, me, wanted, step, why=why, evidence=evidence)
        case other:
            raise InvalidInput(f"There is no step {other[:40]!r}. Use the page's own buttons.")


def _name(app: App, me: Principal, form: dict[str, str]) -> None:
    project, title = form.get("project", ""), unix_lines(form.get("title", ""))
    match form.get("kind", ""):
        case "silence":
            hours = form.get("hours", "")
            if hours not in _HOURS:
                raise InvalidInput(f"A silence lasts {', '.join(_HOURS.values())}; got {hours[:20]!r}.")
            until = app.clock.now() + timedelta(hours=int(hours))
            periods.silence(app, me, project, until=until, why=title, finding=form.get("finding", ""))
        case "event":
            starts_at, ends_at = _day(form.get("from", "")), _day(form.get("until", ""))
            periods.add_event(
                app, me, project, title, starts_at=starts_at, ends_at=ends_at + timedelta(days=1)
            )
        case "end":
            periods.withdraw(app, me, project, form.get("period", ""))
        case other:
            raise InvalidInput(f"There is nothing to name {other[:40]!r}. Use the page's own forms.")


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidInput(f"{text[:20]!r} is no day. Expected one such as 2026-12-24.") from error


def _show(
    request: Request, found: Shown, form: dict[str, str] | None = None, error: HeadraceError | None = None
) -> Response:
    app, me = parts_of(request).app, principal_of(request.scope)
    finding = found.finding
    violation = finding.kind in VIOLATIONS
    about = f"release:{finding.release_id}"
    return renderer_of(request).page(
        request,
        "alert.html",
        200 if error is None else 400,
        one=found,
        violation=violation,
        may_answer=app.gatekeeper.allows(me, "alert.answer", f"project:{finding.project}"),
        may_accept=not violation or app.gatekeeper.allows(me, "waiver.decide", about),
        may_audit=app.gatekeeper.allows(me, "audit.read", "audit:log"),
        problem="" if error is None else str(error),
        form={"why": "", "evidence": ""} | (form or {}),
    )


def _urgency(one: Shown) -> tuple[bool, int]:
    """What is overdue stands first, then the gravest; among equals the order stays."""
    return not one.overdue, _GRAVEST.index(one.severity)


def _page(request: Request, form: dict[str, str], error: HeadraceError | None = None) -> Response:
    app, me = parts_of(request).app, principal_of(request.scope)
    project = form.get("project") or request.query_params.get("project")
    found = cases.shown(app, me, project)
    pending = sorted((one for one in found if one.pending), key=_urgency)
    violations = [one for one in pending if one.finding.kind in VIOLATIONS]
    return renderer_of(request).page(
        request,
        "alerts.html",
        200 if error is None else 400,
        project=project,
        projects=[one.name for one in reading.projects(app, me)],
        violations=violations,
        pending=[one for one in pending if one.finding.kind not in VIOLATIONS],
        closed=[one for one in found if not one.pending][:_CLOSED],
        n_closed=sum(not one.pending for one in found),
        periods=periods.periods(app, me, project) if project else [],
        kinds=FINDING_KINDS,
        hours=_HOURS,
        may_answer=bool(project) and app.gatekeeper.allows(me, "alert.answer", f"project:{project}"),
        problem="" if error is None else str(error),
        form={"title": "", "kind": "", "from": "", "until": ""} | form,
    )
