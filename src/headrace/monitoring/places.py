"""Windows of releases by their number, so that a query reads those that have changed and no others."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

SLOT = "cast(floor((epoch({of}.event_time) - ?) / ?) as bigint)"
"""Number of a row's window in SQL; its parameters are where the first window begins, and their length."""


class Place(NamedTuple):
    """A window of a release, by how many windows there are between it and the first one."""

    release_id: str
    slot: int


@dataclass(frozen=True, kw_only=True)
class Places:
    """Some windows.

    Attributes:
        origin: where the first window begins; each is ``window_s`` long.
    """

    chosen: Collection[Place]
    window_s: int
    origin: datetime

    def condition(self, of: str) -> str:
        """In SQL, that a row of the answers, which are called ``of`` there, lies in one of them."""
        slot = SLOT.format(of=of)
        return f"({of}.release_id, {slot}) in (select unnest(?::varchar[]), unnest(?::bigint[]))"

    @property
    def parameters(self) -> list[Any]:
        """Those of :meth:`condition`."""
        chosen = list(self.chosen)
        return [
            self.origin.timestamp(),
            self.window_s,
            [one.release_id for one in chosen],
            [one.slot for one in chosen],
        ]
