"""What callers want that nobody has approved, counted on the way and written down later."""

from __future__ import annotations

import hashlib
import threading
from datetime import datetime
from typing import NamedTuple

from headrace.core.ports import Clock
from headrace.gateway.llm.hosts import of_key
from headrace.store.shadow import ShadowKind

MOST = 2_000
"""Kinds of one turn; what else comes is counted together, so that nobody fills the memory with names."""
OTHERS = "others"
_NAMED = 80


class Wanted(NamedTuple):
    """What is counted together."""

    kind: ShadowKind
    what: str
    who: str
    team: str
    project: str = ""
    note: str = ""


class Counted(NamedTuple):
    """How often, and from when until when."""

    n: int
    first_at: datetime
    last_at: datetime


class ShadowCounts:
    """Safe to use from several threads; a call never waits for it.

    Example::

        counts.note(Wanted("model", "gpt-4o", "ann", "main"))
        counts.take()
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[Wanted, Counted] = {}

    def note(self, wanted: Wanted) -> None:
        """Count one."""
        now = self._clock.now()
        with self._lock:
            if wanted not in self._counts and len(self._counts) >= MOST:
                wanted = wanted._replace(what=OTHERS, who=OTHERS, project="", note="")
            before = self._counts.get(wanted)
            self._counts[wanted] = Counted(
                1 if before is None else before.n + 1, now if before is None else before.first_at, now
            )

    def key(self, shown: str) -> None:
        """Count a key that nobody knows. Of it a short hash is kept, and whose it looks like."""
        if shown:
            self.note(Wanted("key", short(shown), "", "main", note=of_key(shown)))

    def model(self, name: str, who: str, team: str) -> None:
        """Count a name that was asked for and stands for nothing that the caller may ask."""
        shown = "".join(c if c.isprintable() else "?" for c in name[:_NAMED])
        self.note(Wanted("model", shown, who, team))

    def take(self) -> dict[Wanted, Counted]:
        """All that was counted since it was last taken."""
        with self._lock:
            found, self._counts = self._counts, {}
        return found

    def put_back(self, found: dict[Wanted, Counted]) -> None:
        """What could not be written down, to be taken again."""
        with self._lock:
            for wanted, counted in found.items():
                now = self._counts.get(wanted)
                self._counts[wanted] = (
                    counted if now is None else Counted(now.n + counted.n, counted.first_at, now.last_at)
                )


def short(key: str) -> str:
    """Twelve hexadecimal digits, by which one key is told from another and not found again.

    >>> short("sk-1") == short("sk-1") != short("sk-2")
    True
    """
    return hashlib.sha256(b"headrace-unknown-key\0" + key.encode("utf-8", "surrogatepass")).hexdigest()[:12]
