from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.app.alerting import cases
from headrace.app.composition import App, open_app
from headrace.app.overviews.fleet import overview
from headrace.app.overviews.glance import Calls, Glance
from headrace.core.alerts import Case
from headrace.core.errors import InvalidInput
from headrace.core.project import ServiceLevel, ServingSpec
from headrace.monitoring.ingest import prediction_rows
from headrace.store.records import encode_prediction
from headrace.testing import START, FakeClock
from headrace.testing.factories import (
    make_finding,
    make_manifest,
    make_measurement,
    make_prediction,
    make_project,
    make_release,
    make_rollout,
    make_route,
    make_settings,
)
from tests.app.fleet import DAY, HOUR, WEEK, add_alert, add_model, add_models, add_waiting
from tests.app.statements import counting

N = 100
MIDWEEK = START + timedelta(days=3, hours=10)


def n_queries(home: App, n_projects: int) -> int:
    """By which the overview is read, once it is known who may see what; no time passes meanwhile."""
    me = home.me()
    overview(home, me)
    with counting() as sent:
        found = overview(home, me)
    assert len(found.projects) == n_projects
    return sum(statement.startswith("SELECT") for statement in sent)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with open_app(make_settings(tmp_path_factory.mktemp("fleet") / "home"), clock=FakeClock(MIDWEEK)) as app:
        add_models(app, N)
        yield app


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path / "home"), clock=FakeClock(MIDWEEK)) as found:
        yield found


def test_a_hundred_models_take_as_many_queries_as_ten(many: App, app: App) -> None:
    add_models(app, 10)
    assert n_queries(app, 10) == n_queries(many, N) <= 19


def test_who_needs_somebody_comes_first_and_all_are_counted(many: App) -> None:
    found = overview(many, many.me())
    assert found.counts == {"act": 1, "watch": 2, "fine": 97, "idle": 0}
    assert [one.name for one in found.projects[:3]] == ["model-000", "model-001", "model-002"]
    assert [[reason.why for reason in one.reasons] for one in found.projects[:4]] == [
        ["alert"],
        ["warning"],
        ["traffic"],
        [],
    ]
    assert found.projects[2].reasons[0].text == "no call in 24 hours, 1,080 in those of the week before"
    fine = next(one for one in found.projects if one.name == "model-004")
    assert fine.service is not None
    assert (fine.service.declared, fine.service.p99_ms) == (0.999, 4.25)
    assert fine.service.left == pytest.approx(1 - (1200 + 5 / 70_005 * (2_592_000 - 1200)) / 2592)
    fine = found.projects[3]
    assert fine.live == "model:model-003@1"
    assert (fine.health, fine.open_alerts, len(fine.losses)) == ("healthy", 0, 12)
    assert fine.calls is not None
    assert (len(fine.calls.hours), fine.calls.week_before) == (24, 24 * 45)
    assert fine.drift is not None
    assert (fine.drift.shifted, fine.drift.compared) == (0, 4)


def test_words_and_a_state_leave_a_few_and_the_counts_stay(many: App) -> None:
    def names(words: str, state: str = "") -> list[str]:
        found = overview(many, many.me(), words=words, state=state)
        assert sum(found.counts.values()) == N
        return [one.name for one in found.projects]

    assert len(names("europe PRICING")) == 34
    assert len(names("bo li")) == 50
    assert names("degraded") == names("", "act") == ["model-000"]
    assert names("europe no call") == []
    assert names("bo no call") == ["model-002"]
    with pytest.raises(InvalidInput, match=r"no state 'ill'.*act, watch, fine, idle"):
        overview(many, many.me(), state="ill")


def test_an_alert_that_somebody_answered_is_watched(app: App) -> None:
    (live,) = add_models(app, 1, prefix="one")
    alert = next(iter(app.store.findings.alerts("one-000")))
    case = Case(
        id=alert.id, workspace="main", subject="one-000", kind="performance", at=alert.at, round="r",
    )  # fmt: skip
    app.store.cases.add(case)
    assert _only(app) == ("act", ["alert"])
    cases.answer(app, app.me(), alert.id, "acknowledge")
    assert _only(app) == ("watch", ["answered"])
    app.store.findings.save_alert(replace(alert, state="acting"))
    assert _only(app) == ("watch", ["answered"])
    app.store.findings.save_alert(replace(alert, state="closed"))
    assert _only(app) == ("watch", ["answered"]), "by somebody who has not closed the case yet"
    cases.answer(app, app.me(), alert.id, "ignore", why="the labels were wrong")
    assert _only(app) == ("watch", ["health"]), "nobody has to answer, but it is degraded as before"
    add_alert(app, "one-000", "an earlier release", "performance")
    assert _only(app) == ("watch", ["health"])
    assert live


