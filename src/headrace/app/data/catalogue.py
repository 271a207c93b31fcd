"""Every data source that somebody may read, in one list: what it is, who answers for it, and its rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from headrace.access.privacy.fields import handling_of
from headrace.app.composition import App
from headrace.app.data.arrivals import Measured, arrivals_of
from headrace.core.data import Snapshot
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.data.snapshots import first_rows, snapshots_of

MAX_ROWS = 1000
_MAX_WORDS = 20


@dataclass(frozen=True, kw_only=True)
class Field:
    """One column: what the project does with it (``input``, ``target``, ``time``, ``key``, ``ignored`` or
    ``unused``), what kind of values it has, how the record of answers keeps it, and why."""

    name: str
    use: str
    kind: str | None
    kept: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """One data source, named after its project.

    Attributes:
        source: the file in the project's folder, or the code that makes the table.
        location: where the newest snapshot is kept: table and version; None before the first build.
        fresh_at: when the newest snapshot was taken.
        raw: digest of the bytes as they came.
        arrivals: what was measured of the newest arrival of each of its tables; its age is as of now.
        basis: why the data may be used; like ``retention_days`` and each field's ``kept``, as it holds.
    """

    name: str
    owner: str
    contact: str
    documentation: str
    source: str
    basis: str | None
    retention_days: int
    fields: list[Field]
    n_rows: int
    n_snapshots: int
    fresh_at: datetime | None
    location: str | None
    raw: str | None
    arrivals: list[Measured]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The first rows of a source's newest snapshot."""

    source: str
    snapshot: str
    n_rows: int
    columns: list[str]
    rows: list[list[Any]]


def catalogue(app: App, principal: Principal, search: str = "") -> list[Source]:
    """Sources that ``principal`` may read and in which every word of ``search`` occurs, by name.

    Words are looked for in names, owners, columns and documentation, whatever their case.
    """
    words = search.casefold().split()
    if len(words) > _MAX_WORDS:
        raise InvalidInput(f"A search takes at most {_MAX_WORDS} words, got {len(words)}. Search for fewer.")
    found = [
        _source(app, project)
        for project in app.store.projects.list()
        if app.gatekeeper.allows(principal, "data.read", f"project:{project.name}")
    ]
    return sorted((s for s in found if _matches(s, words)), key=lambda source: source.name)


def source(app: App, principal: Principal, name: str) -> Source:
    """One source. Raises NotFound, Denied."""
    app.gatekeeper.require(principal, "data.read", f"project:{name}")
    return _source(app, app.store.projects.get(name))


def read_rows(app: App, principal: Principal, name: str, limit: int = 20) -> Rows:
    """The first rows of a source, as they were snapshotted; who read them is in the audit log.

    Raises:
        Denied: ``principal`` may not read this data.
        NotFound: there is no such source, or nothing of it was snapshotted yet.
        InvalidInput: ``limit`` is not between 1 and 1000.
    """
    app.gatekeeper.require(principal, "data.read", f"project:{name}")
    if not 1 <= limit <= MAX_ROWS:
        raise InvalidInput(f"Cannot read {limit} rows. Expected 1 to {MAX_ROWS}.")
    snapshots = snapshots_of(app.store.snapshots, app.store.projects.get(name).name)
    if not snapshots:
        raise NotFound(f"Nothing of {name!r} was snapshotted yet. Build it with 'headrace run'.")
    newest = snapshots[-1]
    # The entry comes first: nobody has seen a row that the log does not know of.
    app.store.audit.append(
        principal.name, "data.read", f"project:{name}", {"snapshot": newest.id, "rows": limit}
    )
    columns = first_rows(newest, app.store.tables, limit)
    cells = [[_plain(value) for value in column.tolist()] for column in columns.values()]
    return Rows(
        source=name,
        snapshot=newest.id,
        n_rows=newest.n_rows,
        columns=list(columns),
        rows=[list(row) for row in zip(*cells, strict=True)],
    )


def _source(app: App, project: Project) -> Source:
    snapshots = snapshots_of(app.store.snapshots, project.name)
    newest = snapshots[-1] if snapshots else None
    held = app.access.charters.in_force(project.name)
    return Source(
        name=project.name,
        owner=project.owner.name,
        contact=project.owner.contact,
        documentation=project.data.documentation,
        source=project.data.source,
        basis=held.privacy.basis,
        retention_days=held.privacy.retention_days,
        fields=_fields(held, newest),
        n_rows=0 if newest is None else newest.n_rows,
        n_snapshots=len(snapshots),
        fresh_at=None if newest is None else newest.created_at,
        location=None if newest is None else f"{newest.table}@{newest.table_version}",
        raw=None if newest is None else newest.raw.digest,
        arrivals=arrivals_of(app, project),
    )


def _fields(project: Project, newest: Snapshot | None) -> list[Field]:
    data = project.data
    uses = {column.name: "ignored" if column.role == "ignored" else "input" for column in data.columns}
    special = {data.key: "key", data.time: "time", data.target: "target"}
    uses |= {name: use for name, use in special.items() if name is not None}
    kinds = {} if newest is None else newest.columns
    whys = {column.name: column.why for column in data.columns}
    return [
        Field(
            name=name,
            use=uses.get(name, "unused"),
            kind=kinds.get(name),
            kept=handling_of(project, name),
            why=whys.get(name, ""),
        )
        for name in dict.fromkeys((*kinds, *uses))
    ]


def _matches(found: Source, words: list[str]) -> bool:
    columns = " ".join(f"{one.name} {one.why}" for one in found.fields)
    text = f"{found.name} {found.owner} {found.source} {found.documentation} {columns}".casefold()
    return all(word in text for word in words)


def _plain(value: Any) -> Any:
    """A cell as JSON has it: a number that is none, or without end, is null, a moment is text."""
    if isinstance(value, float) and not isfinite(value):
        return None
    return value.isoformat() if isinstance(value, datetime) else value
