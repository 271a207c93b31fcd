"""A clock that moves only when told to."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """Implements ``Clock``: time stands still, except that ``sleep`` moves it and returns at once.

    >>> clock = FakeClock()
    >>> clock.sleep(60)
    >>> clock.now().isoformat()
    '2026-01-01T00:01:00+00:00'
    """

    def __init__(self, start: datetime = START) -> None:
        self._lock = threading.Lock()
        self._now = start
        self._monotonic_s = 0.0
        self._slept: list[float] = []

    @property
    def slept_s(self) -> tuple[float, ...]:
        """The durations that were slept, in order."""
        with self._lock:
            return tuple(self._slept)

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def monotonic_s(self) -> float:
        with self._lock:
            return self._monotonic_s

    def sleep(self, duration_s: float) -> None:
        with self._lock:
            self._slept.append(duration_s)
        self.advance(duration_s)

    def advance(self, duration_s: float) -> None:
        """Let ``duration_s`` seconds pass."""
        with self._lock:
            self._now += timedelta(seconds=duration_s)
            self._monotonic_s += duration_s

    def set(self, moment: datetime) -> None:
        """Put the wall clock to ``moment``, back or forth; the monotonic time stays."""
        with self._lock:
            self._now = moment