def test_a_violation_that_is_overdue_comes_before_all_else(app: App) -> None:
    project = make_project()
    live = add_model(app, project, app.clock.now())
    waiting = add_waiting(app, project)
    assert _only(app) == ("act", ["decision"])
    assert overview(app, app.me()).projects[0].waiting == [waiting]
    add_alert(app, "cars", live, "performance")
    alert_id = add_alert(app, "cars", "an earlier release", "fairness")
    now = app.clock.now()
    case = Case(
        id=alert_id, workspace="main", subject="cars", kind="fairness", at=now - 3 * DAY, round="r",
        due_at=now - DAY,
    )  # fmt: skip
    app.store.cases.add(case)
    assert _only(app) == ("act", ["overdue", "alert", "decision"])


def test_labels_that_no_longer_come_are_told(app: App) -> None:
    project, now = make_project(), app.clock.now()
    live = add_model(app, project, now)
    assert _only(app) == ("fine", [])
    ends = max(m.window[1] for m in app.store.evidence.measurements("cars", name="mae") if m.window)
    later = (ends + 3 * WEEK, ends + 4 * WEEK)
    app.store.evidence.measure([make_measurement(name="window", release_id=live, window=later)])
    assert _only(app) == ("watch", ["labels"])
    assert overview(app, app.me()).projects[0].reasons[0].text == f"no label since {ends:%Y-%m-%d}"


def test_inputs_that_shifted_in_the_newest_window_are_counted(app: App) -> None:
    """Those that go on shifting are measured as such in each window, and were found once."""
    add_model(app, make_project(), app.clock.now())
    shown = app.store.evidence.measurements("cars", name="shift")
    end = max(m.window[1] for m in shown if m.window)
    newest = [m for m in shown if m.window and m.window[1] == end]
    week = (end, end + WEEK)
    app.store.evidence.measure(
        [
            replace(
                m, id=f"{m.id}-later", window=week, detail=m.detail | ({"course": "abrupt"} if n < 2 else {})
            )
            for n, m in enumerate(newest)
        ]
    )
    drift = overview(app, app.me()).projects[0].drift
    assert drift is not None
    assert (drift.shifted, drift.compared) == (2, len(newest))


def test_many_findings_of_one_kind_hide_none_of_another(app: App) -> None:
    project, now = make_project(), app.clock.now()
    of_it: dict[str, Any] = {"project": project.name, "at": now}
    about = of_it | {"release_id": add_model(app, project, now)}
    app.store.findings.add(make_finding(**about, kind="performance", window=(now - DAY, now)))
    title = "cars version 3 of MLflow became no release"
    app.store.findings.add(make_finding(**of_it, kind="registration", release_id="", title=title))
    for number in range(60):
        drift = make_finding(**about | {"at": now + DAY}, kind="data_drift", feature=f"input {number}")
        app.store.findings.add(drift)
    (line,) = overview(app, app.me()).projects
    assert line.health == "degraded"
    assert [reason.why for reason in line.reasons] == ["health", "registration"]
    assert line.last_finding is not None
    assert line.last_finding.kind == "data_drift"
    add_waiting(app, project, now + DAY)
    assert _only(app) == ("act", ["decision", "health"]), "another model has come this far since"


def test_a_live_model_that_nobody_has_ever_asked_is_not_called_fine(app: App) -> None:
    project, now = make_project(), app.clock.now()
    app.store.projects.save(project, "/nowhere/cars")
    release = app.store.releases.add(make_release(state="live", created_at=now - DAY))
    rollout = make_rollout(release_id=release.id, step_started_at=now - HOUR)
    app.store.rollouts.save(rollout, make_route(live=release.id, revision=0))
    (one,) = overview(app, app.me()).projects
    assert (one.state, one.health) == ("watch", "unmeasured")
    assert [(reason.text, reason.at) for reason in one.reasons] == [("nobody has asked it yet", now - HOUR)]
    app.store.events.append("cars/predictions", [encode_prediction(make_prediction(release_id=release.id))])
    assert _only(app) == ("fine", [])


