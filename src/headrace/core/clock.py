"""Where time comes from. Nothing else in Headrace asks the operating system."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's own clock, in UTC."""

    def now(self) -> datetime:
        """The present moment, timezone-aware, UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Seconds that only ever grow, for measuring durations."""
        return time.perf_counter()

    def sleep(self, duration_s: float) -> None:
        """Block this thread for ``duration_s`` seconds."""
        time.sleep(duration_s)
