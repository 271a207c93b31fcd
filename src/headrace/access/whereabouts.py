"""Where an identity is, as networks and tokens tell; and the watch over this and over its habits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

from headrace.access.abnormal import HOUR_S, Alarm, Event, Habits, Limits, Told
from headrace.core.identity import Use

_MAX_TOKENS = 16
_MAX_NETWORKS = 16
_Kept = TypeVar("_Kept")


class Whereabouts:
    """The networks that one identity speaks from. :meth:`meet` compares and learns.

    What other servers have seen may come some seconds late, and in another order.
    """

    __slots__ = (
        "_here",
        "_here_s",
        "_limits",
        "_name",
        "_networks",
        "_there",
        "_there_s",
        "_tokens",
        "_told",
    )

    def __init__(self, name: str, limits: Limits) -> None:
        self._name = name
        self._limits = limits
        self._here = self._there = ""
        self._here_s = self._there_s = 0.0
        self._tokens: dict[str, str] = {}
        self._networks: dict[str, float] = {}
        self._told = Told()

    def meet(self, event: Event) -> list[Alarm]:
        """Alarms that ``event`` sets off; of each kind one within an hour."""
        found = self._travel(event) + self._token(event) + self._shared(event)
        return self._told.new(found, event.at_s)

    def _travel(self, event: Event) -> list[Alarm]:
        """In one network, in another one, and back: within minutes that is two places at once."""
        at_s, network = event.at_s, event.network
        if network == self._here:
            self._here_s = max(at_s, self._here_s)
            return []
        if at_s < self._here_s:  # another server tells late where somebody was before they came here
            if at_s > self._there_s:
                self._there, self._there_s = network, at_s
            return []
        away_s = at_s - self._there_s
        back = network == self._there and away_s <= self._limits.travel_s
        between = self._here
        self._there, self._there_s = self._here, self._here_s
        self._here, self._here_s = network, at_s
        if not back:
            return []
        title = f"{self._name} was in {network}, in {between} and back within {away_s:.0f} s"
        return [
            Alarm("impossible_travel", self._name, title, {"networks": [network, between], "seconds": away_s})
        ]

    def _token(self, event: Event) -> list[Alarm]:
        """A token is used where it was first used."""
        if not event.token:
            return []
        if event.token not in self._tokens and len(self._tokens) >= _MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        first = self._tokens.setdefault(event.token, event.network)
        if first == event.network:
            return []
        title = f"One token of {self._name} was used in {first} and in {event.network}"
        return [
            Alarm(
                "token_reuse", self._name, title, {"networks": [first, event.network], "token": event.token}
            )
        ]

    def _shared(self, event: Event) -> list[Alarm]:
        """Whoever speaks from many networks within an hour is several."""
        since_s = event.at_s - HOUR_S
        self._networks[event.network] = max(event.at_s, self._networks.pop(event.network, 0.0))
        while next(iter(self._networks.values())) < since_s or len(self._networks) > _MAX_NETWORKS:
            del self._networks[next(iter(self._networks))]
        if len(self._networks) < self._limits.networks_per_hour:
            return []
        title = f"{self._name} spoke from {len(self._networks)} networks within an hour"
        return [Alarm("shared_secret", self._name, title, {"networks": sorted(self._networks)})]


class Watch:
    """The habits of many identities, and where they are; those not seen for longest make room.

    Args:
        uses: finds what an identity has done so far, when it is first seen.
    """

    def __init__(
        self, uses: Callable[[str], Sequence[Use]], limits: Limits, *, max_kept: int = 10_000
    ) -> None:
        self._uses = uses
        self._limits = limits
        self._max_kept = max_kept
        self._habits: OrderedDict[str, Habits] = OrderedDict()
        self._places: OrderedDict[str, Whereabouts] = OrderedDict()

    def meet(self, event: Event) -> list[Alarm]:
        """Alarms that ``event`` sets off, which happened at this server."""
        habits = self._habits.get(event.principal)
        if habits is None:
            habits = Habits(event.principal, self._uses(event.principal), self._limits, event.at_s)
            self._add(self._habits, event.principal, habits)
        self._habits.move_to_end(event.principal)
        return self.place(event) + habits.meet(event)

    def place(self, event: Event) -> list[Alarm]:
        """Alarms that it sets off where ``event`` happened, at whichever server."""
        if not event.network:
            return []
        places = self._places.get(event.principal)
        if places is None:
            places = Whereabouts(event.principal, self._limits)
            self._add(self._places, event.principal, places)
        self._places.move_to_end(event.principal)
        return places.meet(event)

    def _add(self, kept: OrderedDict[str, _Kept], name: str, one: _Kept) -> None:
        kept[name] = one
        if len(kept) > self._max_kept:
            kept.popitem(last=False)
