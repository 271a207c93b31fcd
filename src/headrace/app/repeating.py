"""What is done again and again, each kind in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

_log = logging.getLogger(__name__)


class Turn(NamedTuple):
    """Something that is done every ``period_s`` seconds."""

    name: str
    period_s: float
    act: Callable[[], object]


class Repeating:
    """Threads from :meth:`start` to :meth:`stop`. A turn that fails is logged, and comes again.

    Example::

        repeating = Repeating([Turn("routes", 0.2, table.refresh)])
        repeating.start()
        repeating.stop()  # a turn under way is finished first
    """

    def __init__(self, turns: Iterable[Turn]) -> None:
        self._turns = tuple(turns)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin; the first of each comes when its period is over."""
        for turn in self._turns:
            thread = threading.Thread(
                target=self._repeat, args=(turn,), name=f"headrace-{turn.name}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End all threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, turn: Turn) -> None:
        while not self._stopping.wait(turn.period_s):
            attempt(turn.name, turn.act)


def attempt(name: str, act: Callable[[], object]) -> None:
    """Do it; what goes wrong is logged and ends nothing."""
    try:
        act()
    except Exception:  # noqa: BLE001
        # Boundary: a store that cannot be read now must not end the thread; the next turn tries again.
        _log.exception("The turn of %s failed", name)
