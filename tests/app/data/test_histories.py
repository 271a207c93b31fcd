"""Forecasts follow from what was last known: truth that comes later reaches the loaded models."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.app.composition import App, open_app
from headrace.app.data.histories import moments_of, tell_truth
from headrace.core.project import DataSpec, Project
from headrace.core.release import Route, Subject
from headrace.data.encoding import Encoding
from headrace.data.history import History, feature_columns
from headrace.monitoring.ingest import outcome_rows, outcomes_table, prediction_rows, predictions_table
from headrace.monitoring.joining import labelled_rows
from headrace.testing import (
    START,
    make_manifest,
    make_outcome,
    make_prediction,
    make_project,
    make_release,
    make_settings,
)
from headrace.training.baselines import ColumnModel
from headrace.training.convert import to_onnx
from headrace.training.package import PackageInfo, build_package

LAGS = (7,)


def forecasts() -> Project:
    data = DataSpec(source="days.csv", target="passengers", time="date", lags_days=LAGS, horizon_days=7)
    return make_project(task="forecasting", data=data)


def package() -> bytes:
    """A model that says what was a week ago; it knows the two weeks before the start."""
    days = np.datetime64(START.replace(tzinfo=None), "us") - np.arange(14, 0, -1) * np.timedelta64(1, "D")
    history = History(days, np.full(14, 100.0))
    columns = feature_columns(LAGS)
    features = history.features(days[7:], LAGS, 7)
    encoding = Encoding.fit(features, columns)
    X = encoding.encode(features)
    model = ColumnModel(encoding.columns.index("lag_7")).fit(X, np.full(len(X), 100.0))
    info = PackageInfo(
        project="cars", variant="baseline", task="forecasting", target="passengers", time="date",
        lags_days=LAGS, horizon_days=7,
    )  # fmt: skip
    return build_package(
        info, encoding, to_onnx(model, n_features=X.shape[1], task="forecasting"), history=history
    )


def asked(app: App, day: int, value: float | None, *, date: object = "given") -> None:
    """A forecast for a day, and its truth once it is known."""
    moment = START + timedelta(days=day)
    columns: dict[str, list[Any]] = {"date": [moment.isoformat()]} if date == "given" else {"other": ["x"]}
    made = make_prediction(
        id=f"day-{day}", n_rows=1, event_time=moment, columns=columns, outputs={"predict": [1.0]}
    )
    app.store.tables.append(predictions_table("cars"), prediction_rows([made], frozenset()))
    if value is not None:
        said = make_outcome(subject=f"day-{day}:0", value=value, observed_at=moment)
        app.store.tables.append(outcomes_table("cars"), outcome_rows([said]))


@pytest.fixture
def live(tmp_path: Path) -> Any:
    with open_app(make_settings(tmp_path / "home")) as app:
        kept = app.store.artifacts.put(package(), "application/zip")
        manifest = make_manifest(subject=Subject(ref="model:cars@1", package=kept))
        made = make_release(manifest=manifest)
        release = app.store.releases.add(replace(made, signature=app.access.signatures.sign(made)))
        app.store.rollouts.set_route(Route(project="cars", live=release.id))
        yield app, release.id


def test_truth_that_came_is_what_the_next_forecast_follows(live: tuple[App, str]) -> None:
    app, release_id = live
    scorer = app.scorers.of_release(release_id)
    date = np.array([START.replace(tzinfo=None) + timedelta(days=8)], dtype="datetime64[us]")
    asked(app, 1, 250.0)
    asked(app, 2, None)
    assert tell_truth(app, forecasts()) == 1
    assert scorer.score(scorer.complete({"date": date}))["predict"].tolist() == [250.0]
    assert tell_truth(app, forecasts()) == 1, "telling it again changes nothing"
    assert scorer.score(scorer.complete({"date": date}))["predict"].tolist() == [250.0]


def test_nothing_is_told_without_labels_a_route_or_a_forecast(live: tuple[App, str]) -> None:
    app, _ = live
    assert tell_truth(app, forecasts()) == 0
    asked(app, 1, 250.0)
    assert tell_truth(app, make_project()) == 0
    assert tell_truth(app, replace(forecasts(), name="another")) == 0


def test_the_moment_of_a_row_is_what_was_asked_for_or_when(live: tuple[App, str]) -> None:
    app, _ = live
    asked(app, 3, 1.0)
    day = np.datetime64(START.replace(tzinfo=None) + timedelta(days=3), "us")
    labelled = labelled_rows("cars", app.store.tables)
    assert moments_of(forecasts(), labelled).tolist() == [day.item()]
    other = replace(forecasts(), data=replace(forecasts().data, time="elsewhere"))
    assert moments_of(other, labelled).tolist() == [day.item()]
