"""Roles for a while: asked for with a reason, decided by somebody else, and over by themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from headrace.access.memory import Memory
from headrace.core.errors import Denied, IllegalTransition
from headrace.core.identity import Grant, Resource, Role
from headrace.core.ports import Clock, Epoch, RecordStore

LONGEST_S = 8 * 3600
USUAL_S = 3600
BREAK_GLASS_S = 3600
"""The longest that a role taken in an emergency lasts, in seconds."""
NEVER_BY_GRANT = frozenset(
    {
        "grant.ask",
        "grant.decide",
        "grant.break_glass",
        "policy.propose",
        "policy.decide",
        "access.write",
        "factor.reset",
        "workspace.write",
    }
)
"""What no role for a while permits, break-glass included: what is handed out with these rights would stay
when the rights have gone. So a grant never leads to another grant."""


@dataclass(frozen=True, kw_only=True)
class Approve:
    """Somebody other than who asked and who gets it agrees: it begins now."""

    by: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Refuse:
    """Somebody other than who asked and who gets it does not agree."""

    by: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class End:
    """It is given back, or taken away, before its time."""

    by: str
    at: datetime


Event = Approve | Refuse | End


def transition(grant: Grant, event: Event) -> Grant:
    """The grant after ``event``; ``revision`` grows by one.

    Raises:
        Denied: it would be decided by who asked for it or gets it.
        IllegalTransition: it has been decided already, is over, or has not begun.
    """
    grant = standing(grant, event.at)
    if grant.state == "asked" and not isinstance(event, End):
        if event.by in (grant.subject, grant.asked_by):
            raise Denied(f"{event.by!r} asked for this grant or gets it: somebody else has to decide.")
        decided = replace(grant, decided_by=event.by, decided_at=event.at, revision=grant.revision + 1)
        if isinstance(event, Refuse):
            return replace(decided, state="refused")
        return replace(decided, state="active", ends_at=event.at + timedelta(seconds=grant.duration_s))
    if grant.state == "active" and isinstance(event, End):
        return replace(grant, state="ended", ends_at=event.at, revision=grant.revision + 1)
    raise IllegalTransition(
        f"The grant {grant.id} is {grant.state}; it cannot {type(event).__name__.lower()}. "
        "List them: headrace access grant ls"
    )


def standing(grant: Grant, now: datetime) -> Grant:
    """``grant`` as it is at this moment: over once its time has come, whether or not anybody ended it."""
    if grant.state == "active" and (grant.ends_at is None or grant.ends_at <= now):
        return replace(grant, state="ended")
    return grant


class Grants:
    """Active grants by principal."""

    def __init__(self, store: RecordStore[Grant], epoch: Epoch, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._active = Memory(self._find, epoch, clock, edition=store.edition)

    def roles(self, principal: str, resource: Resource) -> tuple[Role, ...]:
        """The roles that ``principal`` holds on ``resource`` by a grant, at this moment."""
        active = self._active.get(principal)
        if not active:
            return ()
        return tuple(grant.role for grant in self._holding(active, resource))

    def holding(self, principal: str, resource: Resource) -> list[Grant]:
        """The grants of ``principal`` that cover ``resource`` at this moment."""
        return self._holding(self._active.get(principal), resource)

    def _holding(self, active: list[Grant], resource: Resource) -> list[Grant]:
        now = self._clock.now()
        project = resource.name if resource.kind == "project" else resource.project
        covering = (f"workspace:{resource.workspace}", f"project:{project}")
        # Compared here rather than by `standing`: every authorisation of whoever holds a grant comes by.
        return [g for g in active if g.resource in covering and g.ends_at is not None and now < g.ends_at]

    def _find(self, principal: str) -> list[Grant]:
        now = self._clock.now()
        active = self._store.list(subject=principal, state="active")
        return [grant for grant in active if standing(grant, now).state == "active"]
