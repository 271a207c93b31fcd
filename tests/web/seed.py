"""Fills a home with what a few months of work leave behind, so that pages can be looked at and tested.

Three projects: ``flight-delay`` (twenty weekly windows, a retraining that waits for a person),
``cars`` (a model that answers, and a canary), and one that is only declared. Run as a program it
serves them: ``python -m tests.web.seed HOME PORT``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from headrace.app.composition import App, open_app
from headrace.app.governance import grants, incidents
from headrace.app.workflows import Workflows, launch
from headrace.core.project import (
    Column,
    DataSpec,
    Gates,
    ModelGate,
    Owner,
    Project,
    RolloutSpec,
    Trigger,
    Value,
)
from headrace.releases import delivery
from headrace.testing.factories import make_project, make_settings
from headrace.web.server import build_server
from tests.web.making import (
    AUTHOR,
    FEATURES,
    VALIDATOR,
    Cause,
    add_release,
    add_verdicts,
    begin,
    decide,
    go_live,
    look,
)
from tests.web.watched import add_hours, add_windows, find_decay, find_drift

VIEWER, AUDITOR = "vera", "otto"
PEOPLE: dict[str, list[str]] = {
    AUTHOR: ["developer", "operator", "admin"],
    VALIDATOR: ["validator"],
    VIEWER: ["viewer"],
    AUDITOR: ["auditor"],
}
BY_HAND = Cause("", "run by hand")


@dataclass(frozen=True, kw_only=True)
class Seeded:
    """Ids of the releases that tests look at."""

    live: str
    aborted: str
    waiting: str
    cars_live: str
    canary: str


def seed(app: App) -> Seeded:
    """Fill an empty home."""
    for name, roles in PEOPLE.items():
        app.identities.add(name, roles, actor=AUTHOR)
    seeded = _cars(app, _flights(app))
    declared = _flight_project(name="tsa-passengers", task="forecasting", risk="low")
    app.store.projects.save(declared, "/nowhere/tsa-passengers")
    app.identities.add(
        "nightly-scoring",
        ["operator"],
        actor=AUTHOR,
        kind="agent",
        owner=AUTHOR,
        purpose="Scores the day's cars every night and reports what it could not score.",
    )
    viewer = app.identities.resolve(VIEWER)
    incidents.flag(app, viewer, "nightly-scoring", "It asked for releases at noon; it only runs at night.")
    grants.ask(app, viewer, "operator", "project:cars", "The night shift is one short.", duration_s=7200)
    return seeded


def resume(work: Workflows, seeded: Seeded) -> None:
    """Start the deliveries that are under way, as the builds of these releases would have."""
    for release_id in (seeded.waiting, seeded.canary):
        work.durable.start("deliver", f"deliver:{release_id}", release_id)


def _flight_project(**changes: Any) -> Project:
    columns = tuple(
        Column(name=name, role="categorical" if name in ("carrier", "origin", "dest") else "numeric")
        for name in FEATURES
    )
    project = make_project(
        name="flight-delay",
        task="classification",
        owner=Owner(name="Ada Byron", contact="ada@example.org"),
        value=Value(hypothesis="Travellers who know rebook sooner.", kpi="share of missed connections"),
        data=DataSpec(
            source="project.py", target="late", time="departure", columns=columns, documentation="Flights."
        ),
        gates=Gates(data=make_project().gates.data, model=ModelGate(metric="log_loss", max_loss=0.62)),
        triggers=(Trigger(when="drift", do="review"), Trigger(when="performance", do="automatic")),
    )
    return replace(project, **changes)


def _flights(app: App) -> Seeded:
    project, now = _flight_project(), app.clock.now()
    app.store.projects.save(project, "/nowhere/flight-delay")
    first = add_release(app, project, 1, BY_HAND, at=now - timedelta(days=150), loss=0.4612)
    add_verdicts(app, project, first)
    go_live(app, project, first, now - timedelta(days=149))
    drift = find_drift(app, project, first.id)
    second = add_release(app, project, 2, drift, at=now - timedelta(days=70), loss=0.4381, parent=first.id)
    add_verdicts(app, project, second, against=first)
    go_live(app, project, second, now - timedelta(days=69))
    third = add_release(
        app, project, 3, Cause("", "try more trees"), at=now - timedelta(days=30), loss=0.4377,
        parent=second.id,
    )  # fmt: skip
    add_verdicts(app, project, third, against=second, comparison="inconclusive")
    at = now - timedelta(days=29)
    decide(app, third, at, "Inconclusive, but worth a canary.")
    begin(app, project, third, at)
    look(app, third, "inconclusive", "34 of 50 answers so far", at + timedelta(hours=1))
    look(app, third, "failed", "worse by at least 0.0312 per row on 412 labels", at + timedelta(hours=9))
    delivery.finish(app.store, third.id)
    decay = find_decay(app, project, second.id)
    fourth = add_release(
        app, project, 4, decay, at=now - timedelta(hours=5), loss=0.4295, parent=second.id, n_estimators=600
    )
    add_verdicts(app, project, fourth, against=second)
    delivery.move(app.store, fourth.id, "gates_passed")
    add_windows(app, project, first, second)
    add_hours(app, project, second)
    return Seeded(live=second.id, aborted=third.id, waiting=fourth.id, cars_live="", canary="")


def _cars(app: App, seeded: Seeded) -> Seeded:
    project = make_project(
        rollout=RolloutSpec(steps=(10, 50), interval_s=3_600.0),
        triggers=(Trigger(when="labels", do="warn"),),
        data=replace(make_project().data, documentation="Used cars, one row each."),
    )
    app.store.projects.save(project, "/nowhere/cars")
    now = app.clock.now()
    first = add_release(app, project, 1, BY_HAND, at=now - timedelta(days=5), loss=1_204.0)
    add_verdicts(app, project, first)
    go_live(app, project, first, now - timedelta(days=4))
    second = add_release(app, project, 2, BY_HAND, at=now - timedelta(days=1), loss=1_187.0, parent=first.id)
    add_verdicts(app, project, second, against=first)
    decide(app, second, now - timedelta(hours=2), "")
    begin(app, project, second, now - timedelta(hours=2))
    look(app, second, "inconclusive", "12 of 50 answers so far", now - timedelta(hours=1))
    return replace(seeded, cars_live=first.id, canary=second.id)


def main(home: Path, port: int) -> None:
    """Serve a seeded home until interrupted."""
    import uvicorn

    with open_app(make_settings(home)) as app, launch(app, role="server") as work:
        server = build_server(app, work)
        resume(work, seed(app))
        for name in PEOPLE:
            ticket = server.new_ticket(app.identities.resolve(name))
            sys.stdout.write(f"{name} http://127.0.0.1:{port}{ticket}\n")
        sys.stdout.flush()
        uvicorn.run(server, port=port, loop="uvloop", http="httptools", log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
