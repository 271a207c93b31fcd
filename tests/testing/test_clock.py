from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headrace.core.clock import SystemClock
from headrace.core.ports import Clock
from headrace.testing import START, ClockSuite, FakeClock


class TestFakeClock(ClockSuite):
    @pytest.fixture
    def clock(self) -> Clock:
        return FakeClock()


class TestSystemClock(ClockSuite):
    @pytest.fixture
    def clock(self) -> Clock:
        return SystemClock()


def test_time_stands_still_until_it_is_moved() -> None:
    clock = FakeClock()
    assert clock.now() == clock.now() == START
    clock.advance(90)
    assert clock.now() == START + timedelta(seconds=90)
    assert clock.monotonic_s() == 90


def test_sleep_returns_at_once_and_is_remembered() -> None:
    clock = FakeClock()
    clock.sleep(3600)
    clock.sleep(0.5)
    assert clock.slept_s == (3600, 0.5)
    assert clock.now() == START + timedelta(seconds=3600.5)


def test_the_wall_clock_may_go_back_but_monotonic_time_does_not() -> None:
    clock = FakeClock()
    clock.advance(10)
    clock.set(datetime(2020, 1, 1, tzinfo=UTC))
    assert clock.now() == datetime(2020, 1, 1, tzinfo=UTC)
    assert clock.monotonic_s() == 10
