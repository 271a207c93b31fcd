"""Findings as people read them: what was found together stands together, with what followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from headrace.core.ids import derived_id
from headrace.core.record import Alert, Finding
from headrace.core.release import Measurement, Release
from headrace.monitoring.courses import came
from headrace.web.pages.evidence import Block, blocks

_ASKED = {"warn": "a warning", "review": "retraining, reviewed", "automatic": "retraining"}


@dataclass(frozen=True, kw_only=True)
class Group:
    """One finding, or the shifts of the inputs of one release in one window.

    Attributes:
        asked: what the project's policy asks for.
        state: of the gravest alert; ``lapsed`` when the release no longer answers and nobody acted.
        came: how the shift has come, where a later window tells it.
        building: a retraining has begun and made no release (yet).
        release: what the retraining made.
        refused: why the retraining made no release, in words; empty unless it has ended so.
    """

    findings: list[Finding]
    title: str
    kind: str
    release_id: str
    window: tuple[datetime, datetime]
    blocks: list[Block]
    asked: str
    state: str
    came: str
    building: bool
    release: Release | None
    refused: str


def grouped(
    findings: Sequence[Finding],
    alerts: Sequence[Alert],
    releases: Sequence[Release],
    live: str | None,
    shifts: Sequence[Measurement] = (),
    refusals: Mapping[str, str] | None = None,
) -> list[Group]:
    """Groups by the end of their window, the newest first; in each the largest effect first.

    Args:
        shifts: measurements named ``shift``: the newest windows know best how a shift has come.
        refusals: why a build made no release, by its id.
    """
    together: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        about_an_input = finding.kind, finding.release_id, finding.window
        is_shift = finding.kind == "data_drift"
        together.setdefault(about_an_input if is_shift else (finding.id,), []).append(finding)
    by_finding = {alert.finding_id: alert for alert in alerts}
    by_id, courses = {release.id: release for release in releases}, came(shifts)
    groups = [
        _group(sorted(found, key=lambda one: -one.size), by_finding, by_id, live, courses, refusals or {})
        for found in together.values()
    ]
    return sorted(groups, key=lambda group: group.window[1], reverse=True)


def _group(
    found: list[Finding],
    by_finding: dict[str, Alert],
    by_id: dict[str, Release],
    live: str | None,
    courses: dict[tuple[str | None, str, str | None], str],
    refusals: Mapping[str, str],
) -> Group:
    first = found[0]
    alerts = [by_finding[finding.id] for finding in found if finding.id in by_finding]
    builds = [alert.build_id for alert in alerts if alert.build_id is not None]
    made = next(
        (by_id[one] for one in (derived_id("release", build) for build in builds) if one in by_id), None
    )
    title = first.title
    if len(found) > 1:
        most = f"most {first.feature!r}: by {first.size:.2f} standard deviations"
        title = f"{len(found)} inputs have shifted, {most}"
    by_now = courses.get((first.release_id, first.kind, first.feature), "")
    return Group(
        findings=found,
        title=title,
        kind=first.kind,
        release_id=first.release_id,
        window=first.window,
        blocks=blocks(first.evidence) if len(found) == 1 else [_table(found)],
        asked=_ASKED[alerts[0].action] if alerts else "",
        state=_state(alerts, first.release_id == live),
        came="" if by_now == first.evidence.get("came") else by_now,
        building=bool(builds) and made is None,
        release=made,
        refused="" if made else next((refusals[build] for build in builds if build in refusals), ""),
    )


def _state(alerts: list[Alert], about_live: bool) -> str:
    states = {alert.state for alert in alerts}
    if "acting" in states:
        return "acting"
    if any(alert.build_id is not None for alert in alerts):
        return "done"
    if "open" in states:
        return "open" if about_live else "lapsed"
    return "closed" if states else ""


def _table(found: list[Finding]) -> Block:
    """The evidence of several findings side by side; a word that is empty in all of them is left out."""
    said = (name for finding in found for name, value in finding.evidence.items() if value != "")
    heads = ["feature", *dict.fromkeys(said)]
    rows = [[one.feature, *(one.evidence.get(head) for head in heads[1:])] for one in found]
    return Block(title="", heads=heads, rows=rows)
