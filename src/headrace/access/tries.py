"""How often somebody may guess."""

from __future__ import annotations

import threading

from headrace.core.errors import Unavailable
from headrace.core.ports import Clock


class TooManyTries(Unavailable):
    """Too many wrong guesses; ``retry_after_s`` says when the next one is heard."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Tries:
    """Wrong guesses by name, in this process. A window begins with the first one and ends by itself.

    Args:
        most: how many wrong guesses a window takes; after these nothing is heard until it ends.
        max_names: how many names are remembered; beyond that the oldest window is forgotten.
    """

    def __init__(
        self, clock: Clock, *, most: int = 10, window_s: float = 300.0, max_names: int = 10_000
    ) -> None:
        self._clock = clock
        self._most = most
        self._window_s = window_s
        self._max_names = max_names
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}

    def check(self, name: str) -> None:
        """Return if ``name`` may be guessed for now.

        Raises:
            TooManyTries: it may not.
        """
        now_s = self._clock.monotonic_s()
        with self._lock:
            began_s, n_wrong = self._windows.get(name, (now_s, 0))
        left_s = began_s + self._window_s - now_s
        if n_wrong >= self._most and left_s > 0:
            raise TooManyTries(
                f"{n_wrong} wrong secrets for {name[:80]!r}: none is heard for another {int(left_s) + 1} s.",
                int(left_s) + 1,
            )

    def wrong(self, name: str) -> bool:
        """Count one; whether it was the last that this window takes."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            began_s, n_wrong = self._windows.pop(name, (now_s, 0))
            if now_s - began_s >= self._window_s:
                began_s, n_wrong = now_s, 0
            if len(self._windows) >= self._max_names:
                self._windows.pop(next(iter(self._windows)))
            self._windows[name] = (began_s, n_wrong + 1)
        return n_wrong + 1 == self._most
