"""What guards found since this process started, counted for ``/metrics``."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from headrace.gateway.guardrails.guards import Hit


class HitKind(NamedTuple):
    """What is counted together."""

    project: str
    rule: str
    layer: str
    action: str


class Looked(NamedTuple):
    """Requests that guards have looked at, and what became of them."""

    project: str
    outcome: Literal["blocked", "let through"]


class GuardCounts:
    """Safe to use from several threads.

    >>> counts = GuardCounts()
    >>> counts.add("support", [], blocked=False)
    >>> counts.requests()
    {Looked(project='support', outcome='let through'): 1}
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hits: Counter[HitKind] = Counter()
        self._requests: Counter[Looked] = Counter()

    def add(self, project: str, hits: Iterable[Hit], *, blocked: bool) -> None:
        """Count one request: each kind of hit once."""
        kinds = {HitKind(project, hit.rule, hit.layer, hit.action) for hit in hits}
        with self._lock:
            self._requests[Looked(project, "blocked" if blocked else "let through")] += 1
            if kinds:
                self._hits.update(kinds)

    def hits(self) -> dict[HitKind, int]:
        """In how many requests each kind was found."""
        with self._lock:
            return dict(self._hits)

    def requests(self) -> dict[Looked, int]:
        """How many requests there were."""
        with self._lock:
            return dict(self._requests)
