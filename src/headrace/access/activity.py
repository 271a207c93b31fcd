"""What identities do, noted on the way and looked at later: a request never waits for it."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

from headrace.access.abnormal import ACTIVE, HOURS_OF_WEEK, Alarm, Event, Limits, Watch
from headrace.access.uses import Uses
from headrace.core.identity import Principal, Resource, Session
from headrace.core.ports import Clock, UseStore

SEEN = "seen"
"""Stands for the action when somebody has said who it is, whatever is wanted."""
_MAX_WAITING = 100_000
_NO_SESSION = Session(token="")
_HOUR_S = 3_600


class _Noted(NamedTuple):
    """One event as it was noted; turned into text only when it is looked at."""

    principal: str
    monotonic_s: float
    session: Session
    action: str
    resource: str | Resource
    cost: float


class Activity:
    """A bounded queue of events, and who looks at them.

    Example::

        activity.note(principal, "predict", "project:cars")  # on the way: one append
        for alarm in activity.look():  # in a thread of its own, every second
            ...
    """

    def __init__(self, uses: Uses, store: UseStore, clock: Clock, limits: Limits) -> None:
        self._uses = uses
        self._clock = clock
        self._waiting: deque[tuple[str, float, Session, str, str | Resource, float]] = deque(
            maxlen=_MAX_WAITING
        )
        # Bound once: every request passes here.
        self._append, self._now_s = self._waiting.append, clock.monotonic_s
        self._watch = Watch(store.list, limits)
        self._lock = threading.Lock()

    def note(self, principal: Principal, action: str, resource: str | Resource, cost: float = 0.0) -> None:
        """Somebody did or tried something. When nobody looks, the oldest events are dropped."""
        session = principal.session or _NO_SESSION
        self._append((principal.name, self._now_s(), session, action, resource, cost))

    def look(self) -> list[Alarm]:
        """Everything out of the ordinary among what waits. Slow the first time somebody is seen."""
        found: list[Alarm] = []
        with self._lock:
            offset_s = self._clock.now().timestamp() - self._clock.monotonic_s()
            for _ in range(len(self._waiting)):
                noted = _Noted(*self._waiting.popleft())
                event = Event(
                    principal=noted.principal,
                    at_s=noted.monotonic_s + offset_s,
                    network=noted.session.network,
                    token=noted.session.token,
                    action=noted.action,
                    resource=str(noted.resource),
                    cost=noted.cost,
                )
                found += self._watch.meet(event)
                hour = int(event.at_s // _HOUR_S) % HOURS_OF_WEEK
                self._uses.note(event.principal, ACTIVE, f"hour:{hour}")
        return found
