from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.core.release import Measurement
from headrace.testing.clock import START
from headrace.testing.factories import make_measurement
from headrace.web.pages.downloads import as_csv
from headrace.web.pages.series import (
    drift_plot,
    drift_rows,
    drift_strips,
    estimate_rows,
    performance_plot,
    performance_rows,
    release_marks,
    spark,
)

WEEK = timedelta(days=7)


def _name(release_id: str | None) -> str:
    return f"cars@{release_id}"


def _loss(week: int, release_id: str, value: float, **more: Any) -> Measurement:
    window = (START + week * WEEK, START + (week + 1) * WEEK)
    return make_measurement(window=window, release_id=release_id, value=value, **more)


def _shift(week: int, release_id: str, feature: str, value: float | None, n_rows: int = 100) -> Measurement:
    detail = {"kind": "prediction_drift" if feature == "prediction" else "data_drift", "p_value": 0.01}
    found = _loss(week, release_id, 0.0, name="shift", feature=feature, n_rows=n_rows, detail=detail)
    return Measurement(**{**vars(found), "value": value})


def test_a_line_per_release_with_its_band_and_its_own_reference() -> None:
    measured = [
        _loss(0, "1", 10.0, interval=(9.0, 11.0), confidence=0.9, detail={"reference": 8.0}),
        _loss(1, "1", 12.0, detail={"reference": 8.0}),
        _loss(1, "2", 7.0, detail={"reference": 6.0}),
    ]
    plot = performance_plot(performance_rows(measured, _name), limit=20.0)
    assert [(one["name"], one["reference"], one["value"]) for one in plot["series"]] == [
        ("cars@1", 8.0, [10.0, 12.0]),
        ("cars@2", 6.0, [7.0]),
    ]
    assert plot["series"][0]["low"] == [9.0, None]
    assert plot["marks"] == [{"name": "cars@2", "at": (START + WEEK).isoformat()}]
    assert (plot["metric"], plot["confidence"], plot["limit"]) == ("mae", 0.9, 20.0)


def test_what_was_estimated_stands_beside_what_labels_show() -> None:
    measured = [_loss(0, "1", 10.0, detail={"reference": 8.0})]
    detail = {"metric": "mae", "reference": 8.0, "refused": None}
    guesses = [
        _loss(week, "1", 9.0, name="estimated_loss", interval=(8.0, 10.0), detail=detail) for week in (0, 1)
    ]
    none = Measurement(**{**vars(_loss(2, "2", 0.0, name="estimated_loss")), "value": None})
    none = replace(none, detail={"metric": "mae", "reference": 6.0, "refused": "concept drift"})
    plot = performance_plot(performance_rows(measured, _name), None, estimate_rows([*guesses, none], _name))
    first, second = plot["series"]
    assert (first["value"], first["estimated"]["value"], first["estimated"]["low"]) == (
        [10.0],
        [9.0, 9.0],
        [8.0, 8.0],
    )
    assert (second["name"], second["value"], second["estimated"]["value"]) == ("cars@2", [], [])
    assert plot["refused"] == "concept drift"
    assert plot["metric"] == "mae"


def test_nothing_measured_gives_an_empty_plot() -> None:
    assert performance_plot([], None)["series"] == []
    assert drift_plot([], 0.2)["lines"] == []
    assert drift_strips([], 0.2) == []
    assert release_marks([]) == []


def test_a_measurement_at_a_gate_has_no_window_and_is_not_plotted() -> None:
    assert performance_rows([make_measurement()], _name) == []
    assert drift_rows([make_measurement()], _name) == []


def test_features_beyond_the_threshold_are_named_highest_first_and_predictions_stand_among_them() -> None:
    measured = [
        _shift(0, "1", "mileage", 0.05), _shift(0, "1", "model", 0.25), _shift(0, "1", "prediction", 0.4),
        _shift(1, "1", "mileage", 0.1), _shift(1, "1", "model", None),
    ]  # fmt: skip
    plot = drift_plot(drift_rows(measured, _name), 0.2)
    assert [(line["feature"], line["named"]) for line in plot["lines"]] == [
        ("predictions", True),
        ("model", True),
        ("mileage", False),
    ]


def test_a_line_breaks_where_another_release_takes_over() -> None:
    measured = [_shift(0, "1", "mileage", 0.5), _shift(1, "2", "mileage", 0.1)]
    (line,) = drift_plot(drift_rows(measured, _name), 0.2)["lines"]
    assert line["shift"] == [0.5, None, 0.1]
    assert len(line["window_start"]) == 3


def test_while_a_canary_runs_the_release_with_more_rows_stands_for_the_window() -> None:
    measured = [_shift(0, "1", "mileage", 0.5, n_rows=900), _shift(0, "2", "mileage", 0.1, n_rows=100)]
    (strip,) = drift_strips(drift_rows(measured, _name), 0.2)
    assert (strip.latest, strip.peak, len(strip.cells)) == (0.5, 0.5, 1)


def test_strips_share_their_windows_and_say_how_far_on_the_way_to_the_threshold() -> None:
    values = [0.0, 0.06, 0.12, 0.2, 0.4, 2.0]
    measured = [_shift(week, "1", "mileage", value) for week, value in enumerate(values)]
    measured += [_shift(4, "1", "model", None), _shift(2, "1", "model", 0.01)]
    mileage, model = drift_strips(drift_rows(measured, _name), 0.2)
    assert [cell.level for cell in mileage.cells] == ["0", "1", "2", "3", "4", "5"]
    assert [cell.level for cell in model.cells] == ["none", "none", "0", "none", "none", "none"]
    assert "2.000 standard deviations on 100 rows" in mileage.cells[-1].title
    assert model.latest == 0.01


@given(st.lists(st.none() | st.floats(-1e9, 1e9), max_size=40), st.none() | st.floats(-1e9, 1e9))
def test_a_spark_stays_in_its_box(values: list[float | None], reference: float | None) -> None:
    drawn = spark(values, reference=reference)
    known = [value for value in values if value is not None]
    assert (drawn is None) == (len(known) < 2)
    if drawn is not None:
        points = [tuple(map(float, point.split(","))) for point in drawn.points.split()]
        assert len(points) == len(known)
        assert all(0 <= x <= drawn.width and 0 <= y <= drawn.height for x, y in points)
        assert points[-1] == drawn.last


def test_text_that_a_spreadsheet_would_run_is_marked_as_text() -> None:
    text = as_csv([{"feature": "=1+1", "psi": -0.5}, {"feature": 'a,"b', "psi": None}])
    assert text == 'feature,psi\n\'=1+1,-0.5\n"a,""b",\n'
