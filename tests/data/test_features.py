"""Training reads what was known at each row's time, never later, as a naive loop does; no row is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.core.project import Column, DataSpec, FeatureSpec, Owner, Project
from headrace.data.features import as_of, feature_sets, with_features
from headrace.testing import make_project

WEATHER = FeatureSpec(
    name="weather", source="weather.csv", columns=("wind", "wet"), key="airport", time="measured"
)
DAY = np.datetime64("2026-01-01", "us")

keys = st.sampled_from(["JFK", "EWR", None])
hours = st.none() | st.integers(0, 6)
asked = st.lists(st.tuples(keys, hours), max_size=12)
offered = st.lists(st.tuples(keys, hours, hours), max_size=12)


def texts(values: list[str | None]) -> Any:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def times(values: list[int | None]) -> Any:
    nat = np.datetime64("NaT")
    moments = [nat if v is None else DAY + np.timedelta64(v, "h") for v in values]
    return np.array(moments, dtype="datetime64[us]")


def naive(rows: list[tuple[Any, Any]], values: list[tuple[Any, Any, Any]], *, late: bool) -> list[int]:
    """By looking at each value for each row."""
    found = []
    for key, at in rows:
        best: tuple[Any, ...] = ()
        for place, (of_key, since, told) in enumerate(values):
            known = told if late else since
            if None in (key, at, of_key, since, known) or key != of_key:
                continue
            if since <= at and known <= at:
                best = max(best, (since, known, place))
        found.append(best[2] if best else -1)
    return found


@pytest.mark.requirement("FEA-05")
@settings(max_examples=200, deadline=None)
@given(rows=asked, values=offered, late=st.booleans())
def test_each_row_gets_what_was_known_at_its_time(
    rows: list[tuple[Any, Any]], values: list[tuple[Any, Any, Any]], late: bool
) -> None:
    found = as_of(
        texts([key for key, _ in rows]),
        times([at for _, at in rows]),
        texts([key for key, _, _ in values]),
        times([since for _, since, _ in values]),
        times([known for _, _, known in values]) if late else None,
    )
    assert found.tolist() == naive(rows, values, late=late)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1.0, 2.5, np.nan]), st.integers(0, 5)), max_size=8))
def test_numbers_are_keys_too_and_nan_is_none(rows: list[tuple[float, int]]) -> None:
    ids, at = np.array([key for key, _ in rows], dtype=float), times([hour for _, hour in rows])
    plain: list[tuple[Any, Any]] = [(None if np.isnan(key) else key, hour) for key, hour in rows]
    assert as_of(ids, at, ids, at).tolist() == naive(plain, [(*row, None) for row in plain], late=False)


def weather() -> dict[str, Any]:
    return {
        "airport": texts(["JFK", "JFK", "EWR"]),
        "measured": times([0, 4, 2]),
        "wind": np.array([1.0, 2.0, 3.0]),
        "wet": np.array([True, False, True]),
    }


def flights() -> dict[str, Any]:
    return {"airport": texts(["EWR", "JFK", "JFK"]), "leaves": times([1, 3, 5]), "delay": np.arange(3.0)}


def test_no_row_is_lost_and_what_was_not_known_is_null() -> None:
    joined = with_features(flights(), "leaves", [(WEATHER, weather())])
    assert joined["delay"].tolist() == [0.0, 1.0, 2.0]
    np.testing.assert_array_equal(joined["wind"], [np.nan, 1.0, 2.0])
    np.testing.assert_array_equal(joined["wet"], [np.nan, 1.0, 0.0])
    later = flights() | {"leaves": times([5, 5, 5])}
    assert with_features(later, "leaves", [(WEATHER, weather())])["wet"].dtype == bool


@pytest.mark.parametrize(
    ("own", "theirs", "spec", "said"),
    [
        ({}, {"wind": None}, WEATHER, "weather.csv of the feature set 'weather' has no column 'wind'"),
        ({"airport": None}, {}, WEATHER, "The project's own table, which the feature set 'weather'"),
        ({"leaves": None}, {}, WEATHER, "The project's own table has no column 'leaves'"),
        ({"airport": np.arange(3.0)}, {}, WEATHER, "is a text, and in the project's own table a number"),
        ({}, {"measured": np.arange(3.0)}, WEATHER, "'measured', by which .* is a number"),
        ({"leaves": np.arange(3.0)}, {}, WEATHER, "'leaves', by which .* is a number"),
        ({"wind": np.arange(3.0)}, {}, WEATHER, "Column 'wind' of the feature set 'weather' is in another"),
        ({}, {}, replace(WEATHER, known="told"), "has no column 'told'"),
    ],
)
def test_what_cannot_be_joined_is_named(
    own: dict[str, Any], theirs: dict[str, Any], spec: FeatureSpec, said: str
) -> None:
    ours, table = (
        {n: v for n, v in t.items() if v is not None} for t in (flights() | own, weather() | theirs)
    )
    with pytest.raises(InvalidInput, match=said):
        with_features(ours, "leaves", [(spec, table)])


def declared(*, spec: FeatureSpec = WEATHER, **changes: Any) -> Project:
    columns = (
        Column(name="distance", role="numeric"),
        Column(name="wind", role="numeric", why="m/s at the runway"),
        Column(name="wet", role="categorical"),
    )
    return make_project(
        name="flights",
        data=DataSpec(
            source="flights.csv", target="delay", time="leaves", columns=columns, features=(spec,), **changes
        ),
    )


def test_inputs_belong_to_the_set_that_they_come_from() -> None:
    project = declared()
    own, other = feature_sets(project, project.data.columns)
    assert (own.name, [c.name for c in own.columns]) == ("flights/inputs", ["distance"])
    assert (other.name, [c.name for c in other.columns]) == ("flights/weather", ["wind", "wet"])
    assert own.owner == other.owner == project.owner
    assert other.ref == f"flights/weather@{other.version}"


def test_a_version_follows_from_what_values_depend_on_and_from_nothing_else() -> None:
    def version(spec: FeatureSpec) -> str:
        project = declared(spec=spec)
        return feature_sets(project, project.data.columns)[1].version

    talk = replace(WEATHER, owner=Owner(name="Met", contact="met@example.org"), documentation="hourly")
    assert version(talk) == version(WEATHER)
    others = [
        replace(WEATHER, source="other.csv"),
        replace(WEATHER, columns=("wind",)),
        replace(WEATHER, key="tail"),
        replace(WEATHER, time="told"),
        replace(WEATHER, known="told"),
        replace(WEATHER, name="climate"),
    ]
    assert len({version(spec) for spec in [WEATHER, *others]}) == 7
