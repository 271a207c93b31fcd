"""Live processes: who may own unfinished work."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from headrace.core.errors import NotFound
from headrace.core.ports import Clock, Uptime
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import microseconds, moment
from headrace.store._sql.tables import executors, uptime
from headrace.store.processes import Processes

SILENCE_S = 60
"""A process on another machine that has not been heard of for this long counts as dead."""

_KEPT_US = int(timedelta(days=400).total_seconds()) * 1_000_000
"""For how long it is known when a process was there."""


class SqlExecutors:
    """Implements ``ExecutorStore``.

    On this machine a process is dead as soon as it is gone; on another one after 60 s of silence, which
    takes clocks that agree to a few seconds.
    """

    def __init__(self, database: Database, clock: Clock, processes: Processes) -> None:
        self._database = database
        self._clock = clock
        self._processes = processes

    def register(self, executor_id: str, role: str, address: str | None) -> None:
        now = microseconds(self._clock.now())
        row = {
            "role": role,
            "address": address,
            "host": self._processes.host,
            "pid": self._processes.pid,
            "process_started": self._processes.started(self._processes.pid) or "",
            "registered_us": now,
            "heartbeat_us": now,
            "ended_us": None,
            "claimed_by": None,
        }
        mine = executors.c.executor_id == executor_id
        with self._database.write("executors") as connection:
            connection.execute(delete(uptime).where(uptime.c.seen_us < now - _KEPT_US))
            _heard(connection, executor_id, role, address, now)
            if _find(connection, executor_id) is None:
                connection.execute(insert(executors).values(executor_id=executor_id, **row))
            else:
                connection.execute(update(executors).where(mine).values(row))

    def heartbeat(self, executor_id: str) -> None:
        now = microseconds(self._clock.now())
        if not self._note(executor_id, {"heartbeat_us": now}, now):
            raise NotFound(
                f"Process {executor_id!r} is not registered: it was silent for too long and another one took "
                "its work over. Stop what it was doing and register again under a new id."
            )

    def release(self, executor_id: str) -> None:
        now = microseconds(self._clock.now())
        self._note(executor_id, {"ended_us": now}, now, ended=True)

    def uptime(self, role: str, since: datetime) -> list[Uptime]:
        found = select(uptime).where(uptime.c.role == role, uptime.c.seen_us >= microseconds(since))
        with self._database.read() as connection:
            rows = connection.execute(found.order_by(uptime.c.started_us, uptime.c.executor_id)).all()
        return [
            Uptime(row.executor_id, row.address, moment(row.started_us), moment(row.seen_us), bool(row.ended))
            for row in rows
        ]

    def dead(self) -> list[str]:
        with self._database.read() as connection:
            rows = _all(connection)
        host = self._processes.host
        return [row.executor_id for row in rows if not self._lives(row, host)]

    def claim(self, executor_id: str, by: str) -> bool:
        host = self._processes.host
        with self._database.write("executors") as connection:
            row = _find(connection, executor_id)
            if row is None or executor_id == by or self._lives(row, host):
                return False
            if row.claimed_by not in (None, by):
                claimer = _find(connection, row.claimed_by)
                if claimer is not None and self._lives(claimer, host):
                    return False
            mine = executors.c.executor_id == executor_id
            connection.execute(update(executors).where(mine).values(claimed_by=by))
        return True

    def forget(self, executor_id: str) -> None:
        with self._database.write("executors") as connection:
            row = _find(connection, executor_id)
            if row is not None and not self._lives(row, self._processes.host):
                connection.execute(delete(executors).where(executors.c.executor_id == executor_id))

    def living(self, role: str) -> list[tuple[str, str | None]]:
        host = self._processes.host
        with self._database.read() as connection:
            rows = [row for row in _all(connection) if row.role == role]
        return [(row.executor_id, row.address) for row in reversed(rows) if self._lives(row, host)]

    def alive(self) -> set[str]:
        """Ids of all that live, whatever their role."""
        host = self._processes.host
        with self._database.read() as connection:
            return {row.executor_id for row in _all(connection) if self._lives(row, host)}

    def _note(self, executor_id: str, change: dict[str, int], now: int, *, ended: bool = False) -> bool:
        statement = update(executors).where(executors.c.executor_id == executor_id).values(change)
        with self._database.write("executors") as connection:
            row = _find(connection, executor_id)
            if row is not None:
                _heard(connection, executor_id, row.role, row.address, now, ended=ended)
            return connection.execute(statement).rowcount == 1

    def _lives(self, row: Row[Any], host: str) -> bool:
        if row.ended_us is not None:
            return False
        if row.host == host:
            started = self._processes.started(row.pid)
            return started is not None and (row.process_started in ("", started) or started == "")
        silent_us = microseconds(self._clock.now()) - row.heartbeat_us
        return bool(silent_us <= SILENCE_S * 1_000_000)


def _heard(
    connection: Connection, executor_id: str, role: str, address: str | None, now: int, *, ended: bool = False
) -> None:
    """Extend the time over which it was heard of. After a silence another one begins: nobody knows more.

    A process that was taken for dead and comes back, such as after its machine was suspended, was away.
    """
    mine = uptime.c.executor_id == executor_id
    last = connection.execute(select(func.max(uptime.c.started_us)).where(mine)).scalar()
    change = {"seen_us": now, "address": address, "ended": int(ended)}
    if last is not None:
        fresh = uptime.c.seen_us >= now - SILENCE_S * 1_000_000
        extended = update(uptime).where(mine, uptime.c.started_us == last, fresh).values(change)
        if connection.execute(extended).rowcount or last == now:
            return
    connection.execute(insert(uptime).values(executor_id=executor_id, role=role, started_us=now, **change))


def _all(connection: Connection) -> list[Row[Any]]:
    statement = select(executors).order_by(executors.c.registered_us, executors.c.executor_id)
    return list(connection.execute(statement).all())


def _find(connection: Connection, executor_id: str) -> Row[Any] | None:
    return connection.execute(select(executors).where(executors.c.executor_id == executor_id)).first()
