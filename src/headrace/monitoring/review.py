"""When a live release is to be looked at again by a person, and whether that is overdue. Pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta

from headrace.access.privacy.charters import in_force
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.core.record import Finding
from headrace.core.release import Release, Review

KIND = "review"
MOST_DAYS = 90
"""Between two reviews of what is of high risk."""
SOON = timedelta(days=14)
"""So long before it is due, a review is asked for."""
LOOKED_AT = frozenset(
    {
        "data_drift",
        "prediction_drift",
        "concept_drift",
        "new_segment",
        "performance",
        "estimate",
        "metric",
        "fairness",
        "bias",
        "deviation",
    }
)
"""Kinds of findings that a review is about."""


def every_days(project: Project, live: Release) -> int | None:
    """How often its live release is reviewed; None: never.

    Whoever declares a project anew asks for more reviews at once, and for fewer once a release with that is
    approved and answers: what was approved holds, and so does its risk.

    >>> from headrace.testing.factories import make_manifest, make_project, make_release
    >>> risky = make_release(manifest=make_manifest(risk="high"))
    >>> every_days(make_project(risk="low"), make_release()), every_days(make_project(risk="low"), risky)
    (None, 90)
    """
    terms = () if live.manifest.terms is None else (live.manifest.terms,)
    asked = in_force(project, terms).review.every_days
    if "high" in (project.risk, live.manifest.risk):
        return MOST_DAYS if asked is None else min(asked, MOST_DAYS)
    return asked


def due_at(days: int | None, live_since: datetime, last: Review | None) -> datetime | None:
    """When the live release has to have been reviewed; None: never.

    Its approval counts as the first look. One that was found unfit is due from then on, until it is replaced
    or a later review finds it fit.

    Args:
        days: between two reviews, as :func:`every_days` says.
        last: the newest review of this release.
    """
    if days is None:
        return None
    if last is not None and last.state == "unfit":
        return last.at
    return (live_since if last is None else max(last.at, live_since)) + timedelta(days=days)


def overdue_finding(
    project: Project, release_id: str, due: datetime, days: int, last: Review | None, now: datetime
) -> Finding:
    """What is told once a review is overdue: once for each time that one is due."""
    unfit = last is not None and last.state == "unfit"
    title = f"its review was due on {due:%Y-%m-%d}"
    if last is not None and unfit:
        title = f"{last.by} found it unfit on {due:%Y-%m-%d}: replace it, or roll it back"
    return Finding(
        id=derived_id("finding", project.name, KIND, release_id, due.isoformat()),
        project=project.name,
        kind=KIND,
        release_id=release_id,
        title=title,
        window=(due, now),
        evidence={
            "due_at": due.isoformat(),
            "every_days": days,
            "by": project.review.by,
            "last_review": None if last is None else last.id,
        },
        size=(now - due) / timedelta(days=1),
        at=now,
    )
