"""A project's own metrics, from the code to the gate and to live answers."""

from __future__ import annotations

import pytest

from headrace.app.operations import watch_now
from headrace.app.overviews import reading
from headrace.core.errors import NotFound
from headrace.monitoring.metrics import NAME
from tests.app.small import CODE, Site, cars

OWN = """

@headrace.metric("money_lost")
def lost(truth, predictions, columns):
    import numpy

    assert set(columns) == {"year", "mileage", "diesel", "listed", "guess"}
    return numpy.maximum(truth - predictions, 0)


@headrace.metric("broken")
def broken(truth):
    return truth[:3]
"""
DECLARED = "variants:\n  - {name: baseline"


def metrics(*lines: str) -> tuple[str, str]:
    return DECLARED, "metrics:\n" + "".join(f"  - {{{line}}}\n" for line in lines) + DECLARED


@pytest.mark.requirement("EVA-02")
@pytest.mark.requirement("EVA-11")
def test_a_business_metric_in_code_is_judged_for_the_version_and_measured_live(shared: Site) -> None:
    spec = metrics("name: money_lost, business: true, unit: EUR, max: 900", "name: bias")
    project = shared.project("valued", spec, code=CODE + OWN)
    release = project.released()
    judged = project.verdicts(release)["metrics"]
    assert judged.outcome == "passed"
    kept = judged.evidence["metrics"]["money_lost"]
    assert (kept["unit"], kept["for the business"]) == ("EUR", True)
    assert release.manifest.evaluation["money_lost"] == kept["value"] > 0
    assert kept["interval"][0] < kept["value"] < kept["interval"][1]
    project.answered(cars(40, seed=3), day=0, release=release.id)
    watch_now(project.app, project.work, project.me, project.name)
    live = {m.feature: m for m in reading.measurements(project.app, project.me, project.name, NAME)}
    assert set(live) == {"money_lost", "bias"}
    assert live["money_lost"].n_rows == 40
    assert live["money_lost"].value == pytest.approx(kept["value"], rel=1)


@pytest.mark.requirement("GAT-13")
def test_beyond_its_limit_the_gate_fails_and_broken_code_is_an_error(shared: Site) -> None:
    spec = metrics("name: money_lost, max: 0.001", "name: broken, max: 1")
    project = shared.project("costly", spec, code=CODE + OWN)
    judged = {v["gate"]: v for v in project.build()["verdicts"]}["metrics"]
    assert judged["outcome"] == "error"
    assert "broken" in judged["reason"]
    project.write(metrics("name: money_lost, max: 0.001"), code=CODE + OWN)
    judged = {v["gate"]: v for v in project.build()["verdicts"]}["metrics"]
    assert judged["outcome"] == "failed"
    assert "money_lost" in judged["reason"]


def test_an_unknown_metric_is_refused_before_anything_is_trained(shared: Site) -> None:
    project = shared.project("unmeasured", metrics("name: monei_lost"), code=CODE + OWN)
    with pytest.raises(NotFound, match=r"no metric 'monei_lost'.*mae.*project.py has: broken, money_lost"):
        project.build()
    assert not project.app.store.runs.list(project.name)
