"""What the audit log says, to whoever may know it; an entry is shown by the same rule that is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from headrace.access.key_ring import PublicKey
from headrace.access.resources import PLACED
from headrace.app.composition import App
from headrace.core.errors import InternalError
from headrace.core.identity import MAIN, AuditEntry, Principal, Seal

_READ_AT_ONCE = 500
_MOST_READ = 50_000


@dataclass(frozen=True, kw_only=True)
class Found:
    """Entries, newest first. ``older`` as ``before`` goes on where they end; None: there are no more."""

    entries: list[AuditEntry]
    older: int | None


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What verifying the log came to.

    Attributes:
        problem: the first entry or seal that was tampered with; None: all is as it was written.
        seal: the newest seal; entries up to its ``sequence`` are sealed.
        key: the name of the key that signed it.
    """

    at: datetime
    n_entries: int
    problem: str | None
    n_seals: int = 0
    seal: Seal | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sealing:
    """The newest seal, and how many entries have come since."""

    seal: Seal | None
    n_unsealed: int


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


def follow(
    app: App,
    me: Principal,
    *,
    after: int = 0,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[AuditEntry]:
    """All entries beyond number ``after``, oldest first, a page at a time; what has come up to now is sealed.

    Args:
        since, until: only entries made then or later, and before then.

    Raises:
        Denied: the log is not for ``me``; at once, not when the first entry is taken.
    """
    app.gatekeeper.require(me, "audit.read", "audit:log")
    app.seals.seal()
    may_read, last = _reads(app, me), app.store.audit.head().sequence

    def entries() -> Iterator[AuditEntry]:
        position = after
        while position < last:
            page = app.store.audit.list(after=position, limit=min(_READ_AT_ONCE, last - position))
            if not page:
                return
            for entry in page:
                in_time = (since is None or entry.at >= since) and (until is None or entry.at < until)
                if in_time and may_read(entry):
                    yield entry
            position = page[-1].sequence

    return entries()


def verify(app: App, me: Principal, copy: Sequence[Seal] = ()) -> Verification:
    """Verify chain and seals: a few seconds for a million entries. What is as it was written is sealed.

    Args:
        copy: seals that were kept elsewhere, to be compared.

    Raises:
        Denied: the log is not for ``me``.
        Unavailable: the seal cannot be written.
    """
    app.gatekeeper.require(me, "audit.read", "audit:log")
    try:
        checked = app.seals.check(copy)
        seal = app.seals.seal()
    except InternalError as error:
        return Verification(at=app.clock.now(), n_entries=0, problem=str(error))
    return Verification(
        at=app.clock.now(),
        n_entries=checked.head.sequence,
        problem=None,
        n_seals=0 if seal is None else seal.number,
        seal=seal,
        key=None if seal is None else seal.signature.partition(":")[0],
    )


def sealing(app: App, me: Principal) -> Sealing:
    """How far the log is sealed. Raises Denied."""
    app.gatekeeper.require(me, "audit.read", "audit:log")
    seal = app.seals.last()
    sealed = 0 if seal is None else seal.sequence
    return Sealing(seal=seal, n_unsealed=max(0, app.store.audit.head().sequence - sealed))


def seal_now(app: App, me: Principal) -> Sealing:
    """Seal everything up to now. Raises Denied, and InternalError when the log was tampered with."""
    app.gatekeeper.require(me, "audit.read", "audit:log")
    app.seals.seal()
    return sealing(app, me)


def seal_keys(app: App, me: Principal) -> list[PublicKey]:
    """The keys that seals are verified with, the one that signs first. Raises Denied."""
    app.gatekeeper.require(me, "audit.read", "audit:log")
    return app.seals.public_keys()


def rotate_seal_key(app: App, me: Principal) -> str:
    """Seal with a new key from now on; earlier seals stay valid. Returns its name. Raises Denied."""
    permitted = app.gatekeeper.require(me, "access.write", f"workspace:{MAIN}")
    before = next(key.name for key in app.seals.public_keys() if key.signs)
    app.store.audit.append(me.name, "audit.key.rotate", "keys:seals", {"before": before} | permitted.basis)
    return app.seals.rotate()


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
