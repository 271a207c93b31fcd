"""What a process has answered since it started: counts and durations, by release."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


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
