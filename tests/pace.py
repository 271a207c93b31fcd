"""How long something takes beside something else, as a slow machine is slow for both; and waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

ROUNDS = 5


def times_as_long(
    one: Callable[[], object],
    other: Callable[[], object],
    *,
    rounds: int = ROUNDS,
    now: Callable[[], float] = time.process_time,
) -> float:
    """How many times as long ``one`` takes as ``other``.

    They take turns, and the shortest of each counts: what else runs on the machine only makes one longer.

    Args:
        now: the time of this process, unless something is waited for.
    """
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for act, times in zip((one, other), took, strict=True):
            began = now()
            act()
            times.append(now() - began)
    return min(took[0]) / max(min(took[1]), 1e-9)


def plain_work(n: int) -> None:
    """What an interpreter does for ``n`` steps of no particular kind: the measure of what takes many."""
    seen: dict[int, int] = {}
    for step in range(n):
        key = step % 97
        seen[key] = seen.get(key, 0) + step


def until(holds: Callable[[], object], seconds: float = 90) -> None:
    """Wait for what another thread or process does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        threading.Event().wait(0.02)
