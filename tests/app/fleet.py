"""A home with many live models, most of them well: what rounds of watching leave of each."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from headrace.app.composition import App
from headrace.core.project import Owner, Project, ServiceLevel, ServingSpec
from headrace.core.release import Measurement, Subject
from headrace.releases import delivery
from headrace.testing import START
from headrace.testing.factories import (
    make_alert,
    make_finding,
    make_manifest,
    make_measurement,
    make_project,
    make_release,
    make_rollout,
    make_route,
)

DAY, WEEK, HOUR = timedelta(days=1), timedelta(days=7), timedelta(hours=1)
LEVEL = ServiceLevel(p99_ms=50, requests_per_s=10, availability=0.999)
LONG = "claims-triage-of-the-northern-regions-with-a-name-that-is-long"


def add_models(app: App, n: int, *, prefix: str = "model") -> list[str]:
    """``n`` live models with a loss by week, calls by hour and shifts; returns the ids of the live releases.

    The first has a critical alert, the second a warning; the third has not been called for a day.
    """
    now = app.clock.now()
    live = []
    for index in range(n):
        project = make_project(
            name=f"{prefix}-{index:03d}",
            owner=Owner(name="Ada Byron" if index % 2 else "Bo Li", contact="ada@example.org"),
            serving=ServingSpec(level=LEVEL if index % 2 == 0 else None),
            tags=("pricing", "europe") if index % 3 == 0 else ("risk",),
        )
        with app.store.transaction():
            live.append(add_model(app, project, now, silent=index == 2, seed=index))
    for index, kind in enumerate(("performance", "data_drift")[:n]):
        add_alert(app, f"{prefix}-{index:03d}", live[index], kind)
    return live


def add_model(app: App, project: Project, now: datetime, *, silent: bool = False, seed: int = 0) -> str:
    """One live model; ``silent``: nobody has called it for a day."""
    name, store = project.name, app.store
    store.projects.save(project, f"/nowhere/{name}")
    subject = Subject(ref=f"model:{name}@1", package=make_manifest().subject.package)
    manifest = make_manifest(project=name, subject=subject, risk=project.risk)
    release = store.releases.add(make_release(manifest=manifest, state="live", created_at=now - 90 * DAY))
    rollout = make_rollout(release_id=release.id, project=name, step_started_at=now - 80 * DAY)
    store.rollouts.save(rollout, make_route(project=name, live=release.id, revision=0))
    monday = now.replace(hour=0, minute=0, second=0, microsecond=0) - 12 * WEEK
    measured: list[Measurement] = []
    of_it: dict[str, Any] = {"project": name, "release_id": release.id, "at": now}
    for week in range(12):
        window = (monday + week * WEEK, monday + (week + 1) * WEEK)
        loss = 1_200.0 + 9.0 * ((week * 7 + seed) % 5)
        measured += [
            make_measurement(
                **of_it,
                window=window,
                value=loss,
                interval=(loss - 20, loss + 20),
                detail={"reference": 1_210.0},
            ),
            make_measurement(**of_it, window=window, name="window", value=5_000.0),
            *(
                make_measurement(
                    **of_it, window=window, name="shift", value=0.01, feature=f, detail={"kind": "data_drift"}
                )
                for f in ("mileage", "age", "fuel", "doors")
            ),
        ]
    measured += [_calls(name, now, hour, 0 if silent else 40 + (hour * 5 + seed) % 11) for hour in range(30)]
    hour = (
        now.replace(minute=0, second=0, microsecond=0) - HOUR,
        now.replace(minute=0, second=0, microsecond=0),
    )
    counts = [70_000, 4 + seed % 3, 2_592_000.0, 300.0 * (seed % 11)]
    detail = {"hour": counts, "period": counts, "day": counts, "p99_ms": 4.25}
    measured.append(make_measurement(**of_it, name="availability", window=hour, detail=detail))
    store.evidence.measure(measured)
    return release.id


def add_alert(app: App, project: str, release_id: str, kind: str, *, title: str = "") -> str:
    """Something was found about a live release; returns the alert's id."""
    now = app.clock.now()
    found = make_finding(
        project=project, release_id=release_id, kind=kind, at=now, window=(now - WEEK, now),
        title=title or f"{kind} of {project}",
    )  # fmt: skip
    app.store.findings.add(found)
    alert = make_alert(project=project, finding_id=found.id, at=now)
    app.store.findings.save_alert(alert)
    return alert.id


def add_waiting(app: App, project: Project, at: datetime = START) -> str:
    """A release that waits for a person since it was made; returns its id."""
    subject = Subject(ref=f"model:{project.name}@2", package=make_manifest().subject.package)
    manifest = make_manifest(project=project.name, subject=subject)
    release = make_release(manifest=manifest, state="proposed", created_at=at)
    app.store.releases.add(release)
    delivery.move(app.store, release.id, "gates_passed")
    return release.id


def _calls(project: str, now: datetime, hours_ago: int, calls: int) -> Measurement:
    start = now.replace(minute=0, second=0, microsecond=0) - (hours_ago + 1) * HOUR
    detail = {"day_before": 44, "week_before": 45, "consumers": {}, "deviating": []}
    return make_measurement(
        project=project, name="calls", value=float(calls), window=(start, start + HOUR), at=now, detail=detail
    )
