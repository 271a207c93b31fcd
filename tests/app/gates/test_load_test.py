from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.app.gates.load_test import GATE, LoadPlan, run_load_test
from headrace.core.errors import Denied, InvalidInput, NotFound, Unavailable
from headrace.core.project import ServiceLevel
from tests.app.answering import answering
from tests.app.small import VALIDATOR, Site

EASY = ServiceLevel(p99_ms=60_000, requests_per_s=1_000)


@pytest.fixture(scope="module")
def cars(shared: Site) -> Site:
    """A project with a live release."""
    level = "serving: {level: {p99_ms: 60000, requests_per_s: 1000, availability: 0.9}}\ntriggers:"
    assert shared.project("loaded", ("triggers:", level)).released().state == "live"
    return shared


@pytest.mark.requirement("SRV-10")
def test_a_release_is_loaded_with_its_own_rows_and_the_result_is_evidence(cars: Site) -> None:
    app = cars.app
    said: list[tuple[str, float]] = []
    tested = run_load_test(
        app, app.me(), LoadPlan(project="loaded", step_s=0.3), lambda *told: said.append(told)
    )
    assert tested.outcome in ("passed", "inconclusive", "failed"), tested.reason  # the machine may be busy
    assert [round(step.offered_per_s) for step in tested.steps] == [250, 500, 1000]
    assert sum(step.failed for step in tested.steps) == 0
    last = tested.steps[-1]
    assert last.cpu_ms is not None
    assert last.memory_bytes is not None
    assert last.cpu_ms > 0
    assert last.memory_bytes > 1 << 20
    assert 0 < last.p50_ms.value <= last.p95_ms.value <= last.p99_ms.value
    assert tested.plan.replicas is not None
    assert tested.n_rows > 50
    assert ("warm-up", 1.0) in said
    (kept,) = [v for v in app.store.evidence.verdicts(tested.release) if v.id == tested.verdict]
    assert (kept.gate, kept.outcome) == (GATE, tested.outcome)
    assert [row["sent"] for row in kept.evidence["steps"]] == [step.sent for step in tested.steps]
    entry = next(e for e in reversed(app.store.audit.list()) if e.detail.get("verdict") == tested.verdict)
    assert (entry.action, entry.actor) == ("gate.judge", "ada")
    assert app.store.events.count("loaded/predictions") == 0, "a test is no production"
    assert not list((app.settings.home / "scratch").glob("trial-*"))


def test_a_level_out_of_reach_fails(cars: Site) -> None:
    level = ServiceLevel(p99_ms=0.001, requests_per_s=2_000)
    tested = run_load_test(cars.app, cars.app.me(), LoadPlan(project="loaded", level=level, step_s=0.1))
    assert tested.outcome == "failed"
    assert tested.reason.startswith("p99_ms: ")
    assert tested.plan.replicas is None


def test_what_cannot_be_tested_is_refused_before_anything_is_sent(cars: Site) -> None:
    app, me = cars.app, cars.app.me()
    declared = app.store.projects.get("loaded")
    bare = replace(declared, name="undeclared", serving=replace(declared.serving, level=None))
    app.store.projects.save(bare, "")
    with pytest.raises(InvalidInput, match="declares no service level. Add to headrace.yaml"):
        run_load_test(app, me, LoadPlan(project="undeclared"))
    with pytest.raises(NotFound, match="Make one with 'headrace run'"):
        run_load_test(app, me, LoadPlan(project="undeclared", level=EASY))
    with pytest.raises(InvalidInput, match="another machine"):
        run_load_test(app, me, LoadPlan(project="loaded", level=EASY, url="http://192.0.2.1:8000"))
    with pytest.raises(InvalidInput, match="at most 200,000"):
        run_load_test(app, me, LoadPlan(project="loaded", level=EASY, step_s=600))
    with pytest.raises(Denied):
        run_load_test(app, app.identities.resolve(VALIDATOR), LoadPlan(project="loaded"))


def test_a_model_that_answers_nothing_is_a_failed_test_and_still_evidence(cars: Site) -> None:
    async def nothing(_: int) -> int:
        return 503

    app = cars.app
    with answering(nothing) as url, pytest.raises(Unavailable, match=r"gave no answer \({'503': "):
        run_load_test(app, app.me(), LoadPlan(project="loaded", url=url, level=EASY))

    async def seldom(number: int) -> int:
        return 200 if number == 0 else 503

    with answering(seldom) as url:
        tested = run_load_test(app, app.me(), LoadPlan(project="loaded", url=url, level=EASY, step_s=0.1))
    assert tested.outcome == "failed"
    assert tested.plan.replicas is None, "this server does not say what it uses"
    (kept,) = [v for v in app.store.evidence.verdicts(tested.release) if v.id == tested.verdict]
    assert kept.evidence["steps"][-1]["p99 ms"] is None
    assert kept.evidence["server"] == url
