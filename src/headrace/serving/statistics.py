"""What a process has answered since it started: counts and durations, by release."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

FINE_BOUNDS_S = (
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
)  # fmt: skip
"""Upper bounds for what a model takes: from microseconds on."""
_MOST_EXCEPTIONS = 20
_OTHER = "other"


class Histogram:
    """Durations by upper bound. Written on the event loop only, so it needs no lock.

    Attributes:
        counts: one for each of ``bounds_s``, and a last one for what is longer.
        sum_s: of all durations.
    """

    __slots__ = ("bounds_s", "counts", "sum_s")

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def observe(self, duration_s: float, n: int = 1) -> None:
        """Count ``n`` durations of this length."""
        self.counts[bisect_left(self.bounds_s, duration_s)] += n
        self.sum_s += duration_s * n


@dataclass(kw_only=True)
class Tally:
    """Requests to one release. Written on the event loop only, so it needs no lock.

    Attributes:
        answered, failed: requests answered, and valid ones that the model could not answer.
        rows: rows in the answered ones.
        answered_ms, failed_ms: from the request to its answer.
        queue_ms: of the answered ones, waiting until their turn came.
        prepare_ms: reading their rows.
        infer_ms: the model's part.
        record_ms: making the answer durable.
        last_at: when the newest was asked.
        prepared, inferred: how the two parts are distributed; rows that were answered together count with
            their mean.
        exceptions: what the model raised, by kind.
    """

    answered: int = 0
    failed: int = 0
    rows: int = 0
    answered_ms: float = 0.0
    failed_ms: float = 0.0
    queue_ms: float = 0.0
    prepare_ms: float = 0.0
    infer_ms: float = 0.0
    record_ms: float = 0.0
    last_at: datetime | None = None
    prepared: Histogram = field(default_factory=lambda: Histogram(FINE_BOUNDS_S))
    inferred: Histogram = field(default_factory=lambda: Histogram(FINE_BOUNDS_S))
    exceptions: dict[str, int] = field(default_factory=dict)

    def time(self, prepare_ms: float, infer_ms: float, n_requests: int = 1) -> None:
        """Count what each of so many requests took."""
        self.prepare_ms += prepare_ms * n_requests
        self.infer_ms += infer_ms * n_requests
        self.prepared.observe(prepare_ms / 1000, n_requests)
        self.inferred.observe(infer_ms / 1000, n_requests)

    def raised(self, error: Exception) -> None:
        """Count an exception by its kind; beyond so many kinds they are one."""
        kind = type(error).__name__
        if kind not in self.exceptions and len(self.exceptions) >= _MOST_EXCEPTIONS:
            kind = _OTHER
        self.exceptions[kind] = self.exceptions.get(kind, 0) + 1
