"""From findings to action: which alerts to raise, and when a retraining may start. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from headrace.core.ids import derived_id
from headrace.core.project import Action, Project, Trigger
from headrace.core.record import Alert, Finding

_KINDS = {
    "data_drift": "drift",
    "prediction_drift": "drift",
    "estimate": "drift",
    "performance": "performance",
    "concept_drift": "performance",
    "metric": "performance",
    "fairness": "performance",
    "bias": "performance",
    "new_segment": "drift",
    "traffic": "traffic",
    "coverage": "coverage",
    "answers": "answers",
    "labels": "labels",
    "schedule": "schedule",
    "code": "code",
    "fallback": "fallback",
    "learning": "learning",
}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is known about the live release when a round ends.

    Attributes:
        trained_until: newest event time it was trained on; None without a time column.
        n_new_labels: labels observed since its training.
        code_changed: digest of the project's code if it differs from the release's.
        event_time: the watermark.
        stands_in_for: the release that could not be trusted, where the live one is the fallback: what was
            found about it still asks for a better one.
    """

    release_id: str
    trained_until: datetime | None
    n_new_labels: int
    code_changed: str | None
    event_time: datetime
    stands_in_for: str | None = None


def standing_findings(project: Project, standing: Standing, now: datetime) -> list[Finding]:
    """Findings that follow from the state alone: enough new labels, age, changed code."""
    found: list[Finding] = []
    for trigger in project.triggers:
        title, size, key = "", 0.0, standing.release_id
        age = None if standing.trained_until is None else standing.event_time - standing.trained_until
        if trigger.when == "labels" and standing.n_new_labels >= trigger.min_labels:
            title, size = f"{standing.n_new_labels} new labels since training", float(standing.n_new_labels)
        elif trigger.when == "schedule" and age is not None and age >= timedelta(seconds=trigger.every_s):
            title, size = f"trained on data that ends {age.days} days ago", age.total_seconds()
        elif trigger.when == "code" and standing.code_changed is not None:
            title, size, key = "the project's code has changed since the release", 1.0, standing.code_changed
        if title:
            found.append(
                Finding(
                    id=derived_id("finding", project.name, trigger.when, key),
                    project=project.name,
                    kind=trigger.when,
                    release_id=standing.release_id,
                    title=title,
                    window=(standing.trained_until or standing.event_time, standing.event_time),
                    evidence={"new_labels": standing.n_new_labels, "code": standing.code_changed},
                    size=size,
                    at=now,
                )
            )
    return found


def raise_alerts(
    project: Project, findings: Sequence[Finding], event_time: datetime, now: datetime
) -> list[Alert]:
    """One alert per finding, with the action that the project's policy names for its kind."""
    policy = _policy(project)
    alerts = []
    for finding in findings:
        trigger = policy.get(_KINDS.get(finding.kind, ""))
        action: Action = "warn" if trigger is None else trigger.do
        if finding.kind == "fallback" and project.fallback is not None:
            action = project.fallback.do
        alerts.append(
            Alert(
                id=derived_id("alert", finding.id),
                project=project.name,
                finding_id=finding.id,
                action=action,
                state="closed" if action == "warn" else "open",
                reason=finding.title,
                at=now,
                event_time=event_time,
            )
        )
    return alerts


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """Whether to start one now, for which alert; ``why_not`` says what it waits for."""

    alert: Alert | None
    why_not: str = ""


def next_retraining(
    project: Project,
    alerts: Sequence[Alert],
    findings: dict[str, Finding],
    *,
    standing: Standing,
    in_flight: bool,
) -> Retraining:
    """The one alert to act on now, worst first. A storm is impossible: one in flight, and a cool-down.

    Without new labels the same model would come out, so only changed code retrains without any.

    Alerts about releases that are no longer live ask for nothing any more.
    """
    policy = _policy(project)
    open_alerts = [
        alert
        for alert in alerts
        if alert.state == "open"
        and findings[alert.finding_id].release_id in (standing.release_id, standing.stands_in_for)
    ]
    if not open_alerts:
        return Retraining(alert=None, why_not="nothing asks for it")
    if in_flight:
        return Retraining(alert=None, why_not="one is in flight")
    started = [alert.event_time for alert in alerts if alert.build_id is not None]
    why_not = "nothing asks for it"
    for alert in sorted(open_alerts, key=lambda a: _urgency(findings[a.finding_id])):
        trigger = policy.get(_KINDS[findings[alert.finding_id].kind])
        if trigger is None:  # the policy has changed since the alert was raised
            continue
        if trigger.when != "code" and standing.n_new_labels < trigger.min_labels:
            why_not = f"{standing.n_new_labels} of {trigger.min_labels} new labels to learn from"
        elif started and standing.event_time - max(started) < timedelta(seconds=trigger.cooldown_s):
            why_not = "cooling down after the last one"
        else:
            return Retraining(alert=alert)
    return Retraining(alert=None, why_not=why_not)


def answered(project: Project, alerts: Sequence[Alert], findings: dict[str, Finding]) -> list[Alert]:
    """Open alerts that a retraining has answered already, each with the ``build_id`` of that one.

    It began by the same trigger, about the same release, after the window that they are about had: what it
    learnt from has that window in it. Code is no matter of time: every change of it asks anew.
    """
    policy = _policy(project)

    def asks(alert: Alert) -> tuple[str, str]:
        finding = findings[alert.finding_id]
        return finding.release_id, _KINDS.get(finding.kind, "")

    begun = [alert for alert in alerts if alert.build_id is not None]
    found = []
    for alert in alerts:
        release_id, when = asks(alert)
        if alert.state != "open" or when not in policy or when == "code":
            continue
        start = findings[alert.finding_id].window[0]
        by = (one for one in begun if asks(one) == (release_id, when) and one.event_time > start)
        if (one := next(by, None)) is not None:
            found.append(replace(alert, build_id=one.build_id, event_time=one.event_time))
    return found


def _policy(project: Project) -> dict[str, Trigger]:
    return {trigger.when: trigger for trigger in project.triggers}


def _urgency(finding: Finding) -> tuple[int, float]:
    order = (
        "performance",
        "concept_drift",
        "metric",
        "fairness",
        "estimate",
        "bias",
        "answers",
        "prediction_drift",
        "data_drift",
        "new_segment",
        "columns",
        "deviation",
        "traffic",
        "latency",
        "coverage",
        "code",
        "labels",
        "schedule",
        "fallback",
        "learning",
    )
    return order.index(finding.kind), -finding.size
