"""How long requests take and how they end, as Prometheus understands it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from headrace.serving.statistics import Histogram

BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Timed(NamedTuple):
    """One series: the part of the server that answered, and the project where one is named."""

    part: str
    project: str


class Ended(NamedTuple):
    """A series and how its requests ended: ``2xx``, ``4xx``, or ``cut`` where no answer could begin."""

    series: Timed
    status: str


class Latencies:
    """Durations and ends by part and project. Written on the event loop only, so it needs no lock."""

    def __init__(self) -> None:
        self._series: dict[Timed, Histogram] = {}
        self._ended: Counter[Ended] = Counter()
        self._in_flight: Counter[str] = Counter()

    def begin(self, part: str) -> None:
        """A request has come in."""
        self._in_flight[part] += 1

    def end(self, series: Timed, duration_s: float, status: int | None) -> None:
        """A request that began is over."""
        self._in_flight[series.part] -= 1
        self.observe(series, duration_s, status=status)

    def observe(
        self, series: Timed, duration_s: float, n_requests: int = 1, *, status: int | None = 200
    ) -> None:
        """Count requests, each of which took so long and ended so; without a status none was sent."""
        histogram = self._series.get(series)
        if histogram is None:
            histogram = self._series[series] = Histogram(BOUNDS_S)
        histogram.observe(duration_s, n_requests)
        self._ended[Ended(series, "cut" if status is None else f"{status // 100}xx")] += n_requests

    def series(self) -> dict[Timed, Histogram]:
        """All series so far; a copy of the dictionary."""
        return dict(self._series)

    def ended(self) -> dict[Ended, int]:
        """Requests by how they ended; a copy."""
        return dict(self._ended)

    def in_flight(self) -> dict[str, int]:
        """Requests that are being answered now, by part; a copy."""
        return dict(self._in_flight)
