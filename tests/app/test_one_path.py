"""Whatever a model is, it takes one way into production, and nothing goes past its gates."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest

from headrace.app.operations import decide
from headrace.app.starting import start_project
from headrace.app.ticking import tick
from headrace.core.errors import Conflict
from headrace.core.project import Task
from tests.app.small import VALIDATOR, Site, Small

KINDS: dict[str, dict[str, Any]] = {
    "classification": {"target": "sold", "forecasting": False},
    "regression": {"target": "price", "forecasting": False},
    "forecasting": {"target": "price", "time": "day", "forecasting": True},
    "anomaly_detection": {"target": None, "forecasting": False},
}


def begun(site: Site, kind: str, *, name: str | None = None, unknown: float = 0.0) -> Small:
    """A project of this kind, as ``headrace init`` writes it from a small table; of cars that have been far
    the share ``unknown`` has no age."""
    random = np.random.default_rng(0)
    n = 600
    mileage = random.uniform(1_000, 100_000, n).round()
    table = {
        "day": [str(np.datetime64("2024-01-01") + i) for i in range(n)],
        "mileage": mileage.tolist(),
        "age": [
            "" if far and dice < unknown else age
            for far, dice, age in zip(
                mileage > 75_000, random.random(n), random.integers(1, 12, n).tolist(), strict=True
            )
        ],
        "price": (20_000 - mileage / 10 + 500 * (np.arange(n) % 7) + random.normal(0, 200, n)).tolist(),
        "sold": np.where(mileage + random.normal(0, 15_000, n) < 50_000, "yes", "no").tolist(),
    }
    if kind == "forecasting":
        table = {name: table[name] for name in ("day", "price")}
    name = name or kind.replace("_", "-")
    path = site.parent / f"{name}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(table), *zip(*table.values(), strict=True)])
    unsupervised: Task | None = "anomaly_detection" if kind == "anomaly_detection" else None
    asked: dict[str, Any] = {"time": None, "key": None, "owner": "Ada", "contact": "ada@example.org"} | KINDS[
        kind
    ]
    made = start_project(site.parent, name=name, data=path, unsupervised=unsupervised, **asked)
    return Small(app=site.app, work=site.work, folder=made.folder, name=name)


@pytest.mark.slow
@pytest.mark.requirement("DEP-01")
@pytest.mark.requirement("DEP-05", "DEP-11")
def test_every_kind_of_model_takes_the_same_way(shared: Site) -> None:
    """One workflow judges, waits for a person and moves the traffic; the log reads the same for all."""
    app, ways, gates = shared.app, {}, {}
    for kind in KINDS:
        project = begun(shared, kind)
        release = project.delivered(project.build()["release_id"])
        assert release.state == "waiting", (kind, release.reason)
        assert project.route() is None, "nothing answers before a person has decided"
        tick(app, shared.work, project.me, release.id, (), "looked at the rows")
        gates[kind] = {v.gate: v.outcome for v in app.store.evidence.verdicts(release.id)}
        release = decide(app, shared.work, app.identities.resolve(VALIDATOR), release.id, "approved", "")
        assert release.state == "live"
        route = project.route()
        assert route is not None
        assert route.live == release.id
        ways[kind] = [
            (e.actor, e.action) for e in app.store.audit.list() if e.resource == f"release:{release.id}"
        ]
    assert len({tuple(way) for way in ways.values()}) == 1, ways
    common = set.intersection(*(set(one) for one in gates.values()))
    for kind, judged in gates.items():
        # What a forecast has learnt cannot be asked with shuffled labels, nor what has learnt from none.
        asked = {gate for gate in judged if not gate.startswith("flight:")}
        assert asked - common <= {"training", "metrics"}, (kind, judged)
    assert {"data", "data_bias", "tests", "model", "baseline", "champion", "artefact", "package"} <= common
    assert {outcome for one in gates.values() for outcome in one.values()} == {"passed"}


@pytest.mark.requirement("DEP-11")
def test_nothing_goes_past_a_gate_that_fails(shared: Site) -> None:
    project = shared.project("stopped", ("metric: mae}", "metric: mae, max_loss: 1.0}"))
    refused = project.released()
    assert refused.state == "refused"
    assert project.route() is None
    with pytest.raises(Conflict, match="refused"):
        decide(shared.app, shared.work, shared.app.identities.resolve(VALIDATOR), refused.id, "approved", "")
    assert project.route() is None
