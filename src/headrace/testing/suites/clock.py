"""What every clock promises."""

from __future__ import annotations

from datetime import timedelta

from headrace.core.ports import Clock


class ClockSuite:
    """Fixture ``clock``: the clock to test."""

    def test_now_is_in_utc(self, clock: Clock) -> None:
        assert clock.now().utcoffset() == timedelta(0)

    def test_monotonic_time_never_goes_back(self, clock: Clock) -> None:
        readings = [clock.monotonic_s() for _ in range(100)]
        assert readings == sorted(readings)

    def test_sleep_lets_at_least_that_much_time_pass(self, clock: Clock) -> None:
        before = clock.monotonic_s()
        clock.sleep(0.01)
        assert clock.monotonic_s() - before >= 0.009

    def test_sleep_moves_the_wall_clock_too(self, clock: Clock) -> None:
        before = clock.now()
        clock.sleep(0.01)
        assert clock.now() - before >= timedelta(milliseconds=5)
