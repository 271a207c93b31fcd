from __future__ import annotations

import doctest
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.testing.clock import START
from headrace.web.pages import causes, formats
from headrace.web.pages.formats import ago, moment_with, number, window


@pytest.mark.parametrize("module", [formats, causes])
def test_examples_are_true(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (-0.0, "0"),
        (True, "yes"),
        (1234.5, "1,234"),
        (0.00001234, "1.2e−05"),
        (3.2e-19, "3.2e−19"),
        (-5, "−5"),
        (math.nan, "–"),
        (math.inf, "–"),
        ("text", "text"),
    ],
)
def test_numbers_are_short_and_readable(value: object, shown: str) -> None:
    assert number(value) == shown


@given(st.integers() | st.floats() | st.text() | st.none() | st.booleans())
def test_any_value_can_be_shown(value: object) -> None:
    assert isinstance(number(value), str)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=1), "1 second ago"),
        (timedelta(minutes=59), "59 minutes ago"),
        (timedelta(hours=23), "23 hours ago"),
        (timedelta(days=364), "364 days ago"),
        (timedelta(days=800), "2 years ago"),
        (timedelta(days=-3), "in 3 days"),
    ],
)
def test_distances_are_told_in_the_largest_whole_unit(before: timedelta, said: str) -> None:
    assert ago(START - before, START) == said


def test_a_moment_is_utc_with_its_distance_as_title() -> None:
    moment = moment_with(lambda: START + timedelta(hours=2))(START)
    assert moment == (
        '<time datetime="2026-01-01T00:00:00+00:00" title="2 hours ago">2026-01-01 00:00 UTC</time>'
    )


def test_a_moment_is_told_to_the_second_where_that_tells_rows_apart() -> None:
    moment = moment_with(lambda: START)(START + timedelta(seconds=7), seconds=True)
    assert moment.endswith(">2026-01-01 00:00:07 UTC</time>")


def test_a_window_is_a_day_or_a_minute_by_its_length() -> None:
    hour = (START, START + timedelta(hours=1))
    week = (datetime(2013, 5, 2, tzinfo=UTC), datetime(2013, 5, 9, tzinfo=UTC))
    assert ">2026-01-01 00:00 to 01:00</time>" in window(hour)
    assert ">2026-01-01 00:00</time>" in window((hour[0], hour[0]))
    assert ">2013-05-02 to 05-09</time>" in window(week)
    assert ">2025-12-30 to 2026-01-06</time>" in window((START - timedelta(2), START + timedelta(5)))
    assert "event time" in window(week)
