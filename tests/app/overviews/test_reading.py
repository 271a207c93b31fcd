from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.access.opening import open_access
from headrace.access.policy import CedarPolicy
from headrace.app.composition import App, open_app
from headrace.app.governance import auditing
from headrace.app.overviews import reading
from headrace.app.overviews.fleet import overview
from headrace.app.rollouts.comparing import difference
from headrace.core.errors import Denied, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.testing.clock import START
from headrace.testing.factories import (
    make_alert,
    make_finding,
    make_measurement,
    make_project,
    make_route,
    make_settings,
    make_verdict,
)
from tests.web.making import VALIDATOR
from tests.web.seed import AUDITOR, VIEWER, Seeded, seed

ONLY_CARS = 'permit (principal, action == Action::"project.read", resource == Project::"cars");'
WEEK = timedelta(days=7)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, Seeded]]:
    with open_app(make_settings(tmp_path_factory.mktemp("reading") / "home")) as app:
        yield app, seed(app)


@pytest.fixture
def app(opened: tuple[App, Seeded]) -> App:
    return opened[0]


@pytest.fixture
def seeded(opened: tuple[App, Seeded]) -> Seeded:
    return opened[1]


def _me(app: App, name: str = VIEWER) -> Principal:
    return app.identities.resolve(name)


def _restricted(app: App) -> App:
    """The same home under a policy that shows one project only."""
    keys = app.settings.home / "keys"
    return replace(app, access=open_access(app.store, keys, app.clock, CedarPolicy(ONLY_CARS)))


def test_lists_hold_only_what_may_be_read(app: App, seeded: Seeded) -> None:
    few, me = _restricted(app), _me(app)
    assert [project.name for project in reading.projects(few, me)] == ["cars"]
    assert [glance.name for glance in overview(few, me).projects] == ["cars"]
    assert {release.project for release in reading.releases(few, me)} == {"cars"}
    assert {"cars", "flight-delay", "tsa-passengers"} <= {
        project.name for project in reading.projects(app, me)
    }


def test_every_single_thing_is_refused_to_who_may_not_read_it(app: App, seeded: Seeded) -> None:
    few, me, name = _restricted(app), _me(app), "flight-delay"
    with pytest.raises(Denied):
        reading.project(few, me, name)
    for read in (
        reading.route,
        reading.releases,
        reading.project_report,
        reading.model_versions,
        reading.runs,
        reading.findings,
        reading.alerts,
        reading.measurements,
        reading.performance,
        reading.predictions_count,
    ):
        with pytest.raises(Denied):
            read(few, me, name)
    with pytest.raises(Denied):
        reading.release_report(few, me, seeded.live)
    with pytest.raises(Denied):
        difference(few, me, seeded.live)


def test_the_audit_log_is_for_auditors(app: App) -> None:
    assert auditing.entries(app, _me(app, AUDITOR), limit=1)[0].sequence == 1
    with pytest.raises(Denied):
        auditing.entries(app, _me(app, VALIDATOR))


def test_a_glance_says_how_the_live_release_is_doing(app: App, seeded: Seeded) -> None:
    glances = {glance.name: glance for glance in overview(app, _me(app)).projects}
    flights, cars, passengers = (glances[name] for name in ("flight-delay", "cars", "tsa-passengers"))
    assert (flights.live, flights.health, flights.waiting) == (
        "model:flight-delay@2",
        "degraded",
        [seeded.waiting],
    )
    assert flights.loss is not None
    assert flights.loss.release_id == seeded.live
    assert flights.last_finding is not None
    assert flights.open_alerts == 1
    assert (cars.canary, cars.health, cars.loss) == ("model:cars@2", "unmeasured", None)
    assert (passengers.live, passengers.health, passengers.waiting) == (None, "idle", [])


def test_health_follows_the_live_release_not_the_ones_before(app: App, seeded: Seeded) -> None:
    name, me = "health", _me(app)
    window = (START, START + WEEK)
    app.store.projects.save(make_project(name=name), "/nowhere")
    assert reading.project_report(app, me, name).glance.health == "idle"
    app.store.rollouts.set_route(make_route(project=name, live=seeded.cars_live, revision=0))
    assert reading.project_report(app, me, name).glance.health == "unmeasured"
    few = make_measurement(project=name, release_id=seeded.cars_live, window=window, n_rows=1)
    app.store.evidence.measure([few])
    assert reading.project_report(app, me, name).glance.health == "unmeasured", "one label says nothing"
    app.store.evidence.measure([make_measurement(project=name, release_id=seeded.cars_live, window=window)])
    assert reading.project_report(app, me, name).glance.health == "healthy"
    app.store.findings.add(make_finding(project=name, release_id="earlier", kind="performance"))
    assert reading.project_report(app, me, name).glance.health == "healthy"
    app.store.findings.add(make_finding(project=name, release_id=seeded.cars_live))
    assert reading.project_report(app, me, name).glance.health == "drifting"
    app.store.findings.add(
        make_finding(project=name, release_id=seeded.cars_live, kind="performance", feature=None)
    )
    assert reading.project_report(app, me, name).glance.health == "degraded"


