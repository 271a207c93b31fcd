"""The built-in queue: rows that are lent for a while, so that what a killed process held comes back.

Who has them stands in their receipts: what a process of this machine held comes back as soon as it is gone.

Takers do not wait for one another: on Postgres rows that another transaction looks at are skipped; SQLite has
one writer at a time anyway. Lanes take turns, and the one that had to wait longest comes first.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from math import inf

from sqlalchemy import ColumnElement, Select, case, delete, func, insert, literal, select, update
from sqlalchemy.engine import Connection, Row

from headrace.core.ids import new_id
from headrace.core.ports import Clock, Taken
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import microseconds
from headrace.store._sql.tables import queue
from headrace.store.processes import Processes, is_gone, mark_of

_AT_ONCE_US = 0
"""What is put is there for whoever asks next, whatever the clock says by then."""
_LONGEST_S = 900.0
"""More than any item is lent or put off for: what is away for longer was so before the clock was put back."""
_LOOK_S = 1.0


class SqlQueue:
    """Implements ``Queue``."""

    def __init__(self, database: Database, clock: Clock, machine: Processes) -> None:
        self._database = database
        self._clock = clock
        self._machine = machine
        self._looked_s = -inf
        self._turns: dict[str, int] = {}
        self._n_taken = 0

    def put(self, lane: str, item: str) -> None:
        with self._database.write("queue", item) as connection:
            if connection.execute(select(queue.c.item).where(queue.c.item == item)).first() is None:
                connection.execute(insert(queue).values(self._fresh(lane, item)))

    def revive(self, lane: str, items: Collection[str]) -> None:
        for item in items:
            with self._database.write("queue", item) as connection:
                connection.execute(delete(queue).where(queue.c.item == item))
                connection.execute(insert(queue).values(self._fresh(lane, item)))

    def take(self, most: int, lease_s: float) -> list[Taken]:
        self._take_back()
        with self._database.read() as connection:
            if connection.execute(_ready(self._now_us()).limit(1)).first() is None:
                return []  # to look takes no writer's turn
        taken = []
        # A topic of its own: takers need not take turns.
        with self._database.write("queue", "take", new_id(self._clock.now())) as connection:
            now_us, me = self._now_us(), mark_of(self._machine)
            for row in self._chosen(connection, now_us, most):
                receipt = f"{new_id(self._clock.now())}@{me}"
                ends_us = now_us + _microseconds(lease_s)
                lent = {"available_us": ends_us, "attempts": row.attempts + 1, "receipt": receipt}
                connection.execute(update(queue).where(queue.c.position == row.position).values(lent))
                taken.append(Taken(row.lane, row.item, row.attempts + 1, receipt))
        for one in taken:
            self._n_taken += 1
            self._turns[one.lane] = self._n_taken
        return taken

    def done(self, taken: Taken) -> None:
        with self._database.write("queue", taken.item) as connection:
            connection.execute(delete(queue).where(_held(taken)))

    def again(self, taken: Taken, after_s: float) -> None:
        later = {"available_us": self._now_us() + _microseconds(after_s), "receipt": None}
        with self._database.write("queue", taken.item) as connection:
            connection.execute(update(queue).where(_held(taken)).values(later))

    def bury(self, taken: Taken) -> None:
        with self._database.write("queue", taken.item) as connection:
            connection.execute(update(queue).where(_held(taken)).values(buried=1, receipt=None))

    def waiting(self) -> dict[str, int]:
        return self._count(queue.c.buried == 0)

    def buried(self) -> dict[str, int]:
        return self._count(queue.c.buried == 1)

    def close(self) -> None:
        """Nothing is held open here."""

    def _take_back(self) -> None:
        """What processes of this machine held that are gone; looked for once a second."""
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        lent = select(queue.c.receipt).where(queue.c.buried == 0, queue.c.available_us > self._now_us())
        with self._database.read() as connection:
            held = connection.scalars(lent.where(queue.c.receipt.is_not(None))).all()
        left = [receipt for receipt in held if is_gone(receipt.partition("@")[2], self._machine)]
        if left:
            free = {"available_us": _AT_ONCE_US, "receipt": None}
            with self._database.write("queue", "take", new_id(self._clock.now())) as connection:
                connection.execute(update(queue).where(queue.c.receipt.in_(left)).values(free))

    def _count(self, which: ColumnElement[bool]) -> dict[str, int]:
        statement = select(queue.c.lane, func.count()).where(which).group_by(queue.c.lane)
        with self._database.read() as connection:
            return {str(lane): int(n) for lane, n in connection.execute(statement)}

    def _chosen(self, connection: Connection, now_us: int, most: int) -> list[Row[tuple[int, str, str, int]]]:
        """Up to ``most`` rows, one of each lane in turn; what another taker has is left out."""
        place = func.row_number().over(partition_by=queue.c.lane, order_by=queue.c.position).label("place")
        ranked = select(queue.c.position, place).where(_is_ready(now_us)).subquery()
        turn = case(self._turns, value=queue.c.lane, else_=0) if self._turns else literal(0)
        statement = (
            _ready(now_us)
            .join(ranked, ranked.c.position == queue.c.position)
            .order_by(ranked.c.place, turn, queue.c.position)
            .limit(most)
            .with_for_update(of=queue, skip_locked=True)
        )
        return list(connection.execute(statement).all())

    @staticmethod
    def _fresh(lane: str, item: str) -> dict[str, object]:
        fresh = {"available_us": _AT_ONCE_US, "attempts": 0, "receipt": None, "buried": 0}
        return {"lane": lane, "item": item, **fresh}

    def _now_us(self) -> int:
        return microseconds(self._clock.now())


def _ready(now_us: int) -> Select[tuple[int, str, str, int]]:
    columns = select(queue.c.position, queue.c.lane, queue.c.item, queue.c.attempts)
    return columns.where(_is_ready(now_us))


def _is_ready(now_us: int) -> ColumnElement[bool]:
    away_us = queue.c.available_us
    return (queue.c.buried == 0) & ((away_us <= now_us) | (away_us > now_us + _microseconds(_LONGEST_S)))


def _held(taken: Taken) -> ColumnElement[bool]:
    """The row, while it is still lent to who took it."""
    return (queue.c.item == taken.item) & (queue.c.receipt == taken.receipt)


def _microseconds(duration_s: float) -> int:
    return timedelta(seconds=duration_s) // timedelta(microseconds=1)
