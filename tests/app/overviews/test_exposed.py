"""What is exposed of many projects: by as many queries as of one, and no older than it may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.app.composition import App, open_app
from headrace.app.overviews.exposed import NEWEST_WINDOWS, Exposed, exposed, newest_shifts
from headrace.core.alerts import Case
from headrace.core.release import Measurement
from headrace.testing.factories import make_measurement, make_project, make_settings
from tests.app.fleet import WEEK, add_alert, add_model, add_models
from tests.app.statements import counting


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path / "home")) as found:
        yield found


def _only(app: App) -> Exposed:
    (one,) = exposed(app, app.store.projects.list())
    return one


def _n_queries(app: App, n_projects: int) -> int:
    """But for the one of each live release, about its training."""
    declared = app.store.projects.list()
    with counting() as sent:
        assert len(exposed(app, declared)) == n_projects
    return sum(one.startswith("SELECT") and "FROM hr_runs" not in one for one in sent)


def test_many_projects_take_as_many_queries_as_a_few(app: App) -> None:
    add_models(app, 2)
    few = _n_queries(app, 2)
    add_models(app, 18, prefix="more")
    assert _n_queries(app, 20) == few


def test_alerts_that_only_warn_count_until_somebody_has_closed_them(app: App) -> None:
    live = add_model(app, make_project(), app.clock.now())
    add_model(app, make_project(name="boats"), app.clock.now())
    asking, warning = (add_alert(app, "cars", live, kind) for kind in ("performance", "data_drift"))
    for alert in app.store.findings.alerts("cars"):
        if alert.id == warning:
            app.store.findings.save_alert(replace(alert, action="warn", state="closed"))
    case = app.store.cases.add(
        Case(
            id=warning, workspace="main", subject="cars", kind="data_drift", at=app.clock.now(), round="r",
        )
    )  # fmt: skip
    boats, cars = exposed(app, app.store.projects.list())
    if boats.project.name == "cars":
        boats, cars = cars, boats
    assert cars.open_alerts == {"warn": 1, "review": 1, "automatic": 0}, asking
    assert set(boats.open_alerts.values()) == {0}
    app.store.cases.change(replace(case, state="ignored", revision=1))
    assert next(one for one in exposed(app, [cars.project])).open_alerts["warn"] == 0


def test_what_is_older_than_the_newest_windows_is_not_exposed(app: App) -> None:
    live = add_model(app, make_project(), app.clock.now())
    ends = max(m.window[1] for m in app.store.evidence.measurements("cars", name="shift") if m.window)

    def shift(feature: str, week: int, value: float) -> Measurement:
        window = (ends + week * WEEK, ends + (week + 1) * WEEK)
        return make_measurement(
            name="shift", release_id=live, feature=feature, value=value, window=window,
            detail={"kind": "data_drift"},
        )  # fmt: skip

    app.store.evidence.measure([shift("age", week, week / 10) for week in range(NEWEST_WINDOWS - 1)])
    found = {one.feature: one.value for one in _only(app).shifts}
    assert found == {"mileage": 0.01, "fuel": 0.01, "doors": 0.01, "age": (NEWEST_WINDOWS - 2) / 10}
    app.store.evidence.measure([shift("age", NEWEST_WINDOWS - 1, 0.7)])
    assert {one.feature: one.value for one in _only(app).shifts} == {"age": 0.7}


def test_what_is_not_live_has_nothing_to_expose(app: App) -> None:
    app.store.projects.save(make_project(), "/nowhere")
    one = _only(app)
    assert (one.live, one.route, one.trained_at, one.loss, one.calls) == (None,) * 5
    assert (one.shifts, one.trends, one.kpis) == ([], [], [])


def test_of_each_feature_the_newest_window_of_the_live_release_counts() -> None:
    def shift(release_id: str, value: float | None, kind: str = "data_drift") -> Measurement:
        return make_measurement(
            name="shift", release_id=release_id, feature="x", value=value, detail={"kind": kind}
        )

    measured = [
        shift("live", 0.1),
        shift("live", 0.2),
        shift("live", None),
        shift("other", 0.9),
        shift("live", 0.3, "prediction_drift"),
    ]
    assert [one.value for one in newest_shifts(measured, "live")] == [0.2, 0.3]