def test_a_loss_that_recovered_since_the_finding_is_no_longer_degraded(app: App, seeded: Seeded) -> None:
    name, me, live = "recovered", _me(app), seeded.cars_live
    app.store.projects.save(make_project(name=name), "/nowhere")
    app.store.rollouts.set_route(make_route(project=name, live=live, revision=0))
    bad = (START, START + WEEK)
    app.store.findings.add(
        make_finding(project=name, release_id=live, kind="performance", feature=None, window=bad)
    )

    def measure(week: int, value: float, n_rows: int) -> None:
        window = (START + week * WEEK, START + (week + 1) * WEEK)
        detail = {"reference": 100.0}
        app.store.evidence.measure(
            [
                make_measurement(
                    project=name, release_id=live, window=window, value=value, n_rows=n_rows, detail=detail
                )
            ]
        )

    measure(0, 120.0, 100)
    assert reading.project_report(app, me, name).glance.health == "degraded"
    measure(1, 100.0, 50)
    assert reading.project_report(app, me, name).glance.health == "degraded"
    measure(2, 99.0, 500)
    assert reading.project_report(app, me, name).glance.health == "healthy"


def test_alerts_about_releases_that_no_longer_answer_ask_for_nothing(app: App, seeded: Seeded) -> None:
    name, me = "lapsed", _me(app)
    app.store.projects.save(make_project(name=name), "/nowhere")
    app.store.rollouts.set_route(make_route(project=name, live=seeded.cars_live, revision=0))
    for release_id in ("before", seeded.cars_live):
        finding = make_finding(project=name, release_id=release_id)
        app.store.findings.add(finding)
        app.store.findings.save_alert(make_alert(project=name, finding_id=finding.id))
    assert reading.project_report(app, me, name).glance.open_alerts == 1


def test_a_retraining_that_made_no_release_says_which_gates_it_failed(app: App) -> None:
    name = "refused"
    app.store.projects.save(make_project(name=name), "/nowhere")
    for build, state in (("failed", "closed"), ("passed", "closed"), ("under-way", "acting")):
        finding = make_finding(project=name)
        app.store.findings.add(finding)
        app.store.findings.save_alert(
            make_alert(project=name, finding_id=finding.id, build_id=build, state=state)
        )
        for gate, outcome in (
            ("data_drift", "passed"),
            ("data", "passed" if build == "passed" else "failed"),
        ):
            judged = derived_id("release", build)
            app.store.evidence.add_verdict(
                make_verdict(subject_id=judged, gate=gate, outcome=outcome, reason="3 good rows")
            )
    assert reading.refused_builds(app, _me(app), name) == {"failed": "data: 3 good rows"}


def test_a_report_names_the_release_that_is_on_its_way(app: App, seeded: Seeded) -> None:
    cars = reading.project_report(app, _me(app), "cars")
    assert cars.candidate is not None
    assert cars.candidate.id == seeded.canary
    assert cars.rollout is not None
    assert cars.rollout.state == "canary"
    flights = reading.project_report(app, _me(app), "flight-delay")
    assert flights.candidate is not None
    assert flights.candidate.id == seeded.waiting
    assert flights.rollout is None


def test_of_each_window_and_release_the_measurement_with_most_labels_is_the_present_one(app: App) -> None:
    name, window = "late-labels", (START, START + WEEK)
    app.store.projects.save(make_project(name=name), "/nowhere")
    early = make_measurement(project=name, value=9.0, n_rows=10, window=window, release_id="r")
    late = make_measurement(project=name, value=7.0, n_rows=40, window=window, release_id="r")
    other = make_measurement(project=name, value=5.0, n_rows=5, window=window, release_id="s")
    app.store.evidence.measure([late, early, other])
    assert [m.value for m in reading.performance(app, _me(app), name)] == [7.0, 5.0]


def test_what_does_not_exist_is_not_found(app: App) -> None:
    for read in (reading.project, reading.findings, reading.predictions_count):
        with pytest.raises(NotFound):
            read(app, _me(app), "nothing")
    with pytest.raises(NotFound):
        reading.release_report(app, _me(app), "nothing")


def test_a_difference_is_from_the_live_release(app: App, seeded: Seeded) -> None:
    found = difference(app, _me(app), seeded.waiting)
    assert (found.against, found.against_subject) == (seeded.live, "model:flight-delay@2")
    judged = {pair.name: pair.better for pair in found.metrics}
    assert judged == {
        "log_loss": True, "brier": True, "auc": True, "error_rate": True, "precision": None, "recall": None,
    }  # fmt: skip
    assert [(pair.name, pair.before, pair.after) for pair in found.params] == [("n_estimators", 400, 600)]
    ingredients = {pair.name: pair for pair in found.ingredients}
    assert ingredients["rows of data"].before == 122_233
    assert ingredients["rows of data"].after == 140_233
    assert ingredients["code"].same
    assert not ingredients["data"].same


def test_a_live_release_is_compared_with_the_one_it_replaced_and_a_first_one_with_nothing(
    app: App, seeded: Seeded
) -> None:
    live = difference(app, _me(app), seeded.live)
    assert live.against_subject == "model:flight-delay@1"
    assert difference(app, _me(app), seeded.cars_live).against is None
    worse = {pair.name: pair.better for pair in difference(app, _me(app), seeded.canary).metrics}
    assert worse == {"mae": True, "rmse": True, "r2": None}
