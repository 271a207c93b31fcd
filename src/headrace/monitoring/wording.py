"""What a notice says: what was found, what follows by itself, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from headrace.core.alerts import Link, Message, Notice, Severity
from headrace.core.record import Finding
from headrace.core.text import printable
from headrace.monitoring.notices import VIOLATIONS, Raised, severity_of

_FOLLOWS = {
    "warn": "nothing follows by itself",
    "review": "a retraining is prepared and waits for a review",
    "automatic": "a retraining starts by itself, under the project's conditions",
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
