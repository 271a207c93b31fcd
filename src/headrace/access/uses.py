"""Which rights are used, counted in memory and written now and then: unused rights can then be reported."""

from __future__ import annotations

import threading

from headrace.core.identity import Use
from headrace.core.ports import Clock, UseStore


class Uses:
    """Counts permitted actions by principal, action and resource. Call :meth:`flush` now and then."""

    def __init__(self, store: UseStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str], int] = {}

    def note(self, principal: str, action: str, resource: str, times: int = 1) -> None:
        """One more use, or several; nothing is written yet."""
        key = (principal, action, resource)
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + times

    def flush(self) -> None:
        """Write what was counted since the last time; what cannot be written is written the next time.

        Raises:
            Unavailable: the store does not answer.
        """
        with self._lock:
            counts, self._counts = self._counts, {}
        now = self._clock.now()
        uses = [
            Use(principal=who, action=action, resource=on, count=count, first_at=now, last_at=now)
            for (who, action, on), count in counts.items()
        ]
        try:
            self._store.add(uses)
        except BaseException:
            for key, count in counts.items():
                self.note(*key, count)
            raise
