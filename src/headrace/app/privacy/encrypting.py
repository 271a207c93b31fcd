"""What is kept of a project is encrypted under its current key, and who may, gets the key for other tools."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.app.composition import App
from headrace.app.privacy.retaining import STREAMS
from headrace.core.errors import Conflict, HeadraceError, NotFound
from headrace.core.identity import Principal
from headrace.monitoring.ingest import record_tables
from headrace.store.encrypted import table_key


@dataclass(frozen=True, kw_only=True)
class Encryption:
    """How a project's data is kept.

    Attributes:
        key: id of the key for what is written from now on; None: it is written in clear.
        snapshots: how many snapshots keep the files that they were taken with: their versions never change.
    """

    project: str
    key: str | None
    snapshots: int


@dataclass(frozen=True, kw_only=True)
class TableKey:
    """A key for other tools: 32 bytes in hexadecimal, of one table."""

    table: str
    key_id: str
    key: str


def encrypt(app: App, principal: Principal, project: str) -> Encryption:
    """Bring the event log and the tables of answers and labels under the project's current key.

    If the project is not encrypted any more, they are written in clear. The tables' older versions are
    deleted. Killed anywhere, doing it again does the rest.

    Raises:
        Denied: ``principal`` may not change what is kept.
        NotFound: there is no such project.
        Unavailable: a key is missing.
    """
    app.gatekeeper.require(principal, "data.erase", f"project:{project}")
    name = app.store.projects.get(project).name
    key = app.access.data_keys.current(name)
    app.store.audit.append(principal.name, "data.encrypt", f"project:{name}", {"key": key})
    for stream in STREAMS:
        app.store.events.rewrite(f"{name}/{stream}", lambda record: record)
    for table in record_tables(name):
        if app.store.tables.version(table) is not None:
            app.store.tables.compact(table)
            app.store.tables.forget(table)
    return Encryption(project=name, key=key, snapshots=len(app.store.snapshots.list(name)))


def rotate(app: App, principal: Principal, project: str, *, lost: bool = False) -> Encryption:
    """Another key for what is written from now on. The old ones stay, because old files need them.

    Args:
        lost: state that the key file is gone for good, and with it what it encrypts.

    Raises:
        Denied: ``principal`` may not change what is kept.
        Conflict: the project is not encrypted, or no key is lost that was said to be.
        Unavailable: the key file is gone, and nobody said so.
    """
    app.gatekeeper.require(principal, "data.erase", f"project:{project}")
    name = app.store.projects.get(project).name
    gone = app.access.data_keys.lost(name) if lost else {}
    if lost and not gone:
        raise Conflict(
            f"No key of {name!r} is lost: its key file is there, or nothing is encrypted. Leave out --lost."
        )
    if not lost and app.access.data_keys.current(name) is None:
        raise Conflict(
            f"Project {name!r} is not encrypted (privacy.encrypt), so it has no key to change. Set "
            "privacy.encrypt: true in headrace.yaml first."
        )
    if lost:  # said before it is done: whoever reads the log finds who gave the data up
        app.store.audit.append(principal.name, "data.lose", f"project:{name}", {"keys": list(gone)})
    key = app.access.data_keys.rotate(name, lost=lost)
    app.store.audit.append(principal.name, "data.rotate", f"project:{name}", {"key": key})
    return Encryption(project=name, key=key, snapshots=len(app.store.snapshots.list(name)))


def table_keys(app: App, principal: Principal, table: str) -> list[TableKey]:
    """The keys of a table's files, for other tools; that they were handed out is in the audit log.

    Raises:
        Denied: ``principal`` may not read the data, or not change it: whoever has a key is asked no more.
        NotFound: nothing is encrypted under this name.
    """
    project = table.split("/", 1)[0]
    for action in ("data.read", "data.erase"):
        app.gatekeeper.require(principal, action, f"project:{project}")
    ids = app.access.data_keys.ids(app.store.projects.get(project).name)
    if not ids or app.store.tables.version(table) is None:
        raise NotFound(
            f"There is no encrypted table {table!r}. Expected a name such as 'PROJECT/predictions'."
        )
    app.store.audit.append(principal.name, "data.key", f"project:{project}", {"table": table})
    return [TableKey(table=table, key_id=i, key=table_key(app.access.data_keys, table, i).hex()) for i in ids]


def unreadable(app: App) -> dict[str, str]:
    """Projects whose data cannot be written or read with the keys that are here, and why."""
    found: dict[str, str] = {}
    for project in app.store.projects.list():
        try:
            app.access.data_keys.current(project.name)
            for stream in STREAMS:
                for segment in app.store.events.segments(f"{project.name}/{stream}"):
                    app.store.events.read(f"{project.name}/{stream}", segment.name, 0, 1)
            for table in record_tables(project.name):
                if app.store.tables.version(table) is not None:
                    app.store.tables.query("SELECT count(*) FROM t", {"t": (table, None)})
        except HeadraceError as error:
            found[project.name] = str(error)
    return found
