"""``/releases/{id}/rollout``: how a canary goes on, look by look, and its numbers as CSV and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headrace.app.operations import find_release
from headrace.app.overviews import reading
from headrace.app.rollouts.pace import awaited_of, used_up
from headrace.core.errors import NotFound
from headrace.core.release import Measurement, Rollout
from headrace.web.identity import principal_of
from headrace.web.pages.downloads import as_file
from headrace.web.pages.release import metric_name
from headrace.web.pages.rendering import parts_of, renderer_of


def show(request: Request) -> Response:
    """The share of the traffic over time, the difference in loss at each look, and what else is compared."""
    app, me = parts_of(request).app, principal_of(request.scope)
    release = find_release(app, me, request.path_params["release_id"])
    report = reading.release_report(app, me, release.id)
    if report.rollout is None:
        raise NotFound(
            f"Release {release.id} has no rollout. It begins once the release is approved: see "
            f"/releases/{release.id}."
        )
    looks = reading.looks(app, me, release.id)
    return renderer_of(request).page(
        request,
        "rollout.html",
        release=release,
        rollout=report.rollout,
        metric_name=metric_name(release),
        awaited=awaited_of(app, me, release, report.rollout, looks),
        used_up=used_up(app, me, release.project) if report.rollout.state == "canary" else [],
        looks=looks,
        newest=looks[-1] if looks else None,
        shares=share_plot(report.rollout, looks),
        sequence=sequence_plot(look_rows(looks)),
    )


def download(request: Request) -> Response:
    """``/releases/{id}/looks.csv`` and ``.json``."""
    app, me = parts_of(request).app, principal_of(request.scope)
    release = find_release(app, me, request.path_params["release_id"])
    rows = look_rows(reading.looks(app, me, release.id))
    return as_file(request.path_params["form"], f"{release.project}-looks", rows, {"release": release.id})


def look_rows(looks: Sequence[Measurement]) -> list[dict[str, Any]]:
    """One row per look that is kept, the oldest first; times in ISO 8601."""
    return [
        {
            "at": one.at.isoformat(),
            "look": one.detail["look"],
            "outcome": one.detail["outcome"],
            "step": one.detail["step"],
            "share_percent": one.detail["share_percent"],
            "answered": one.detail["answered"],
            "failed": one.detail["failed"],
            "n_labels": one.n_rows,
            "difference": one.value,
            "low": None if one.interval is None else one.interval[0],
            "high": None if one.interval is None else one.interval[1],
            "confidence": one.confidence,
            "allowed": one.detail["allowed"],
        }
        for one in looks
    ]


def share_plot(rollout: Rollout, looks: Sequence[Measurement]) -> dict[str, Any]:
    """The candidate's share of the traffic in percent, from each moment at which it changed.

    What is not in the looks that are kept is in the rollout: when it began, and its present step.
    """
    changes = {}
    if rollout.step >= 0 and rollout.steps:
        changes[rollout.started_at] = rollout.steps[0]
    for one in looks:
        changes.setdefault(one.window[0] if one.window else one.at, one.detail["share_percent"])
    ended = {"promoted": 100, "aborted": 0}.get(rollout.state)
    if ended is not None:
        changes[rollout.step_started_at] = ended
    elif 0 <= rollout.step < len(rollout.steps):
        changes.setdefault(rollout.step_started_at, rollout.steps[rollout.step])
    ordered = sorted(changes.items())
    newest = max([at for at, _ in ordered] + [one.at for one in looks], default=None)
    if ordered and newest is not None and newest > ordered[-1][0]:
        ordered.append((newest, ordered[-1][1]))
    return {"at": [at.isoformat() for at, _ in ordered], "share": [share for _, share in ordered]}


def sequence_plot(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The difference in loss with its interval and what is allowed, at each look that could tell one."""
    told = [row for row in rows if row["low"] is not None]
    names = ("at", "look", "n_labels", "difference", "low", "high", "allowed")
    steps = {row["step"]: row for row in reversed(rows)}
    return {
        "confidence": told[-1]["confidence"] if told else None,
        "marks": [{"at": steps[step]["at"], "name": _share(steps[step])} for step in sorted(steps)],
        **{name: [row[name] for row in told] for name in names},
    }


def _share(row: dict[str, Any]) -> str:
    return f"{row['share_percent']} %" if row["share_percent"] else "shadow"
