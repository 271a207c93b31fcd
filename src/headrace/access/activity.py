"""What identities do, noted on the way and looked at later: a request never waits for it."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from headrace.access.abnormal import ACTIVE, HOUR_S, HOURS_OF_WEEK, Alarm, Event, Limits
from headrace.access.uses import Uses
from headrace.access.whereabouts import Watch
from headrace.core.identity import Principal, Resource, Session, Sighting
from headrace.core.ids import new_id
from headrace.core.ports import Clock, SightingStore, UseStore

SEEN = "seen"
"""Stands for the action when somebody has said who it is, whatever is wanted."""
_MAX_WAITING = 100_000
_AT_ONCE = 500
"""After so many, which take 0.2 ms, whoever waits for the interpreter is let in: the event loop above all."""
_NO_SESSION = Session(token="")
_TELL_AGAIN_S = 240.0
"""How soon the other servers are told again of a token in the same network: within the time of a journey."""
_MAX_TOLD = 50_000
_REMEMBERED = timedelta(hours=1)
"""For how long the oldest alarm looks back."""


class _Noted:
    """One wish of one principal, however often; turned into text only once."""

    __slots__ = ("action", "cost", "first_s", "last_s", "principal", "resource", "times")

    def __init__(self, principal: Principal, action: str, resource: str | Resource, now_s: float) -> None:
        self.principal = principal
        self.action = action
        self.resource = resource
        self.first_s = self.last_s = now_s
        self.times = 0
        self.cost = 0.0


class Activity:
    """A bounded queue of what was done, and who looks at it.

    What one principal did again and again since the last look becomes one event at its first time, and one
    at its last that counts for the rest: looking at each of thousands a second would hold up the event loop
    that answers them. Whoever was in one network, in another one and back is found as before.

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
        self._noted: deque[tuple[Principal, str, str | Resource, float, float]] = deque(maxlen=_MAX_WAITING)
        # Bound once: every request passes here.
        self._append, self._now_s = self._noted.append, clock.monotonic_s
        self._waiting: deque[Event] = deque(maxlen=_MAX_WAITING)
        self._found: list[Alarm] = []
        self._watch = Watch(store.list, limits)
        self._lock = threading.Lock()
        self._source = new_id(clock.now())
        self._position = 0
        self._caught_up = False
        self._told_s: dict[tuple[str, str, str], float] = {}
        self._to_tell: list[Sighting] = []

    def note(self, principal: Principal, action: str, resource: str | Resource, cost: float = 0.0) -> None:
        """Somebody did or tried something. When nobody looks, the oldest events are dropped."""
        self._append((principal, action, resource, self._now_s(), cost))

    def look(self) -> list[Alarm]:
        """Everything out of the ordinary among what waits and what other servers have seen.

        Slow the first time somebody is seen. When the store does not answer, everything goes on waiting,
        alarms too.
        """
        with self._lock:
            self._found += self._read_others()
            self._waiting.extend(self._take())
            while self._waiting:
                event = self._waiting[0]
                self._found += self._watch.meet(event)
                hour = int(event.at_s // HOUR_S) % HOURS_OF_WEEK
                self._uses.note(event.principal, ACTIVE, f"hour:{hour}", event.times)
                self._tell(event)
                self._waiting.popleft()
            found, self._found = self._found, []
        return found

    def forget(self) -> int:
        """Delete what the servers have told each other too long ago to matter; returns how much it was."""
        return self._sightings.forget(self._clock.now() - _REMEMBERED)

    def _take(self) -> list[Event]:
        """What was noted since the last time, in the order in which it happened."""
        found: dict[tuple[int, str, str | Resource], _Noted] = {}
        for taken in range(len(self._noted)):
            principal, action, resource, now_s, cost = self._noted.popleft()
            # By the object, which is the same for all requests of a session: hashing all it says takes
            # longer. It is held here, so that no other one can take its place meanwhile.
            key = (id(principal), action, resource)
            noted = found.get(key)
            if noted is None:
                noted = found[key] = _Noted(principal, action, resource, now_s)
            noted.last_s = now_s
            noted.times += 1
            noted.cost += cost
            if taken % _AT_ONCE == 0:
                self._clock.sleep(0.0)
        offset_s = self._clock.now().timestamp() - self._clock.monotonic_s()
        events = [event for noted in found.values() for event in _events(noted, offset_s)]
        return sorted(events, key=attrgetter("at_s"))

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


def _events(noted: _Noted, offset_s: float) -> list[Event]:
    """Its first time, and its last one together with those between."""
    session = noted.principal.session or _NO_SESSION
    last = Event(
        principal=noted.principal.name,
        at_s=noted.last_s + offset_s,
        network=session.network,
        token=session.token,
        action=noted.action,
        resource=str(noted.resource),
        cost=noted.cost,
        times=max(noted.times - 1, 1),
    )
    if noted.times == 1:
        return [last]
    return [last._replace(at_s=noted.first_s + offset_s, cost=0.0, times=1), last]
