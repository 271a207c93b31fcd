"""Shadow AI: language models and tools in use that nobody has approved, and what may be used instead.

Calls are counted by the gateway while it refuses them; hosts come from a proxy's log that somebody imports.
Of a log host, user and counts are kept: no address of a page, and nothing of hosts that are not known for
language models. What was not seen for a year, or for as long as its project keeps answers, is removed.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, NamedTuple, cast

from headrace.app.composition import App
from headrace.app.llm.usage import permits_of
from headrace.core.errors import HeadraceError, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.gateway.llm.hosts import at_host
from headrace.gateway.llm.permits import Permits
from headrace.gateway.llm.proxy_logs import LONGEST, Asked, Unread, read_log
from headrace.gateway.llm.shadow import OTHERS, Counted, ShadowCounts, Wanted
from headrace.store.shadow import ShadowKind, ShadowUse

RIGHT = "audit.read"
_MOST_ROWS = 5_000
"""Of one kind in a workspace; what else comes is counted together."""
_TRIES = 20
_KEPT = timedelta(days=365)
_PART_BYTES = 1 << 20
_NAMED_LINES = 5
_LINE_BYTES = 4 * LONGEST + 1
"""More characters than a line may have, whatever they are."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """One thing in use, and what to use in its place.

    Attributes:
        seen: what was seen of it; ``provider``: whose it is, as far as that is known.
        models: that the team's list allows, for the same purpose and data where those are known.
        projects: that whoever was seen may ask now, where they are known here.
    """

    seen: ShadowUse
    provider: str
    models: tuple[str, ...]
    projects: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that was seen in a workspace, the most frequent first, and the logs that were read for it."""

    found: list[Found]
    logs: list[ShadowUse]


class Reading(NamedTuple):
    """Of a log what stands of it; not ``is_new``: it was read before, and nothing was counted now."""

    log: ShadowUse
    is_new: bool


class _Use(NamedTuple):
    host: str
    user: str


class _Known(NamedTuple):
    """Of a log, not compressed: how long it is, its digest, and how much of it was read before."""

    size_bytes: int
    digest: str
    read_bytes: int


def report(app: App, me: Principal, *, ours: Collection[str] = ()) -> Report:
    """What is in use in the workspace of ``me`` and nobody has approved; keys that nobody knows are main's.

    Args:
        ours: users and addresses of logs to leave out, also where those were read without saying so.

    Raises:
        Denied: ``me`` may not read the audit log.

    Example::

        [(one.seen.what, one.models) for one in report(app, me).found]
    """
    app.gatekeeper.require(me, RIGHT, "audit:log")
    rows = [
        one
        for one in app.store.shadow.list(workspace=me.workspace)
        if one.subject != "host" or one.who not in ours
    ]
    permits = permits_of(app)
    askable = {name: _askable(app, permits, me.workspace, name) for name in {one.who for one in rows}}
    anything = tuple(map(str, permits.allowed_at_all(me.workspace)))
    found = [
        Found(
            seen=one,
            provider=_provider(one),
            models=_instead(app, permits, one) if one.subject == "use" else anything,
            projects=tuple(name for name in askable[one.who] if name != one.project),
        )
        for one in rows
        if one.subject != "import"
    ]
    found.sort(key=lambda one: (-one.seen.n, one.seen.what, one.seen.who))
    return Report(found=found, logs=[one for one in rows if one.subject == "import"][::-1])


def write_down(app: App, counts: ShadowCounts) -> None:
    """Add what was counted to what is kept; what cannot be written is counted on.

    Raises:
        Unavailable: the store does not answer.
    """
    taken = counts.take()
    try:
        taken = _with_room(app, taken)
        for wanted in list(taken):
            _add(app, wanted, taken[wanted])
            del taken[wanted]
    finally:
        counts.put_back(taken)


