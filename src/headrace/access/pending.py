"""What was begun and waits for its other half: a challenge, an enrolment, a sign-in at a provider."""

from __future__ import annotations

import threading
from typing import Generic, NamedTuple, TypeVar

from headrace.core.ports import Clock

_Value = TypeVar("_Value")


class _Kept(NamedTuple, Generic[_Value]):
    value: _Value
    until_s: float


class Pending(Generic[_Value]):
    """Values by key, in memory, each for ``ttl_s`` seconds and to be taken once.

    Args:
        max_kept: how many wait at a time; the oldest makes room.
    """

    def __init__(self, clock: Clock, *, ttl_s: float = 600.0, max_kept: int = 1_000) -> None:
        self._clock = clock
        self._ttl_s = ttl_s
        self._max_kept = max_kept
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept[_Value]] = {}

    def put(self, key: str, value: _Value) -> None:
        """Keep ``value``; an earlier one under this key is gone."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            self._kept.pop(key, None)
            if len(self._kept) >= self._max_kept:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = _Kept(value, now_s + self._ttl_s)

    def take(self, key: str) -> _Value | None:
        """The value under ``key``, which is gone from now on; None if there is none, or it is too old."""
        with self._lock:
            kept = self._kept.pop(key, None)
        return kept.value if kept is not None and self._clock.monotonic_s() < kept.until_s else None

    def look(self, key: str) -> _Value | None:
        """The value under ``key``, which stays."""
        with self._lock:
            kept = self._kept.get(key)
        return kept.value if kept is not None and self._clock.monotonic_s() < kept.until_s else None
