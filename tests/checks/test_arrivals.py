from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.checks.arrivals import Arrival, arrival, held

NOW = np.datetime64("2026-01-02T00:00:00", "us")
HOURS = np.arange("2026-01-01T00", "2026-01-01T20", dtype="datetime64[h]").astype("datetime64[us]")
NEVER = np.full(20, np.datetime64("NaT", "us"))


def came(times: Any = HOURS, **changes: Any) -> Arrival:
    asked: dict[str, Any] = {"times": times, "at": NOW, "read_s": 0.5, "prices": {}} | changes
    return arrival(20, 4_000_000_000, **asked)


def test_age_step_and_gap_are_of_different_times_that_are_past() -> None:
    found = came().measured
    assert (found["age_s"], found["step_s"], found["gap_s"]) == (5 * 3600, 3600, 3600)
    holes = np.repeat(HOURS[[0, 1, 2, 9]], 5)
    assert came(holes).measured["gap_s"] == 7 * 3600
    assert came(holes).measured["step_s"] == 3600
    lying = HOURS.copy()
    lying[7] = np.datetime64("2099-01-01")
    lying[8] = np.datetime64("NaT")
    found = came(lying).measured
    assert (found["age_s"], found["gap_s"]) == (5 * 3600, 3 * 3600), "the future makes nothing fresh"


@pytest.mark.parametrize("times", [None, NEVER, HOURS + np.timedelta64(9, "D")])
def test_without_a_time_in_the_past_only_volume_and_reading_are_known(times: Any) -> None:
    found = came(times)
    assert {name for name, value in found.measured.items() if value is not None} == {
        "rows",
        "bytes",
        "read_s",
    }
    assert (found.newest, found.n_new) == (None, 0)


def test_the_delay_is_of_new_rows() -> None:
    assert came().measured["delay_s"] is None, "rows of a first arrival may have waited for ever"
    found = came(since=HOURS[17])
    assert (found.n_new, found.newest) == (2, HOURS[19])
    assert found.measured["delay_s"] == 6 * 3600
    assert came(since=HOURS[19]).measured["delay_s"] is None


def test_a_column_that_says_when_rows_came_is_believed() -> None:
    known = HOURS + np.timedelta64(10, "m")
    known[3] = HOURS[3] + np.timedelta64(5, "h")  # one in twenty may be late
    known[4] = np.datetime64("NaT")
    assert came(known=known).measured["delay_s"] == 5 * 3600, "of 19 rows, 95 in 100 are all"
    known[4] = HOURS[4]
    assert came(known=known).measured["delay_s"] == 5 * 3600
    known[3] = HOURS[3]
    assert came(known=known).measured["delay_s"] == 600


def test_the_cost_is_of_the_arrival_and_of_its_bytes() -> None:
    assert came().measured["cost"] is None
    assert came(prices={"arrival": 2.0, "gb": 0.25}).measured["cost"] == 3.0


def test_what_could_not_be_measured_is_neither_kept_nor_missed() -> None:
    measured = {"age_s": 60.0, "rows": 5.0, "cost": None}
    wanted: dict[Any, float] = {"max_age_s": 60, "min_rows": 6, "max_rows": 6, "max_cost": 1}
    assert [one.outcome for one in held(measured, wanted)] == ["passed", "failed", "passed", "inconclusive"]