def import_log(app: App, me: Principal, path: Path, *, ours: Collection[str] = ()) -> Reading:
    """Read a proxy's log, which may be a ``.gz``: of one that has grown since it was read, what is new.

    A log that was read already changes nothing, under whatever name and whether it is compressed by now.

    Args:
        ours: users and addresses that are no shadow: those of the gateway itself. Nothing of them is counted.

    Returns:
        How many new lines there were, how many of them could not be read, and how many went to such hosts.

    Raises:
        Denied: ``me`` may not read the audit log.
        NotFound: there is no such file.
        InvalidInput: it is no log in a form that is known.
    """
    permitted = app.gatekeeper.require(me, RIGHT, "audit:log")
    log = _known(app, me.workspace, path)
    log_id = _log_id(me.workspace, log.digest)
    standing = app.store.shadow.find(log_id)
    if standing is not None:
        return Reading(standing, is_new=False)
    uses, lines, bad, n_bad = _read(path, log, frozenset(ours))
    note = "; ".join(f"line {one.number}: {one.why}" for one in bad)
    now = app.clock.now()
    kept = ShadowUse(
        id=log_id,
        workspace=me.workspace,
        subject="import",
        what=log.digest[:12],
        who=me.name,
        first_at=now,
        last_at=now,
        n=lines,
        n_bad=n_bad,
        n_known=sum(one.n for one in uses.values()),
        note=note,
        size_bytes=log.size_bytes,
    )
    with app.store.transaction():
        made = app.store.shadow.add(kept)
        if made != kept:
            return Reading(made, is_new=False)  # somebody else has read it at the same time
        found = {_wanted(use, me.workspace): counted for use, counted in uses.items()}
        for wanted, counted in sorted(_with_room(app, found).items()):  # so that no two wait for each other
            _add(app, wanted, counted)
        detail = {"log": made.what, "lines": lines, "unread": n_bad, "known": made.n_known}
        app.store.audit.append(
            me.name, "llm.shadow_log", f"workspace:{me.workspace}", detail | permitted.basis
        )
    return Reading(made, is_new=True)


def forget_uses(app: App, which: Callable[[ShadowUse], bool], *, workspace: str | None = None) -> int:
    """Remove rows for good; returns how many. One that is counted again meanwhile is looked at again.

    Example::

        forget_uses(app, lambda one: one.who == "ann", workspace="main")
    """
    n_removed = 0
    for _ in range(_TRIES):
        found = [one for one in app.store.shadow.list(workspace=workspace) if which(one)]
        n_removed += sum(app.store.shadow.remove(one) for one in found)
        if not found:
            break
    return n_removed


def forget_old(app: App) -> int:
    """Remove what was not seen for a year; returns how many rows. Projects remove theirs when they say so."""
    before = app.clock.now() - _KEPT
    return forget_uses(app, lambda one: one.last_at < before)


def _read(
    path: Path, log: _Known, ours: frozenset[str]
) -> tuple[dict[_Use, Counted], int, list[Unread], int]:
    """Uses, lines, the first lines that cannot be read, and how many those are in all, of what is new."""
    uses: dict[_Use, Counted] = {}
    bad: list[Unread] = []
    seen: Counter[str] = Counter()
    with _whole(path), _opened(path) as data:
        lines = _Lines(data, log.size_bytes)
        for one in read_log(lines):
            if lines.start < log.read_bytes:  # also a line that was not finished then: it was counted
                continue
            seen["lines"] += 1
            if isinstance(one, Unread):
                seen["bad"] += 1
                bad += [one] if len(bad) < _NAMED_LINES else []
            elif one.user not in ours and at_host(one.host) is not None:
                _count(uses, one)
    return uses, seen["lines"], bad, seen["bad"]


