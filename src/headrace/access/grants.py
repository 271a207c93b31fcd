"""Roles for a while: which grants hold at this moment."""

from __future__ import annotations

from headrace.access.memory import Memory
from headrace.core.identity import Grant, Resource, Role
from headrace.core.ports import Clock, Epoch, RecordStore


class Grants:
    """Active grants by principal. A grant is over at its end, whether or not anybody looks."""

    def __init__(self, store: RecordStore[Grant], epoch: Epoch, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._active = Memory(self._find, epoch, clock)

    def roles(self, principal: str, resource: Resource) -> tuple[Role, ...]:
        """The roles that ``principal`` holds on ``resource`` by a grant, at this moment."""
        active = self._active.get(principal)
        if not active:
            return ()
        now = self._clock.now()
        covering = (str(resource), f"workspace:{resource.workspace}")
        return tuple(
            grant.role
            for grant in active
            if grant.resource in covering and grant.ends_at is not None and now < grant.ends_at
        )

    def _find(self, principal: str) -> list[Grant]:
        return self._store.list(subject=principal, state="active")
