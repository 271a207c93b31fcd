"""Alerts: raised on what was found, with what people are told of it, and closed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from headrace.app.composition import App
from headrace.core.alerts import Case
from headrace.core.ids import new_id
from headrace.core.project import Project
from headrace.core.record import Alert, Finding
from headrace.monitoring.notices import UNEXCUSED, VIOLATIONS, explained, explains, notices, silence, telling
from headrace.monitoring.triggers import raise_alerts
from headrace.monitoring.windows import first_answer, watermark
from headrace.store import Store

SYSTEM = "system:monitoring"
_REGISTRATION = "registration"


def raise_on_findings(app: App, name: str) -> list[Alert]:
    """Raise an alert on each finding that has none, and write whom it is told to: all of it, or nothing.

    What one round has found is told together: one notice per channel and person.
    """
    store = app.store
    known = {alert.finding_id for alert in store.findings.alerts(name)}
    fresh = [one for one in store.findings.list(name) if one.id not in known and one.kind != _REGISTRATION]
    if not fresh:
        return []
    project, workspace, now = (
        app.access.charters.in_force(name),
        store.projects.workspace(name),
        app.clock.now(),
    )
    moment = watermark(name, store.tables) or now  # the rules can be broken before anything was answered
    first_at = {one.id: first_answer(name, store.tables, one.release_id, one.window) for one in fresh}
    with store.transaction():
        raised: list[Alert] = []
        told: list[tuple[str, Alert]] = []
        by_id = {finding.id: finding for finding in fresh}
        round_id = new_id(now)
        # In the order of ids: two rounds at the same moment wait for each other, and one of them raises.
        for alert in sorted(raise_alerts(project, fresh, moment, now), key=lambda one: one.id):
            finding = by_id[alert.finding_id]
            case = replace(
                _case(app, project, finding, alert),
                workspace=workspace,
                round=round_id,
                first_at=first_at[finding.id],
            )
            if store.cases.add(case).round != round_id:
                continue
            kept = replace(alert, state="closed") if case.state == "ignored" else alert
            raised.append(kept)
            detail = {"finding": alert.finding_id, "action": alert.action, "reason": alert.reason}
            store.audit.append(
                SYSTEM,
                "alert.raise",
                f"project:{name}",
                detail | ({"quiet": case.quiet} if case.quiet else {}),
            )
            store.findings.save_alert(kept)
            if not case.quiet:
                told += [(channel, kept) for channel in telling(project, finding).channels]
        for notice in notices(project, workspace, told, now, personal=personal(app)):
            store.notices.add(notice)
    return raised


def personal(app: App) -> frozenset[str]:
    """Channels that tell persons; ``email`` does, also in a process that does not know its address."""
    return frozenset({"email", *(name for name, channel in app.channels.items() if channel.personal)})


def _case(app: App, project: Project, finding: Finding, alert: Alert) -> Case:
    now = alert.at
    violation = finding.kind in VIOLATIONS
    case = Case(
        id=alert.id,
        workspace="",
        subject=project.name,
        kind=finding.kind,
        at=now,
        round="",
        due_at=now + timedelta(seconds=project.alerts.close_within_s) if violation else None,
    )
    periods = app.store.periods.list(subject=project.name, state="named")
    event = None if finding.kind in UNEXCUSED else explained(periods, finding.window)
    if event is not None and explains(event[1]):
        said = f"its window falls in the known event {event[0].title!r}"
        note = {"at": now.isoformat(), "by": SYSTEM, "text": said}
        return replace(case, quiet=said, state="ignored", notes=(note,))
    holding = silence(periods, finding, now)
    if holding is not None:
        return replace(case, quiet=f"{holding.by} has silenced it until {holding.ends_at:%Y-%m-%d %H:%M} UTC")
    return replace(case, quiet=telling(project, finding).why_not)


def close_alert(store: Store, alert: Alert, by: str, why: str) -> None:
    """The alert asks for nothing any more."""
    with store.transaction():
        store.findings.save_alert(replace(alert, state="closed"))
        store.audit.append(
            by, "alert.close", f"project:{alert.project}", {"finding": alert.finding_id, "why": why}
        )