class _Lines:
    """Lines of the first ``size_bytes``; ``start`` says at which byte the one begins that came last.

    Of a line that is longer than any that is read, only so much is kept as shows that.
    """

    def __init__(self, data: IO[bytes], size_bytes: int) -> None:
        self._data = data
        self._left = size_bytes
        self._next = self.start = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._piece():
            self.start = self._next
            piece = line
            while piece:
                self._next += len(piece)
                piece = b"" if piece.endswith(b"\n") else self._piece()
            yield line.decode("utf-8", "replace")

    def _piece(self) -> bytes:
        piece = self._data.readline(min(self._left, _LINE_BYTES))
        self._left -= len(piece)
        return piece


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path} cannot be read to its end ({error}). Nothing of it is kept.") from error


def _count(uses: dict[_Use, Counted], asked: Asked) -> None:
    use = _Use(asked.host, asked.user)
    if use not in uses and len(uses) >= _MOST_ROWS:
        use = _Use(asked.host, OTHERS)
    counted = Counted(1, asked.at, asked.at)
    uses[use] = uses[use].plus(counted) if use in uses else counted


def _wanted(use: _Use, workspace: str) -> Wanted:
    known = at_host(use.host)
    provider = "" if known is None else f"{known.provider} ({known.kind})"
    return Wanted("host", use.host, use.user, workspace, note=provider)


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _known(app: App, workspace: str, path: Path) -> _Known:
    """Which log it is, and the longest one read before with which it begins: found by the digest of as many
    bytes as that one had."""
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}. Give a proxy's log.")
    read: defaultdict[int, set[str]] = defaultdict(set)
    for one in app.store.shadow.list(workspace=workspace, subject="import"):
        read[one.size_bytes].add(one.id)
    ends, made, at, before = sorted(read), hashlib.sha256(), 0, 0
    with _whole(path), _opened(path) as data:
        while part := data.read(min([_PART_BYTES, *(end - at for end in ends if end > at)])):
            made.update(part)
            at += len(part)
            if _log_id(workspace, made.hexdigest()) in read.get(at, ()):
                before = at
    return _Known(at, made.hexdigest(), before)


def _log_id(workspace: str, digest: str) -> str:
    return derived_id("shadow-log", workspace, digest)


def _with_room(app: App, found: Mapping[Wanted, Counted]) -> dict[Wanted, Counted]:
    """The same, with what there is no row for any more counted together."""
    rows: dict[tuple[str, ShadowKind], set[str]] = {}
    kept: dict[Wanted, Counted] = {}
    for wanted, counted in found.items():
        room = (wanted.team, wanted.kind)
        if room not in rows:
            rows[room] = app.store.shadow.ids(*room)
        fits = _row_id(wanted) in rows[room] or len(rows[room]) < _MOST_ROWS
        one = wanted if fits else wanted.folded()
        rows[room].add(_row_id(one))
        kept[one] = kept[one].plus(counted) if one in kept else counted
    return kept


def _add(app: App, wanted: Wanted, counted: Counted) -> None:
    """Add to what is kept."""
    app.store.shadow.count(
        ShadowUse(
            id=_row_id(wanted),
            workspace=wanted.team,
            subject=wanted.kind,
            what=wanted.what,
            who=wanted.who,
            project=wanted.project,
            note=wanted.note,
            first_at=counted.first_at,
            last_at=counted.last_at,
            n=counted.n,
        )
    )


def _row_id(wanted: Wanted) -> str:
    return derived_id("shadow", wanted.team, wanted.kind, wanted.what, wanted.who, wanted.project)


def _provider(one: ShadowUse) -> str:
    return one.what.partition("/")[0] if one.subject == "use" else one.note


def _askable(app: App, permits: Permits, workspace: str, who: str) -> tuple[str, ...]:
    known = app.store.principals.find(who)
    return () if known is None or known.workspace != workspace else tuple(permits.instead(known))


def _instead(app: App, permits: Permits, one: ShadowUse) -> tuple[str, ...]:
    with suppress(HeadraceError):  # a project that has gone has no alternative of its own
        project: Project = app.store.projects.get(one.project)
        return tuple(map(str, permits.alternatives(one.workspace, project)))
    return ()
