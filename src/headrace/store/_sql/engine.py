"""The one place that knows which database is behind: connections, transactions, locks, errors.

A write transaction names its topic, such as ``("models", "cars")``. Writers on one topic run one after the
other, over threads and processes, so that code may read, decide and write without a race:

- SQLite takes its single write lock at the start (``BEGIN IMMEDIATE``), whatever the topic.
- Postgres takes an advisory lock on the topic, held to the end of the transaction. The isolation level is
  READ COMMITTED on purpose: a snapshot taken before the lock was granted would not show what the writer
  before us has just committed.

Inside :meth:`Database.transaction` the writes of a thread join one database transaction. What everybody
writes, the audit log, comes last there: its topic is held for as short as can be, and nobody waits for
another topic while holding it.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from headrace.core.errors import Conflict, InternalError, InvalidInput, Unavailable

LOCK_WAIT_S = 30
_CONNECT_WAIT_S = 5
_TRIES = 100
_BEGIN = "headrace_begin"
_Item = TypeVar("_Item")


@dataclass
class _Open:
    """A transaction under way in one thread, what is written at its end, and what follows it."""

    connection: Connection
    last: dict[Callable[[list[Any]], object], list[Any]] = field(default_factory=dict)
    effects: list[Callable[[], None]] = field(default_factory=list)

    @contextmanager
    def part(self) -> Iterator[None]:
        """What fails inside takes back itself only."""
        last = {together: list(items) for together, items in self.last.items()}
        effects = list(self.effects)
        try:
            with self.connection.begin_nested():
                yield
        except BaseException:
            self.last, self.effects = last, effects
            raise


class Database:
    """A pool of connections with the promises above; durable when a write transaction ends.

    Raises:
        InvalidInput: the address cannot be read.
    """

    def __init__(self, url: str) -> None:
        try:
            self._url = sqlalchemy.make_url(url)
            backend = self._url.get_backend_name()
        except SQLAlchemyError as error:
            raise _no_address() from error
        if backend not in ("sqlite", "postgresql"):
            raise _no_address()
        self._is_sqlite = backend == "sqlite"
        self._engine = _sqlite(self._url) if self._is_sqlite else _postgres(self._url)
        # Threads of one process queue here instead of polling for SQLite's lock.
        self._turn = threading.RLock() if self._is_sqlite else nullcontext()
        self._here = threading.local()

    @property
    def name(self) -> str:
        """The address without its password."""
        return self._url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; inside :meth:`transaction` it sees what was written there."""
        standing = self._open
        if standing is not None:
            with self._answering():
                yield standing.connection
            return
        with self._answering(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *topic: str) -> Iterator[Connection]:
        """A transaction that writes, alone on its ``topic``; committed and durable at the end.

        Inside :meth:`transaction` it joins that one, and takes back only itself when it fails.

        Raises:
            Conflict: another writer held the topic for 30 s, or the database refused a contradiction.
            Unavailable: the database does not answer, or its disk is full.
        """
        standing = self._open
        if standing is not None:
            with self._answering(), standing.part():
                self._take(standing.connection, topic)
                yield standing.connection
            return
        with self._begun() as connection:
            self._take(connection, topic)
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Writes of this thread inside are kept together, durable at the end, or not at all.

        One inside another joins it, and takes back only itself when it fails. Raises as :meth:`write` does;
        Conflict also when two transactions wait for each other's topics.
        """
        standing = self._open
        if standing is not None:
            with self._answering(), standing.part():
                yield
            return
        with self._begun() as connection:
            standing = self._here.open = _Open(connection)
            try:
                yield
                for together, items in standing.last.items():
                    together(items)
            finally:
                self._here.open = None
        for effect in standing.effects:
            effect()

    def lastly(self, together: Callable[[list[_Item]], object], item: _Item) -> bool:
        """At the end of this thread's transaction ``together`` writes all of its items at once.

        Returns whether there is a transaction; without one nothing is done.
        """
        standing = self._open
        if standing is None:
            return False
        standing.last.setdefault(together, []).append(item)
        return True

    def afterwards(self, effect: Callable[[], None]) -> None:
        """Call ``effect`` once this thread's transaction is durable; at once when there is none."""
        standing = self._open
        if standing is None:
            effect()
        else:
            standing.effects.append(effect)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @property
    def _open(self) -> _Open | None:
        return getattr(self._here, "open", None)

    @contextmanager
    def _begun(self) -> Iterator[Connection]:
        with self._answering(), self._turn, self._engine.connect() as plain:
            connection = plain.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
            with connection.begin():
                yield connection

    def _take(self, connection: Connection, topic: Sequence[str]) -> None:
        if not self._is_sqlite:
            wait = f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'"
            connection.exec_driver_sql(f"{wait}; SELECT pg_advisory_xact_lock({_key(topic)})")

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise Conflict(f"The database refused a contradictory record: {reason(error)}.") from error
        except DataError as error:
            raise InvalidInput(f"The database cannot hold this value: {reason(error)}.") from error
        except (OperationalError, PoolTimeout) as error:
            said = reason(error)
            if "deadlock" in said:
                raise Conflict(
                    f"Somebody else was changing the same in {self.name} at this moment. "
                    "Nothing was written. Try again."
                ) from error
            if "locked" in said or "lock timeout" in said:
                raise Conflict(
                    f"Another process has held the database {self.name} for more than {LOCK_WAIT_S} s "
                    f"({said}). Nothing was written. Try again, or find what holds it."
                ) from error
            raise Unavailable(
                f"The database {self.name} did not take the call: {said}. Nothing was written. "
                "Check that it runs, that its disk has space and HEADRACE_DATABASE_URL, then try again."
            ) from error
        except SQLAlchemyError as error:
            raise InternalError(f"The database {self.name} refused a statement: {reason(error)}.") from error


def _sqlite(url: URL) -> Engine:
    engine = sqlalchemy.create_engine(
        url, pool_size=8, max_overflow=24, connect_args={"timeout": LOCK_WAIT_S}
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        # The driver would otherwise begin transactions by itself, and too late to take the write lock.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {LOCK_WAIT_S * 1000}",
            "synchronous = FULL",
            "foreign_keys = ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        _write_ahead(cursor)
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    return engine


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Give the database a write-ahead log, which it keeps; waits for whoever writes it.

    SQLite itself does not wait here, whatever ``busy_timeout`` says: of two connections that make a database
    at the same moment it refuses one at once. For a transaction it waits.
    """
    for left in reversed(range(_TRIES)):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the rest says busy with what
            if not is_busy or left == 0:
                raise
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("COMMIT")


def _postgres(url: URL) -> Engine:
    return sqlalchemy.create_engine(
        url,
        pool_size=8,
        max_overflow=24,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
        connect_args={"connect_timeout": _CONNECT_WAIT_S, "application_name": "headrace"},
    )


def _no_address() -> InvalidInput:
    return InvalidInput(
        "HEADRACE_DATABASE_URL is no address of a database that Headrace knows. "
        "Expected sqlite:///FILE or postgresql://USER@HOST/NAME."
    )


def _key(topic: Sequence[str]) -> int:
    """A 64-bit lock number; two topics that share one by chance only wait for each other."""
    digest = hashlib.sha256("\x1f".join(("headrace", *topic)).encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def reason(error: BaseException) -> str:
    """What the database itself said, in one line."""
    original = getattr(error, "orig", None) or error
    lines = str(original).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(original).__name__
