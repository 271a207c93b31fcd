from __future__ import annotations

import pytest

from headrace.core.ports import Clock
from headrace.store import Store
from headrace.store.budgets import Account, Back, Granted, Want

_A, _B = Account("project:a/money/day", 0, 100), Account("project:b/money/day", 0, 100)


def test_what_is_held_counts_as_spent(store: Store) -> None:
    budgets = store.budgets
    assert budgets.hold("one", [Want(_A, 10, 90, 1000), Want(_B, 1, 0, 1)]) == [
        Granted(20, 20),
        Granted(1, 1),
    ]
    assert budgets.hold("two", [Want(_A, 500, 90, 1000), Want(_B, 1, 0, 1)]) == [
        Granted(500, 520),
        Granted(0, 1),
    ]
    assert budgets.hold("two", [Want(_A, 481, 0, 1000)]) == [Granted(0, 520)]
    first, second = budgets.standing([_A, _B])
    assert (first.spent, first.held, second.spent, second.held) == (520, 520, 1, 1)


def test_nothing_is_held_ahead_without_need(store: Store) -> None:
    assert store.budgets.hold("one", [Want(_A, 3, 0, 1000), Want(_A, 3, 4, 1000)]) == [
        Granted(3, 3),
        Granted(7, 10),
    ]


def test_towards_the_end_only_what_is_needed_is_held(store: Store) -> None:
    amounts = []
    while (granted := store.budgets.hold("one", [Want(_A, 1, 99, 1000)])[0]).amount:
        amounts.append(granted.amount)
    assert sum(amounts) == 1000
    assert amounts == sorted(amounts, reverse=True)
    assert (amounts[0], amounts[-8:]) == (20, [1] * 8)


def test_what_is_used_stays_spent_and_the_rest_goes_back(store: Store) -> None:
    store.budgets.hold("one", [Want(_A, 100, 0, 1000)])
    assert store.budgets.give_back("one", [Back(_A, 30, 50)]) == [True]
    (standing,) = store.budgets.standing([_A])
    assert (standing.spent, standing.held) == (70, 20)
    assert store.budgets.give_back("one", [Back(_A, 21, 0), Back(_B, 1, 0)]) == [False, False]
    assert store.budgets.give_back("one", [Back(_A, 0, 20)]) == [True]
    (standing,) = store.budgets.standing([_A])
    assert (standing.spent, standing.held) == (70, 0)


def test_what_is_owed_counts_whatever_the_limit_says(store: Store) -> None:
    store.budgets.owe(_A, 7)
    store.budgets.hold("one", [Want(_A, 3, 0, 10)])
    store.budgets.owe(_A, 7)
    assert store.budgets.standing([_A])[0].spent == 17


def test_processes_that_are_gone_lose_what_they_held(store: Store) -> None:
    for owner in ("alive", "dead", "stranger"):
        store.budgets.hold(owner, [Want(_A, 10, 0, 10_000)])
    for owner in ("alive", "dead"):
        store.executors.register(owner, "server", None)
    store.executors.release("dead")
    held = store.budgets.standing([_A])[0]
    assert store.budgets.lose_dead() == 2
    standing = store.budgets.standing([_A])[0]
    assert standing.spent == held.spent
    assert standing.lost == held.held - standing.held > 0
    assert store.budgets.lose_dead() == 0
    assert store.budgets.give_back("dead", [Back(_A, 10, 0)]) == [False]
    assert (store.budgets.lose("alive"), store.budgets.lose("alive")) == (1, 0)


def test_old_accounts_are_forgotten(store: Store) -> None:
    later = Account(_A.key, 100, 200)
    store.budgets.hold("one", [Want(_A, 1, 0, 10), Want(later, 1, 0, 10)])
    assert store.budgets.clean(101) == 1
    assert [one.spent for one in store.budgets.standing([_A, later])] == [0, 1]


@pytest.mark.parametrize("amount", [2**62])
def test_amounts_may_be_large(store: Store, clock: Clock, amount: int) -> None:
    assert store.budgets.hold("one", [Want(_A, amount, 0, amount)]) == [Granted(amount, amount)]
