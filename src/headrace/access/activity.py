"""What identities do, noted on the way and looked at later: a request never waits for it."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from headrace.access.abnormal import ACTIVE, HOUR_S, HOURS_OF_WEEK, Alarm, Event, Limits
from headrace.access.uses import Uses
from headrace.access.whereabouts import Watch
from headrace.core.identity import Principal, Resource, Session, Sighting
from headrace.core.ids import new_id
from headrace.core.ports import Clock, SightingStore, UseStore

SEEN = "seen"
"""Stands for the action when somebody has said who it is, whatever is wanted."""
_MAX_WAITING = 100_000
_NO_SESSION = Session(token="")
_TELL_AGAIN_S = 240.0
"""How soon the other servers are told again of a token in the same network: within the time of a journey."""
_MAX_TOLD = 50_000
_REMEMBERED = timedelta(hours=1)
"""For how long the oldest alarm looks back."""


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

    The servers of one database tell each other where they have seen whom, so that a token that comes once
    to each of two is found. It is told and read when somebody looks, never on the way of a request.

    Example::

        activity.note(principal, "predict", "project:cars")  # on the way: one append
        for alarm in activity.look():  # in a thread of its own, every second
            ...
    """

    def __init__(
        self, uses: Uses, store: UseStore, sightings: SightingStore, clock: Clock, limits: Limits
    ) -> None:
        self._uses = uses
        self._sightings = sightings
        self._clock = clock
        self._waiting: deque[tuple[str, float, Session, str, str | Resource, float]] = deque(
            maxlen=_MAX_WAITING
        )
        # Bound once: every request passes here.
        self._append, self._now_s = self._waiting.append, clock.monotonic_s
        self._watch = Watch(store.list, limits)
        self._lock = threading.Lock()
        self._source = new_id(clock.now())
        self._position = 0
        self._caught_up = False
        self._told_s: dict[tuple[str, str, str], float] = {}
        self._to_tell: list[Sighting] = []

    def note(self, principal: Principal, action: str, resource: str | Resource, cost: float = 0.0) -> None:
        """Somebody did or tried something. When nobody looks, the oldest events are dropped."""
        session = principal.session or _NO_SESSION
        self._append((principal.name, self._now_s(), session, action, resource, cost))

    def look(self) -> list[Alarm]:
        """Everything out of the ordinary among what waits and what other servers have seen.

        Slow the first time somebody is seen. When the store does not answer, everything goes on waiting.
        """
        with self._lock:
            found = self._read_others()
            offset_s = self._clock.now().timestamp() - self._clock.monotonic_s()
            for _ in range(len(self._waiting)):
                event = _event(_Noted(*self._waiting.popleft()), offset_s)
                found += self._watch.meet(event)
                hour = int(event.at_s // HOUR_S) % HOURS_OF_WEEK
                self._uses.note(event.principal, ACTIVE, f"hour:{hour}")
                self._tell(event)
        return found

    def forget(self) -> int:
        """Delete what the servers have told each other too long ago to matter; returns how much it was."""
        return self._sightings.forget(self._clock.now() - _REMEMBERED)

    def _read_others(self) -> list[Alarm]:
        """Tell what was seen here the last time, and read what was seen elsewhere.

        The first time is learning only: what is found in it was found by those who wrote it.
        """
        self._sightings.add(self._to_tell)
        self._to_tell = []
        found: list[Alarm] = []
        for one in self._sightings.since(self._position):
            if one.source != self._source:
                event = Event(one.principal, one.at.timestamp(), one.network, one.token, SEEN, "")
                alarms = self._watch.place(event)
                found += alarms if self._caught_up else []
            self._position = one.position
        self._caught_up = True
        return found

    def _tell(self, event: Event) -> None:
        """Keep for the others who was seen where, unless they have just been told."""
        key = (event.principal, event.token, event.network)
        if not event.network or event.at_s - self._told_s.get(key, -1e18) < _TELL_AGAIN_S:
            return
        if len(self._told_s) >= _MAX_TOLD:
            self._told_s = {}
        self._told_s[key] = event.at_s
        self._to_tell.append(
            Sighting(
                principal=event.principal,
                network=event.network,
                token=event.token,
                at=datetime.fromtimestamp(event.at_s, UTC),
                source=self._source,
            )
        )


def _event(noted: _Noted, offset_s: float) -> Event:
    return Event(
        principal=noted.principal,
        at_s=noted.monotonic_s + offset_s,
        network=noted.session.network,
        token=noted.session.token,
        action=noted.action,
        resource=str(noted.resource),
        cost=noted.cost,
    )
