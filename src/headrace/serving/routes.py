"""Which release answers a request: routes as last read from the store, and a fair, stable choice."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from math import log1p
from typing import NamedTuple, Protocol

from headrace.core.errors import NotFound
from headrace.core.ports import Clock
from headrace.core.record import Arm
from headrace.core.release import Route, Share, Split


class Choice(NamedTuple):
    """The release that answers, and in which part; ``shadow`` is asked too, once the answer is given."""

    release_id: str
    arm: Arm
    shadow: str | None = None


class Routes(Protocol):
    """Where routes are read from."""

    def routes(self) -> list[Route]:
        """Every route."""


class RouteTable:
    """A copy of all routes in memory, so that a request reads no database.

    A background thread calls :meth:`refresh` every 200 ms; between two calls requests see one
    consistent table.

    Args:
        takes: which routes are followed here.
        others: what the projects are whose routes are not, and where they are asked; a sentence's end.

    Example::

        table.refresh()
        table.choose(table.get("cars"), "customer-7")
    """

    def __init__(
        self,
        source: Routes,
        clock: Clock,
        *,
        takes: Callable[[Route], bool] = lambda _route: True,
        others: str = "",
    ) -> None:
        self._source = source
        self._takes = takes
        self._others = others
        self._elsewhere: frozenset[str] = frozenset()
        self._clock = clock
        self._routes: dict[str, Route] = {}
        self._refreshed_s: float | None = None

    def refresh(self) -> None:
        """Read all routes; the table keeps the ones it has if the store cannot be read."""
        routes = list(self._source.routes())
        found = {route.project: route for route in routes if self._takes(route)}
        self._elsewhere = frozenset(route.project for route in routes if route.project not in found)
        if found != self._routes:
            self._routes = found
        self._refreshed_s = self._clock.monotonic_s()

    @property
    def edition(self) -> object:
        """Another object whenever the routes may be others."""
        return self._routes

    def age_s(self) -> float | None:
        """Seconds since the routes were read; none before the first time."""
        return None if self._refreshed_s is None else self._clock.monotonic_s() - self._refreshed_s

    def get(self, project: str) -> Route:
        """The project's route.

        Raises:
            NotFound: no release of it is live.
        """
        route = self._routes.get(project)
        if route is None and self.is_elsewhere(project):
            raise NotFound(f"{project!r} is live and {self._others}")
        if route is None:
            # Which others are live is not said: they may be another workspace's.
            raise NotFound(
                f"No release of {project!r} is live. Make one: 'headrace run' in the project's folder, then "
                "'headrace release approve ID' as somebody else."
            )
        return route

    def is_elsewhere(self, project: str) -> bool:
        """Whether it is live, and answers at another address than this table is for."""
        return project in self._elsewhere

    def all(self) -> list[Route]:
        """Every route, by project."""
        return [self._routes[name] for name in sorted(self._routes)]

    def release_ids(self) -> set[str]:
        """Every release that some route names."""
        return {name for route in self._routes.values() for name in route.releases}

    def choose(self, route: Route, key: str) -> Choice:
        """The release that answers ``key``: always the same one while the route stands.

        A key's place in [0, 1) does not depend on the route, so a growing canary only gains keys, as does
        an arm of a split.
        """
        if route.canary is None or route.canary_weight <= 0.0:
            if route.split is not None:
                arm = arm_of(route.split, key)
                return Choice(arm.release_id, arm.name)
            return Choice(route.live, route.arms[0][0], route.shadow)
        if place(route.project, key) < route.canary_weight:
            return Choice(route.canary, "canary")
        return Choice(route.live, route.arms[0][0])


def arm_of(split: Split, key: str) -> Share:
    """The arm that answers ``key``: a key only moves to an arm whose part of the whole has grown.

    Weighted rendezvous hashing: each arm draws an exponential time with its share as the rate, and the
    earliest answers (C. Schindelhauer, G. Schomaker, "Weighted distributed hash tables", SPAA 2005). Arms
    draw by release, so that another name or order moves nobody.
    """
    return min(split.arms, key=lambda arm: (-log1p(-place(arm.release_id, key)) / arm.share, arm.release_id))


def place(project: str, key: str) -> float:
    """Where ``key`` stands in [0, 1): uniform over keys, the same in every process and version.

    >>> place("cars", "customer-7") == place("cars", "customer-7")
    True
    """
    digest = blake2b(f"{project}\x1f{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    # The upper 53 bits are what a float holds exactly, so the result never rounds up to 1.
    return (int.from_bytes(digest) >> 11) / float(1 << 53)
