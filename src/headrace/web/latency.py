"""How long requests take, as histograms that Prometheus understands."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import NamedTuple

BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Timed(NamedTuple):
    """One series: the part of the server that answered, and the project where one is named."""

    part: str
    project: str


@dataclass(kw_only=True)
class Histogram:
    """Counts by upper bound (the last is beyond all bounds), and the sum of all durations in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    sum_s: float = 0.0


class Latencies:
    """Durations by part and project. Written on the event loop only, so it needs no lock."""

    def __init__(self) -> None:
        self._series: dict[Timed, Histogram] = {}

    def observe(self, series: Timed, duration_s: float, n_requests: int = 1) -> None:
        """Count requests, each of which took so long."""
        histogram = self._series.get(series)
        if histogram is None:
            histogram = self._series[series] = Histogram()
        histogram.counts[bisect_left(BOUNDS_S, duration_s)] += n_requests
        histogram.sum_s += duration_s * n_requests

    def series(self) -> dict[Timed, Histogram]:
        """All series so far; a copy of the dictionary."""
        return dict(self._series)