def test_in_its_first_week_it_is_said_that_inputs_are_not_compared_yet(app: App) -> None:
    project, now = make_project(), app.clock.now()
    app.store.projects.save(project, "/nowhere/cars")
    release = app.store.releases.add(make_release(state="live", created_at=now - HOUR))
    rollout = make_rollout(release_id=release.id, step_started_at=now - HOUR)
    app.store.rollouts.save(rollout, make_route(live=release.id, revision=0))
    given = make_prediction(release_id=release.id, at=now - HOUR / 2, event_time=now - HOUR / 2)
    app.store.events.append("cars/predictions", [encode_prediction(given)])
    assert _first(app).uncompared == "inputs are not compared yet: none of its windows has closed"
    app.store.tables.append("cars/predictions", prediction_rows([given], frozenset()))
    ends = now.replace(hour=0) + WEEK
    assert _first(app).uncompared == f"inputs are not compared before {ends:%Y-%m-%d}"
    assert _only(app) == ("fine", []), "nobody is needed for that"
    assert [one.name for one in overview(app, app.me(), words="compared").projects] == ["cars"]
    of_it: dict[str, Any] = {"project": "cars", "at": now, "name": "shift", "detail": {"kind": "data_drift"}}
    window = (now - WEEK, now)
    app.store.evidence.measure([make_measurement(**of_it, release_id="one before", window=window)])
    assert _first(app).uncompared, "another release's inputs were"
    app.store.evidence.measure([make_measurement(**of_it, release_id=release.id, window=window)])
    assert _first(app).uncompared == ""


def test_calls_are_counted_also_before_the_first_full_hour_is_over(app: App) -> None:
    project, now = make_project(), app.clock.now()
    live = add_model(app, project, now)
    counted = _first(app).calls
    assert counted is not None
    assert (len(counted.hours), counted.so_far) == (24, False)
    release_id = _live_for_an_hour(app, "new")
    assert _first(app, "new").calls is None
    _called(app, "new", release_id)
    assert _first(app, "new").calls == Calls(hours=[], last_day=3, week_before=None, so_far=True)
    hour = {"project": "new", "name": "calls", "value": 0.0, "detail": {"week_before": None}}
    app.store.evidence.measure([make_measurement(**hour, window=(now - HOUR, now), at=now)])
    shown = _first(app, "new").calls
    assert shown == Calls(hours=[0], last_day=3, week_before=None, so_far=True), "its first hour was not full"
    assert live


def test_calls_of_releases_before_are_none_of_the_last_day(app: App) -> None:
    _called(app, "old", _live_for_an_hour(app, "old", parent="the-one-before"))
    assert _first(app, "old").calls is None


def _live_for_an_hour(app: App, project: str, *, parent: str | None = None) -> str:
    now = app.clock.now()
    app.store.projects.save(make_project(name=project), f"/nowhere/{project}")
    manifest = make_manifest(project=project, parent=parent)
    release = app.store.releases.add(make_release(manifest=manifest, state="live", created_at=now))
    rollout = make_rollout(release_id=release.id, project=project, step_started_at=now - HOUR)
    app.store.rollouts.save(rollout, make_route(project=project, live=release.id, revision=0))
    return release.id


def _called(app: App, project: str, release_id: str) -> None:
    given = [encode_prediction(make_prediction(project=project, release_id=release_id)) for _ in range(3)]
    app.store.events.append(f"{project}/predictions", given)


def test_a_project_without_a_live_release_is_idle_unless_one_waits(app: App) -> None:
    project = make_project()
    app.store.projects.save(project, "/nowhere")
    assert _only(app) == ("idle", [])
    add_waiting(app, project)
    assert _only(app) == ("act", ["decision"])


@pytest.mark.requirement("MON-36")
def test_a_declared_level_needs_somebody_while_no_server_is_there(app: App) -> None:
    level = ServiceLevel(p99_ms=50, requests_per_s=10, availability=0.999)
    add_model(app, make_project(serving=ServingSpec(level=level)), app.clock.now())
    add_model(app, make_project(name="boats"), app.clock.now())
    assert overview(app, app.me()).counts["fine"] == 2, "no server was ever there"
    app.store.executors.register("one", "server", "http://one")
    assert overview(app, app.me()).counts["fine"] == 2
    app.store.executors.release("one")
    found = overview(app, app.me())
    assert [(one.name, one.state) for one in found.projects] == [("cars", "act"), ("boats", "fine")]
    assert [reason.why for reason in found.projects[0].reasons] == ["down"]
    assert found.lost == [], "it said that it ends"


def _first(app: App, name: str = "cars") -> Glance:
    return next(one for one in overview(app, app.me()).projects if one.name == name)


def _only(app: App) -> tuple[str, list[str]]:
    (one,) = overview(app, app.me()).projects
    return one.state, [reason.why for reason in one.reasons]
