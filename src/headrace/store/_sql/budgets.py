"""Budgets: one row for each account, and one for what each process holds of it.

All who take or give back have their turn one after the other: it is seldom, as a process takes some more than
it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from headrace.store._sql.engine import Database
from headrace.store._sql.executors import SqlExecutors
from headrace.store._sql.tables import budget_holds, budgets
from headrace.store.budgets import Account, Back, Granted, Standing, Want

_OF_LIMIT, _OF_REST = 50, 8
"""A process takes at most this part of a limit ahead, and at most this part of what is left: towards the end
they all take just what they need, so that nothing is refused for what another one holds without need."""

_MORE, _MOST, _WHOLE = (bindparam(name, type_=BigInteger) for name in ("more", "most", "whole"))
_ACCOUNT = (budgets.c.key == bindparam("of_key")) & (budgets.c.start_us == bindparam("of_start_us"))
_SPENT = select(budgets.c.spent).where(_ACCOUNT)
_ADD = update(budgets).where(_ACCOUNT).values(spent=budgets.c.spent + _MORE)
_ADD_WITHIN = _ADD.where(budgets.c.spent + _MORE <= _MOST)
_OWNED = budget_holds.c.owner == bindparam("of_owner")
_HELD = (
    _OWNED
    & (budget_holds.c.key == bindparam("of_key"))
    & (budget_holds.c.start_us == bindparam("of_start_us"))
)
_HOLD_MORE = update(budget_holds).where(_HELD).values(amount=budget_holds.c.amount + _MORE)
_LESS = (
    update(budget_holds)
    .where(_HELD, budget_holds.c.amount >= _WHOLE)
    .values(amount=budget_holds.c.amount - _WHOLE)
)
_EMPTY = delete(budget_holds).where(_OWNED, budget_holds.c.amount == 0)
"""Made once: with many callers hundreds are taken and given back each second, and to make a statement takes
longer than to execute it."""


class SqlBudgets:
    """Implements ``BudgetStore``."""

    def __init__(self, database: Database, executors: SqlExecutors) -> None:
        self._database = database
        self._executors = executors

    def hold(self, owner: str, wants: Sequence[Want]) -> list[Granted]:
        with self._database.write("budgets") as connection:
            return [_hold(connection, owner, want) for want in wants]

    def give_back(self, owner: str, backs: Sequence[Back]) -> list[bool]:
        with self._database.write("budgets") as connection:
            held = [_give_back(connection, owner, back) for back in backs]
            connection.execute(_EMPTY, {"of_owner": owner})
        return held

    def owe(self, account: Account, amount: int) -> None:
        with self._database.write("budgets") as connection:
            _spent(connection, account)
            _add(connection, account, amount)

    def standing(self, accounts: Sequence[Account]) -> list[Standing]:
        with self._database.read() as connection:
            return [_standing(connection, account) for account in accounts]

    def find(self, begins: str, ends: str, at_us: int) -> list[Account]:
        key = budgets.c.key
        like = key.startswith(begins, autoescape=True) & key.endswith(ends, autoescape=True)
        within = (budgets.c.start_us <= at_us) & (budgets.c.ends_us > at_us)
        asked = select(key, budgets.c.start_us, budgets.c.ends_us).where(like, within).order_by(key)
        with self._database.read() as connection:
            return [Account(*row) for row in connection.execute(asked)]

    def lose(self, owner: str) -> int:
        with self._database.write("budgets") as connection:
            return _lose(connection, owner)

    def lose_dead(self) -> int:
        with self._database.read() as connection:  # to look takes no writer's turn
            owners = set(connection.execute(select(budget_holds.c.owner).distinct()).scalars())
        dead = owners - self._executors.alive() if owners else owners
        return sum(self.lose(owner) for owner in sorted(dead))

    def clean(self, before_us: int) -> int:
        with self._database.write("budgets") as connection:
            old = select(budgets.c.key, budgets.c.start_us).where(budgets.c.ends_us < before_us)
            rows = connection.execute(old).all()
            for key, start_us in rows:
                for table in (budget_holds, budgets):
                    connection.execute(delete(table).where(_of(table, Account(key, start_us, 0))))
        return len(rows)


def _hold(connection: Connection, owner: str, want: Want) -> Granted:
    spent = _spent(connection, want.account)
    left = want.most - spent
    if want.need > left:
        return Granted(0, spent)
    amount = max(want.need, min(want.need + want.ahead, want.most // _OF_LIMIT, left // _OF_REST))
    if not _add(connection, want.account, amount, most=want.most):
        return Granted(0, spent)
    if connection.execute(_HOLD_MORE, _held_by(owner, want.account) | {"more": amount}).rowcount == 0:
        row = {"owner": owner, "key": want.account.key, "start_us": want.account.start_us, "amount": amount}
        connection.execute(insert(budget_holds).values(row))
    return Granted(amount, spent + amount)


def _give_back(connection: Connection, owner: str, back: Back) -> bool:
    mine = _held_by(owner, back.account)
    if connection.execute(_LESS, mine | {"whole": back.unused + back.used}).rowcount == 0:
        return False
    if back.unused:
        _add(connection, back.account, -back.unused)
    return True


def _spent(connection: Connection, account: Account) -> int:
    """What is spent; the account is there from now on."""
    found = connection.execute(_SPENT, _named(account)).scalar()
    if found is None:
        connection.execute(insert(budgets).values({**account._asdict(), "spent": 0, "lost": 0}))
    return found or 0


def _add(connection: Connection, account: Account, amount: int, *, most: int | None = None) -> bool:
    """Whether it was added; with ``most``, only where the sum stays within."""
    given = _named(account) | {"more": amount}
    if most is None:
        return connection.execute(_ADD, given).rowcount == 1
    return connection.execute(_ADD_WITHIN, given | {"most": most}).rowcount == 1


def _standing(connection: Connection, account: Account) -> Standing:
    row = connection.execute(select(budgets).where(_of(budgets, account))).first()
    held = select(func.coalesce(func.sum(budget_holds.c.amount), 0)).where(_of(budget_holds, account))
    return Standing(
        account=account,
        spent=0 if row is None else row.spent,
        held=int(connection.execute(held).scalar_one()),
        lost=0 if row is None else row.lost,
    )


def _lose(connection: Connection, owner: str) -> int:
    mine = budget_holds.c.owner == owner
    rows = connection.execute(select(budget_holds).where(mine)).all()
    for row in rows:
        of = _of(budgets, Account(row.key, row.start_us, 0))
        connection.execute(update(budgets).where(of).values(lost=budgets.c.lost + row.amount))
    connection.execute(delete(budget_holds).where(mine))
    return len(rows)


def _of(table: Table, account: Account) -> ColumnElement[bool]:
    return (table.c.key == account.key) & (table.c.start_us == account.start_us)


def _named(account: Account) -> dict[str, Any]:
    return {"of_key": account.key, "of_start_us": account.start_us}


def _held_by(owner: str, account: Account) -> dict[str, Any]:
    return {"of_owner": owner, **_named(account)}
