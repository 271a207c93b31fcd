"""Shadow AI: language models and tools in use that nobody has approved, and what may be used instead.

Calls are counted by the gateway while it refuses them; hosts come from a proxy's log that somebody imports.
Of a log host, user and counts are kept: no address of a page, and nothing of hosts that are not known for
language models.
"""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, NamedTuple

from headrace.app.composition import App
from headrace.app.llm_use import permits_of
from headrace.core.errors import Conflict, HeadraceError, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.gateway.llm.hosts import at_host
from headrace.gateway.llm.permits import Permits
from headrace.gateway.llm.proxy_logs import Asked, Unread, read_log
from headrace.gateway.llm.shadow import OTHERS, Counted, ShadowCounts, Wanted
from headrace.store.shadow import ShadowUse

RIGHT = "audit.read"
_MOST_ROWS = 5_000
"""Of one kind in a workspace; what else comes is counted together."""
_TRIES = 20
_NAMED_LINES = 5


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


class _Use(NamedTuple):
    host: str
    user: str


def report(app: App, me: Principal) -> Report:
    """What is in use in the workspace of ``me`` and nobody has approved; keys that nobody knows are main's.

    Raises:
        Denied: ``me`` may not read the audit log.

    Example::

        [(one.seen.what, one.models) for one in report(app, me).found]
    """
    app.gatekeeper.require(me, RIGHT, "audit:log")
    rows = app.store.shadow.list(workspace=me.workspace)
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
        for wanted in list(taken):
            _add(app, wanted, taken[wanted])
            del taken[wanted]
    finally:
        counts.put_back(taken)


def import_log(app: App, me: Principal, path: Path, *, ours: Collection[str] = ()) -> ShadowUse:
    """Read a proxy's log, which may be a ``.gz``; a log that was read already changes nothing.

    Args:
        ours: users and addresses that are no shadow: those of the gateway itself.

    Returns:
        How many lines there were, how many of them could not be read, and how many went to such hosts.

    Raises:
        Denied: ``me`` may not read the audit log.
        NotFound: there is no such file.
        InvalidInput: it is no log in a form that is known.
    """
    permitted = app.gatekeeper.require(me, RIGHT, "audit:log")
    digest = _digest(path)
    log_id = derived_id("shadow-log", me.workspace, digest)
    standing = app.store.shadow.find(log_id)
    if standing is not None:
        return standing
    uses, lines, bad, n_bad = _read(path, frozenset(ours))
    note = "; ".join(f"line {one.number}: {one.why}" for one in bad)
    now = app.clock.now()
    kept = ShadowUse(
        id=log_id,
        workspace=me.workspace,
        subject="import",
        what=digest[:12],
        who=me.name,
        first_at=now,
        last_at=now,
        n=lines,
        n_bad=n_bad,
        n_known=sum(one.n for one in uses.values()),
        note=note,
    )
    with app.store.transaction():
        for (host, user), counted in uses.items():
            known = at_host(host)
            provider = "" if known is None else f"{known.provider} ({known.kind})"
            _add(app, Wanted("host", host, user, me.workspace, note=provider), counted)
        made = app.store.shadow.add(kept)
        detail = {"log": made.what, "lines": lines, "unread": n_bad, "known": made.n_known}
        app.store.audit.append(
            me.name, "llm.shadow_log", f"workspace:{me.workspace}", detail | permitted.basis
        )
    return made


def _read(path: Path, ours: frozenset[str]) -> tuple[dict[_Use, Counted], int, list[Unread], int]:
    """Uses, lines, the first lines that cannot be read, and how many those are in all."""
    uses: dict[_Use, Counted] = {}
    bad: list[Unread] = []
    seen: Counter[str] = Counter()
    with _opened(path) as lines:
        try:
            for one in read_log(lines):
                seen["lines"] += 1
                if isinstance(one, Unread):
                    seen["bad"] += 1
                    bad += [one] if len(bad) < _NAMED_LINES else []
                elif one.user not in ours and at_host(one.host) is not None:
                    _count(uses, one)
        except (OSError, EOFError) as error:
            raise InvalidInput(
                f"{path} cannot be read to its end ({error}). Nothing of it is kept."
            ) from error
    return uses, seen["lines"], bad, seen["bad"]


def _count(uses: dict[_Use, Counted], asked: Asked) -> None:
    use = _Use(asked.host, asked.user)
    if use not in uses and len(uses) >= _MOST_ROWS:
        use = _Use(asked.host, OTHERS)
    before = uses.get(use)
    if before is None:
        uses[use] = Counted(1, asked.at, asked.at)
    else:
        uses[use] = Counted(before.n + 1, min(before.first_at, asked.at), max(before.last_at, asked.at))


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="\n")
    return path.open(encoding="utf-8", errors="replace", newline="\n")


def _digest(path: Path) -> str:
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}. Give a proxy's log.")
    made = hashlib.sha256()
    with path.open("rb") as data:
        for part in _parts(data):
            made.update(part)
    return made.hexdigest()


def _parts(data: IO[bytes]) -> Iterator[bytes]:
    while part := data.read(1 << 20):
        yield part


def _add(app: App, wanted: Wanted, counted: Counted) -> None:
    """Add to what is kept, whoever else does so at the same time."""
    for left in range(_TRIES, 0, -1):
        try:
            return _add_once(app, wanted, counted)
        except Conflict:
            if left == 1:
                raise
    return None


def _add_once(app: App, wanted: Wanted, counted: Counted) -> None:
    row_id = _row_id(wanted)
    before = app.store.shadow.find(row_id)
    if (
        before is None
        and len(app.store.shadow.list(workspace=wanted.team, subject=wanted.kind)) >= _MOST_ROWS
    ):
        wanted = wanted._replace(what=OTHERS, who=OTHERS, project="", note="")
        row_id = _row_id(wanted)
        before = app.store.shadow.find(row_id)
    if before is None:
        app.store.shadow.add(
            ShadowUse(
                id=row_id,
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
        return
    app.store.shadow.change(
        replace(
            before,
            n=before.n + counted.n,
            first_at=min(before.first_at, counted.first_at),
            last_at=max(before.last_at, counted.last_at),
            revision=before.revision + 1,
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
