from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput
from headrace.core.project import Column
from headrace.data.encoding import Encoding
from headrace.data.history import History, feature_columns
from headrace.data.sources import read_file


def day(text: str) -> NDArray[Any]:
    return np.array([text], dtype="datetime64[us]")


def series(start: str, n: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
    return np.datetime64(start, "D") + np.arange(n), np.arange(float(n))


def test_lags_are_counted_in_days_and_a_missing_day_is_nan() -> None:
    days, values = series("2020-01-01", 10)
    kept = np.arange(10) != 2
    history = History(days[kept], values[kept])
    found = history.features(np.array(["2020-01-11", "2020-01-10T15:30"], dtype="datetime64[us]"), [7, 8], 7)
    np.testing.assert_array_equal(found["lag_7"], [3, np.nan])
    np.testing.assert_array_equal(found["lag_8"], [np.nan, 1])
    np.testing.assert_array_equal(found["mean_of_lags"], [3, 1])


def test_nothing_known_is_nan() -> None:
    found = History(np.empty(0, dtype="datetime64[us]"), np.empty(0)).features(day("2020-01-01"), [7], 7)
    assert np.isnan(found["lag_7"]).all()
    assert np.isnan(found["mean_of_lags"]).all()


def test_the_calendar() -> None:
    found = History(*series("2020-01-01", 1)).features(day("2020-01-20"), [7], 7)
    assert {n: v.item() for n, v in found.items() if n.startswith("day")} == {
        "day_of_week": 0,
        "days_from_holiday": 0,
        "days_from_holiday_at_lag": 5,
    }
    assert found["year_sin"].item() == pytest.approx(np.sin(2 * np.pi * 19 / 365.2425))


def test_the_last_value_of_a_day_stands() -> None:
    history = History(*series("2020-01-01", 5))
    history.observe(
        np.array(["2020-01-05T10", "2020-01-05T12", "2020-01-06"], dtype="datetime64[us]"),
        np.array([7.0, 8.0, np.nan]),
    )
    assert history.values.tolist() == [0, 1, 2, 3, 8]
    assert history.times.dtype == np.dtype("datetime64[us]")


@given(st.permutations(range(12)), st.integers(1, 11))
def test_the_order_and_the_batches_of_observations_do_not_matter(order: list[int], cut: int) -> None:
    days, values = series("2020-01-01", 12)
    at_once = History(days, values)
    piecewise = History(days[order[:cut]], values[order[:cut]])
    piecewise.observe(days[order[cut:]], values[order[cut:]])
    assert piecewise.times.tolist() == at_once.times.tolist()
    assert piecewise.values.tolist() == at_once.values.tolist()


@given(st.integers(1, 30), st.lists(st.integers(0, 60), min_size=1, max_size=5, unique=True))
def test_a_forecast_never_sees_what_is_not_known_yet(horizon: int, extra: list[int]) -> None:
    lags = [horizon + e for e in extra]
    days, values = series("2019-01-01", 120)
    target = days[100:101]
    known = days <= target[0] - np.timedelta64(horizon, "D")
    honest = History(days[known], values[known]).features(target, lags, horizon)
    all_knowing = History(days, values).features(target, lags, horizon)
    for name in honest:
        np.testing.assert_array_equal(honest[name], all_knowing[name])


def test_a_lag_shorter_than_the_horizon_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Lag 3 is shorter than the horizon of 7 days"):
        History(*series("2020-01-01", 5)).features(day("2020-02-01"), [7, 3], 7)


@pytest.mark.parametrize(("lags", "horizon"), [([], 7), ([7, 7], 7), ([7], 0)])
def test_lags_that_make_no_sense(lags: list[int], horizon: int) -> None:
    with pytest.raises(InvalidInput, match="Expected"):
        History(*series("2020-01-01", 5)).features(day("2020-02-01"), lags, horizon)


def test_bad_observations_are_refused() -> None:
    history = History(*series("2020-01-01", 5))
    with pytest.raises(InvalidInput, match="Times have type float64"):
        history.observe(np.zeros(1), np.zeros(1))
    with pytest.raises(InvalidInput, match="one number for each time"):
        history.observe(day("2020-01-01"), np.array(["x"], dtype=object))
    with pytest.raises(InvalidInput, match="a time is null"):
        history.features(np.array(["NaT"], dtype="datetime64[us]"), [7], 7)


def test_the_columns_are_those_that_are_made() -> None:
    found = History(*series("2020-01-01", 60)).features(day("2020-02-20"), [7, 14], 7)
    assert [column.name for column in feature_columns([7, 14])] == list(found)
    assert Encoding.fit(found, feature_columns([7, 14])).columns == tuple(found)


def test_ridge_beats_the_same_day_of_last_week_on_airport_passengers(shared_data: Path) -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = read_file(shared_data / "tsa_passengers.csv")
    days, passengers = table["date"].astype("datetime64[D]"), table["passengers"]
    lags = [7, 14, 21, 28]
    features = History(days, passengers).features(days, lags, 7)
    encoding = Encoding.fit(features, [Column(name=c.name, role=c.role) for c in feature_columns(lags)])
    x = encoding.encode(features)
    categorical = list(encoding.categorical_indexes)
    numeric = [i for i in range(x.shape[1]) if i not in categorical]
    prepare = ColumnTransformer(
        [
            ("numeric", make_pipeline(SimpleImputer(), StandardScaler()), numeric),
            ("categorical", OneHotEncoder(handle_unknown="ignore"), categorical),
        ]
    )
    train = days < np.datetime64("2020-01-01")
    test = (days >= np.datetime64("2020-01-01")) & (days < np.datetime64("2020-03-01"))
    model = make_pipeline(prepare, Ridge()).fit(x[train], passengers[train])
    error = np.abs(model.predict(x[test]) - passengers[test]).mean()
    naive = np.abs(features["lag_7"][test] - passengers[test]).mean()
    assert error < 0.8 * naive
