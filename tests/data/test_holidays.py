from __future__ import annotations

import numpy as np
import pytest

from headrace.data.holidays import days_from_holiday, federal_holidays


@pytest.mark.parametrize(
    ("year", "expected"),
    [
        # As published by the US Office of Personnel Management, before moving to weekdays.
        (2019, "01-01 01-21 02-18 05-27 07-04 09-02 10-14 11-11 11-28 12-25"),
        (2020, "01-01 01-20 02-17 05-25 07-04 09-07 10-12 11-11 11-26 12-25"),
        (2024, "01-01 01-15 02-19 05-27 06-19 07-04 09-02 10-14 11-11 11-28 12-25"),
        (2026, "01-01 01-19 02-16 05-25 06-19 07-04 09-07 10-12 11-11 11-26 12-25"),
    ],
)
def test_holidays_of_a_year(year: int, expected: str) -> None:
    assert [str(day)[5:] for day in federal_holidays(year)] == expected.split()


def test_distance_to_the_nearest_holiday() -> None:
    days = np.arange("2019-12-20", "2020-01-08", dtype="datetime64[D]")
    assert days_from_holiday(days).tolist() == [
        5,
        -4,
        -3,
        -2,
        -1,
        0,
        1,
        2,
        3,
        -3,
        -2,
        -1,
        0,
        1,
        2,
        3,
        4,
        5,
        5,
    ]
    assert days_from_holiday(days[:0]).tolist() == []
