"""What the audit log says, to whoever may know it; an entry is shown by the same rule that is checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from headrace.access.resources import PLACED
from headrace.app.composition import App
from headrace.core.errors import InternalError
from headrace.core.identity import MAIN, AuditEntry, Principal

_READ_AT_ONCE = 500
_MOST_READ = 50_000


@dataclass(frozen=True, kw_only=True)
class Found:
    """Entries, newest first. ``older`` as ``before`` goes on where they end; None: there are no more."""

    entries: list[AuditEntry]
    older: int | None


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What recomputing the chain came to; ``problem`` names the first entry that was tampered with."""

    at: datetime
    n_entries: int
    problem: str | None


def entries(app: App, me: Principal, *, after: int = 0, limit: int = 100) -> list[AuditEntry]:
    """Entries beyond number ``after``, oldest first. Raises Denied."""
    app.gatekeeper.require(me, "audit.read", "audit:log")
    may_read = _reads(app, me)
    found: list[AuditEntry] = []
    while len(found) < limit:
        page = app.store.audit.list(after=after, limit=_READ_AT_ONCE)
        found += [entry for entry in page if may_read(entry)]
        if len(page) < _READ_AT_ONCE:
            break
        after = page[-1].sequence
    return found[:limit]


def search(app: App, me: Principal, text: str = "", *, before: int | None = None, limit: int = 100) -> Found:
    """Entries before number ``before`` that hold ``text`` anywhere, newest first.

    At most 50,000 entries that somebody else may read are passed over; ``older`` goes on from there.

    Raises:
        Denied: the log is not for ``me``.
    """
    app.gatekeeper.require(me, "audit.read", "audit:log")
    may_read = _reads(app, me)
    found: list[AuditEntry] = []
    for _ in range(_MOST_READ // _READ_AT_ONCE):
        page = app.store.audit.search(text, before=before, limit=_READ_AT_ONCE)
        for entry in page:
            if may_read(entry):
                found.append(entry)
                if len(found) == limit:
                    return Found(entries=found, older=entry.sequence)
        if len(page) < _READ_AT_ONCE:
            return Found(entries=found, older=None)
        before = page[-1].sequence
    return Found(entries=found, older=before)


def verify(app: App, me: Principal) -> Verification:
    """Recompute the whole chain: about ten seconds for a million entries. Raises Denied."""
    app.gatekeeper.require(me, "audit.read", "audit:log")
    try:
        n_entries, problem = app.store.audit.verify(), None
    except InternalError as error:
        n_entries, problem = 0, str(error)
    return Verification(at=app.clock.now(), n_entries=n_entries, problem=problem)


def _reads(app: App, me: Principal) -> Callable[[AuditEntry], bool]:
    """Whether ``me`` may read an entry: whether they may read what it is about.

    What belongs to the home as such, or to nobody who is known, is for the auditors of ``main``.
    """

    def may_read(entry: AuditEntry) -> bool:
        kind, _, name = entry.resource.partition(":")
        is_placed = kind in PLACED and (kind != "principal" or app.store.principals.find(name) is not None)
        if me.workspace != MAIN and not is_placed:
            return False
        return app.gatekeeper.allows(me, "audit.read", entry.resource)

    return may_read
