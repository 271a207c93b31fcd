"""What a notice says: what was found or waits, what follows by itself, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from headrace.core.alerts import Link, Message, Notice, Severity
from headrace.core.record import Finding
from headrace.core.text import printable
from headrace.monitoring.notices import VIOLATIONS, Raised, severity_of
from headrace.store.backlog import Backlog, WaitingKind

MEANS: dict[str, str] = {
    "data_drift": "an input no longer looks as it did in training; the model may still be right",
    "prediction_drift": "the answers no longer look as they did on the test rows",
    "new_segment": "the model is asked about a category that it never learnt from",
    "columns": "requests are refused since a column is missing, new, or of another type",
    "performance": "labels say that the answers are worse: a loss is an error, and less is better",
    "concept_drift": "labels say that the same inputs now lead to other outcomes: train again",
    "estimate": "the answers are probably worse; no label has said so yet",
    "coverage": "labels are missing that used to be there by now",
    "bias": "labels say that a class is predicted too often, or too seldom",
    "metric": "a metric that headrace.yaml declares is beyond its limit",
    "deviation": "of one source, what is predicted and what comes true grow apart",
    "fairness": "groups of people are treated differently, by more than headrace.yaml allows",
    "answers": "answers that cannot be right, or that are all the same",
    "traffic": "many more or fewer calls than at this time of day and week",
    "latency": "more answers are slow than the service level allows",
    "service_level": "too much downtime for the availability that headrace.yaml declares",
    "labels": "as many new labels as a trigger of headrace.yaml waits for",
    "schedule": "as much time since training as a trigger of headrace.yaml waits for",
    "code": "the project's code is not what was trained with",
    "registration": "a model that was registered elsewhere became no release",
    "compliance": "what is live does not keep the rules of its risk",
    "review": "a person has to look at what is live again",
    "fallback": "what is live cannot be trusted, and the fallback answers",
    "learning": "what learns online waits for a person",
    "handoff": "conversations wait for a person",
    "draft": "drafts of answers wait for a person",
}
"""What a kind of finding says, in words for somebody who reads one for the first time."""

_FOLLOWS = {
    "warn": "nothing follows by itself",
    "review": "a retraining is prepared and waits for a review",
    "automatic": "a retraining starts by itself, under the project's conditions",
}


class _Handed(NamedTuple):
    """How people speak of what was handed to them."""

    noun: str
    act: str
    until: str


_HANDED: dict[WaitingKind, _Handed] = {
    "draft": _Handed("draft", "decide", "Whoever asked gets no answer before a person has decided."),
    "handoff": _Handed("conversation", "take one", "Nobody has taken it yet."),
}
_ORDER: tuple[Severity, ...] = ("critical", "warning", "info")
_MOST = 20


def worded(notice: Notice, raised: Sequence[Raised], url: str) -> Message:
    """The message of a notice, the gravest alert first.

    Args:
        raised: what the notice is about.
        url: address of the pages.
    """
    ordered = sorted(raised, key=lambda one: _ORDER.index(severity_of(one.finding.kind)))
    project = notice.subject
    return Message(
        id=notice.id,
        at=notice.at,
        project=project,
        severity=severity_of(ordered[0].finding.kind),
        title=_title(notice, ordered),
        text="\n".join([*_found(ordered), "", *_acts(project, ordered)]),
        links=(
            Link(title="Evidence", url=_evidence(url, ordered[0].finding)),
            Link(title="Retrain, or roll back", url=f"{url}/projects/{quote(project)}#releases"),
        ),
        to=notice.to,
        details=tuple(_detail(one, url) for one in ordered),
    )


def worded_backlog(notice: Notice, waiting: Backlog, url: str) -> Message:
    """The message of a notice that drafts or conversations wait for a person; nothing of what they say."""
    project, kind, since = notice.subject, waiting.kind, waiting.since or notice.at
    page = f"{url}/projects/{quote(project)}/{kind}s"
    return Message(
        id=notice.id,
        at=notice.at,
        project=project,
        severity="warning",
        title=printable(f"{project}: {in_words(waiting)}"),
        text="\n".join(
            [
                f"The oldest since {since:%Y-%m-%d %H:%M} UTC. {_HANDED[kind].until}",
                "",
                "What you can do:",
                f"  {_HANDED[kind].act}: {page}",
                f"  list them: headrace feedback {kind}s {project}",
            ]
        ),
        links=(Link(title=_HANDED[kind].act.capitalize(), url=page),),
        to=notice.to,
        details=({"kind": kind, "waiting": waiting.n, "since": since.isoformat(), "page": page},),
    )


def in_words(waiting: Backlog) -> str:
    """How much waits, in a line.

    >>> in_words(Backlog(kind="draft", subject="support", n=2, first=""))
    '2 drafts wait for a person'
    """
    one, some = f"{_HANDED[waiting.kind].noun} waits", f"{_HANDED[waiting.kind].noun}s wait"
    return f"{waiting.n:,} {one if waiting.n == 1 else some} for a person"


def lasting(duration_s: float) -> str:
    """A duration in its two largest units.

    >>> lasting(59), lasting(3_725), lasting(200_000)
    ('59 s', '1 h 2 min', '2 d 7 h')
    """
    whole = int(duration_s)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"


def _title(notice: Notice, ordered: Sequence[Raised]) -> str:
    prefix = "Not acknowledged yet: " if notice.why == "escalated" else ""
    more = f", and {len(ordered) - 1} more" if len(ordered) > 1 else ""
    return printable(f"{prefix}{notice.subject}: {ordered[0].finding.title}{more}")


def _found(ordered: Sequence[Raised]) -> list[str]:
    lines = []
    for alert, finding in ordered[:_MOST]:
        start, end = finding.window
        lines += [
            f"{severity_of(finding.kind).upper()} {finding.kind}: {printable(finding.title)}",
            f"  window {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, size {finding.size:.3g}",
            f"  release {finding.release_id or 'none'}; {_FOLLOWS[alert.action]}",
            f"  alert {alert.id}",
        ]
    if len(ordered) > _MOST:
        lines.append(f"... and {len(ordered) - _MOST} more.")
    return lines


def _acts(project: str, ordered: Sequence[Raised]) -> list[str]:
    first = ordered[0]
    ack = f"headrace monitor alert ack {first.alert.id}"
    if first.finding.kind in VIOLATIONS:
        close = f"  remedy it, and say so: {ack}; headrace monitor alert remediate {first.alert.id}"
    else:
        close = f"  ignore it as a known event: headrace monitor alert ignore {first.alert.id} --why TEXT"
    return [
        "What you can do:",
        "  retrain: headrace run, in the project's folder",
        f"  roll back: headrace release rollback {project}",
        close,
        f"  say that you look into it: {ack}",
    ]


def _evidence(url: str, finding: Finding) -> str:
    return f"{url}/projects/{quote(finding.project)}#finding-{finding.id}"


def _detail(raised: Raised, url: str) -> dict[str, object]:
    alert, finding = raised
    return {
        "alert": alert.id,
        "finding": finding.id,
        "kind": finding.kind,
        "feature": finding.feature,
        "severity": severity_of(finding.kind),
        "title": finding.title,
        "size": finding.size,
        "window": [moment.isoformat() for moment in finding.window],
        "release": finding.release_id,
        "action": alert.action,
        "evidence": _evidence(url, finding),
    }
