"""What people do about alerts: see them, acknowledge, ignore, remediate or accept them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from headrace.app.alerting.alerts import SYSTEM, close_alert
from headrace.app.composition import App
from headrace.app.finding import find_one
from headrace.core.alerts import Case, Notice
from headrace.core.identity import Principal
from headrace.core.record import Alert, Finding
from headrace.monitoring.cases import PENDING, Step, StepKind, is_overdue, transition
from headrace.monitoring.notices import NO_CHANNEL, VIOLATIONS, explained, severity_of

_LIST = "headrace monitor alert ls"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An alert with everything about it.

    Attributes:
        case: what people do about it; None for one that was raised before people were told of alerts.
        notices: whom it was told to, in the order in which they were written.
        event: the known event that covers most of its window, and ``event_share`` its share of that.
        told_at: when the other side took the first notice.
        delay_s: from the first answer that can be wrong until then; None before, or without answers.
        overdue: whether it should have been closed by now.
    """

    alert: Alert
    finding: Finding
    severity: str
    case: Case | None
    notices: tuple[Notice, ...]
    event: str
    event_share: float
    told_at: datetime | None
    delay_s: float | None
    overdue: bool

    @property
    def state(self) -> str:
        """Where it stands; of one without a case, what its action says."""
        return self.alert.state if self.case is None else self.case.state

    @property
    def is_shown_only(self) -> bool:
        """Whether nobody was told because no channel was set up at all."""
        return bool(self.notices) and all(
            one.state == "failed" and one.error.startswith(NO_CHANNEL) for one in self.notices
        )

    @property
    def pending(self) -> bool:
        """Whether somebody still has to do something about it."""
        return self.alert.state != "closed" if self.case is None else self.case.state in PENDING


def shown(app: App, me: Principal, project: str | None = None) -> list[Shown]:
    """Alerts of one project, or of all that ``me`` may read, newest first.

    Raises:
        Denied: ``me`` may not read the project.
        NotFound: there is none.
    """
    if project is not None:
        app.gatekeeper.require(me, "project.read", f"project:{project}")
        names = [app.store.projects.get(project).name]
    else:
        known = [one.name for one in app.store.projects.list()]
        names = [name for name in known if app.gatekeeper.allows(me, "project.read", f"project:{name}")]
    found = [one for name in names for one in _of_project(app, name)]
    return sorted(found, key=lambda one: (one.alert.at, one.alert.id), reverse=True)


def one(app: App, me: Principal, alert_id: str) -> Shown:
    """One alert by its id, or by the first letters of it. Raises NotFound."""
    return find_one(shown(app, me), alert_id, lambda shown: (shown.alert.id,), what="alert", how=_LIST)


def answer(
    app: App, me: Principal, alert_id: str, kind: StepKind, *, why: str = "", evidence: str = ""
) -> Shown:
    """Do something about an alert. Accepting a violation is a decision to deviate: not about one's own work.

    Raises:
        NotFound: there is no such alert.
        Denied: ``me`` may not.
        IllegalTransition: it is closed, or there is no such step from here.
        InvalidInput: a reason or the evidence is missing.
        Conflict: somebody else has changed it at this moment.
    """
    found = one(app, me, alert_id)
    alert, case = found.alert, found.case or _late(app, found)
    permitted = app.gatekeeper.require(me, "alert.answer", f"project:{alert.project}")
    if kind == "accept" and case.kind in VIOLATIONS:
        permitted = app.gatekeeper.require(me, "waiver.decide", f"release:{found.finding.release_id}")
    moved = transition(case, Step(kind=kind, by=me.name, at=app.clock.now(), text=why, evidence=evidence))
    if moved is case:
        return found
    detail = {"alert": alert.id, "finding": alert.finding_id, "why": why, "evidence": evidence}
    with app.store.transaction():
        app.store.audit.append(me.name, f"alert.{kind}", f"project:{alert.project}", detail | permitted.basis)
        app.store.cases.add(case)
        app.store.cases.change(moved)
        if moved.state not in PENDING and alert.state == "open":
            close_alert(app.store, alert, me.name, f"it was {moved.state}: {why}")
    return one(app, me, alert.id)


def lapse(app: App, name: str, answering: Collection[str]) -> None:
    """Close the cases about releases that no longer answer, but for violations."""
    about = {alert.id: alert.finding_id for alert in app.store.findings.alerts(name)}
    releases = {finding.id: finding.release_id for finding in app.store.findings.list(name)}
    for state in PENDING:
        for case in app.store.cases.list(subject=name, state=state):
            release = releases.get(about.get(case.id, ""), "")
            if case.kind in VIOLATIONS or not release or release in answering:
                continue
            step = Step(kind="lapse", by=SYSTEM, at=app.clock.now(), text="its release no longer answers")
            app.store.cases.change(transition(case, step))


def _of_project(app: App, name: str) -> list[Shown]:
    store, now = app.store, app.clock.now()
    findings = {finding.id: finding for finding in store.findings.list(name)}
    known = {case.id: case for case in store.cases.list(subject=name)}
    periods = store.periods.list(subject=name, state="named")
    told: dict[str, list[Notice]] = {}
    for notice in store.notices.list(subject=name):
        for alert_id in notice.alerts:
            told.setdefault(alert_id, []).append(notice)
    shown = []
    for alert in store.findings.alerts(name):
        finding = findings.get(alert.finding_id)
        if finding is None:
            continue
        case, notices = known.get(alert.id), tuple(told.get(alert.id, ()))
        event = explained(periods, finding.window)
        told_at = min((one.sent_at for one in notices if one.sent_at is not None), default=None)
        delay_s = None
        if told_at is not None and case is not None and case.first_at is not None:
            delay_s = (told_at - case.first_at).total_seconds()
        shown.append(
            Shown(
                alert=alert,
                finding=finding,
                severity=severity_of(finding.kind),
                case=case,
                notices=notices,
                event="" if event is None else event[0].title,
                event_share=0.0 if event is None else event[1],
                told_at=told_at,
                delay_s=delay_s,
                overdue=case is not None and is_overdue(case, now),
            )
        )
    return shown


def _late(app: App, found: Shown) -> Case:
    """The case of an alert that was raised before there were any."""
    alert = found.alert
    workspace = app.store.projects.workspace(alert.project)
    return Case(
        id=alert.id,
        workspace=workspace,
        subject=alert.project,
        kind=found.finding.kind,
        at=alert.at,
        round="",
    )
