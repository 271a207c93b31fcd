from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.clock import SystemClock
from headrace.core.errors import Unavailable
from headrace.core.settings import Settings
from headrace.gateway.budgets import Amount, Budgets, Limit, OverBudget, Reservation, Scope
from headrace.store import Store, open_store
from headrace.store.budgets import Account, BudgetStore, Granted, Want
from headrace.testing import FakeClock, make_settings
from tests.gateway.budgets.spending import spend
from tests.pace import plain_work, times_as_long
from tests.store.children import Child, running

_numbers = itertools.count()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_settings(tmp_path_factory.mktemp("budgets") / "home")


@pytest.fixture(scope="module")
def store(home: Settings) -> Iterator[Store]:
    opened = open_store(home, SystemClock())
    yield opened
    opened.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def budgets(store: Store, clock: FakeClock) -> Budgets:
    return Budgets(store.budgets, clock, f"process-{next(_numbers)}")


def _limit(most: int, *, measure: Any = "requests", period: Any = "day", of: str = "") -> Limit:
    name = of or f"principal-{next(_numbers)}"
    return Limit(scope=Scope("principal", name), measure=measure, most=most, period=period)


def _spent(budgets: Budgets, limit: Limit) -> int:
    return budgets.standing([limit])[0].spent


def _one(tokens: int = 1) -> Amount:
    return Amount(tokens=tokens, micro=tokens, requests=1)


def test_a_budget_is_spent_to_its_end_and_no_further(budgets: Budgets) -> None:
    limit = _limit(10)
    held = [budgets.reserve_now([limit], _one()) for _ in range(10)]
    with pytest.raises(OverBudget, match=r"10 requests a day, of which 10 requests are spent") as raised:
        budgets.reserve_now([limit], _one())
    assert (raised.value.limit, raised.value.spent) == (limit, 10)
    assert raised.value.resets_at.isoformat() == "2026-01-02T00:00:00+00:00"
    budgets.release(held.pop())
    budgets.reserve_now([limit], _one())


def test_what_a_call_did_not_take_is_there_for_the_next(budgets: Budgets) -> None:
    limit = _limit(100, measure="tokens")
    for _ in range(6):
        budgets.settle(budgets.reserve_now([limit], _one(50)), _one(10))
    with pytest.raises(OverBudget):
        budgets.reserve_now([limit], _one(50))
    budgets.give_back(0)
    assert _spent(budgets, limit) == 60


def test_a_call_that_takes_more_is_counted_in_full(budgets: Budgets) -> None:
    limit = _limit(100, measure="tokens")
    budgets.settle(budgets.reserve_now([limit], _one(10)), _one(170))
    assert _spent(budgets, limit) == 170
    with pytest.raises(OverBudget):
        budgets.reserve_now([limit], _one(1))
    budgets.give_back(0)
    assert _spent(budgets, limit) == 170


def test_a_call_is_settled_once(budgets: Budgets) -> None:
    limit = _limit(100, measure="tokens")
    held = budgets.reserve_now([limit], _one(50))
    assert held.is_open
    budgets.settle(held, _one(20))
    budgets.settle(held, _one(20))
    budgets.release(held)
    assert not held.is_open
    budgets.give_back(0)
    assert _spent(budgets, limit) == 20


def test_a_call_takes_out_of_every_limit_or_of_none(budgets: Budgets) -> None:
    wide, narrow = _limit(100), _limit(2)
    for _ in range(2):
        budgets.settle(budgets.reserve_now([wide, narrow], _one()), _one())
    for _ in range(5):
        with pytest.raises(OverBudget) as raised:
            budgets.reserve_now([wide, narrow], _one())
        assert raised.value.limit == narrow
    budgets.give_back(0)
    assert (_spent(budgets, wide), _spent(budgets, narrow)) == (2, 2)


def test_of_two_limits_on_the_same_the_lower_holds(budgets: Budgets) -> None:
    low, high = _limit(1, of="both"), _limit(5, of="both")
    budgets.reserve_now([high, low], _one())
    with pytest.raises(OverBudget) as raised:
        budgets.reserve_now([high, low], _one())
    assert raised.value.limit == low


def test_a_period_begins_anew_and_the_old_one_keeps_what_was_spent(
    budgets: Budgets, clock: FakeClock
) -> None:
    limit = _limit(1, period="minute")
    held = budgets.reserve_now([limit], _one())
    with pytest.raises(OverBudget):
        budgets.reserve_now([limit], _one())
    clock.advance(60)
    second = budgets.reserve_now([limit], _one())
    budgets.settle(held, _one())
    budgets.settle(second, Amount(0, 0, 0))
    budgets.give_back(0)
    assert _spent(budgets, limit) == 0
    clock.set(clock.now().replace(minute=0))
    assert _spent(budgets, limit) == 1


def test_a_changed_limit_holds_at_once(budgets: Budgets) -> None:
    for _ in range(2):
        budgets.reserve_now([_limit(2, of="raised")], _one())
    with pytest.raises(OverBudget):
        budgets.reserve_now([_limit(2, of="raised")], _one())
    clock_free = Budgets(budgets._store, FakeClock(), "another")
    clock_free.reserve_now([_limit(3, of="raised")], _one())


def test_what_is_not_needed_goes_back_to_others(store: Store, clock: FakeClock) -> None:
    limit = _limit(1000)
    first, second = (Budgets(store.budgets, clock, f"p-{next(_numbers)}") for _ in range(2))
    for _ in range(20):
        first.settle(first.reserve_now([limit], _one()), _one())
    assert _spent(first, limit) == 35  # 1 and 4 ahead, 1 and 9, 1 and 19: the more the sooner it comes back
    first.give_back()
    assert _spent(first, limit) == 35
    clock.advance(1)
    first.give_back()
    assert _spent(first, limit) == 20
    assert sum(_until_refused(second, limit)) == 980


def test_a_few_calls_stay_with_whoever_asks_seldom_and_not_for_long(store: Store, clock: FakeClock) -> None:
    limit, budgets = _limit(1000), Budgets(store.budgets, clock, f"p-{next(_numbers)}")
    for _ in range(5):
        budgets.settle(budgets.reserve_now([limit], _one()), _one())
        clock.advance(20)
        budgets.give_back()
        assert _spent(budgets, limit) == 5
    budgets.settle(budgets.reserve_now([limit], _one()), _one())
    assert _spent(budgets, limit) == 10
    clock.advance(59)
    budgets.give_back()
    assert _spent(budgets, limit) == 10
    clock.advance(1)
    budgets.give_back()
    assert _spent(budgets, limit) == 6


def _until_refused(budgets: Budgets, limit: Limit) -> Iterator[int]:
    while True:
        try:
            budgets.settle(budgets.reserve_now([limit], _one()), _one())
        except OverBudget:
            return
        yield 1


def test_a_dead_process_hides_nothing_that_it_spent(store: Store, clock: FakeClock) -> None:
    limit = _limit(1000)
    dead, alive = (Budgets(store.budgets, clock, f"p-{next(_numbers)}") for _ in range(2))
    store.executors.register(alive._owner, "server", None)
    for _ in range(2):
        dead.settle(dead.reserve_now([limit], _one()), _one())
        alive.settle(alive.reserve_now([limit], _one()), _one())
    assert store.budgets.lose_dead() >= 1
    (standing,) = alive.standing([limit])
    assert (standing.spent, standing.lost) == (10, 5)
    dead.give_back(0)  # it was only silent for long: what it gives back is not given twice
    assert alive.standing([limit])[0].spent == standing.spent
    store.budgets.lose(alive._owner)


def test_accounts_that_do_not_answer_let_nobody_through(store: Store, clock: FakeClock) -> None:
    limit, failing = _limit(1000), _Failing(store.budgets)
    budgets = Budgets(failing, clock, f"p-{next(_numbers)}")
    failing.fails = True
    with pytest.raises(Unavailable):
        budgets.reserve_now([limit], _one())
    failing.fails = False
    held = budgets.reserve_now([limit], Amount(requests=20))
    failing.fails = True
    budgets.settle(held, Amount(requests=30))  # ten more than it holds; written later
    with pytest.raises(Unavailable):
        budgets.give_back(0)
    failing.fails = False
    budgets.give_back(0)
    assert _spent(budgets, limit) == 30


class _Failing:
    """Accounts that can be out of reach."""

    def __init__(self, store: BudgetStore) -> None:
        self._store = store
        self.fails = False
        self.n_asked = 0

    def __getattr__(self, name: str) -> Any:
        return self._reached(getattr(self._store, name))

    def _reached(self, work: Any) -> Any:
        def ask(*arguments: Any) -> Any:
            self.n_asked += 1
            if self.fails:
                raise Unavailable("The database does not answer. Try again.")
            return work(*arguments)

        return ask


def test_a_refusal_does_not_ask_the_accounts_each_time(store: Store, clock: FakeClock) -> None:
    counting = _Failing(store.budgets)
    budgets, limit = Budgets(counting, clock, f"p-{next(_numbers)}"), _limit(1)
    held = budgets.reserve_now([limit], _one())
    for _ in range(50):
        with pytest.raises(OverBudget):
            budgets.reserve_now([limit], _one())
    assert counting.n_asked == 2
    budgets.release(held)
    budgets.give_back(0)
    clock.advance(0.3)
    budgets.reserve_now([limit], _one())


def test_a_caller_who_goes_away_while_waiting_holds_nothing(store: Store, clock: FakeClock) -> None:
    answers = threading.Event()

    class Slow:
        def hold(self, owner: str, wants: Sequence[Want]) -> list[Granted]:
            assert answers.wait(10)
            return store.budgets.hold(owner, wants)

        def __getattr__(self, name: str) -> Any:
            return getattr(store.budgets, name)

    limit, budgets = _limit(1), Budgets(Slow(), clock, f"p-{next(_numbers)}")

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await budgets.reserve([limit], _one())
        answers.set()
        for _ in range(500):
            await asyncio.sleep(0.01)
            if budgets._current[limit.key].room:
                return
        pytest.fail("it is still held")

    asyncio.run(run())


def test_threads_share_a_budget(budgets: Budgets) -> None:
    limit = _limit(300)

    def work(_: int) -> int:
        return sum(_until_refused(budgets, limit))

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(work, range(8))) == 300


def test_five_hundred_at_once_on_a_budget_for_a_hundred(budgets: Budgets) -> None:
    limit = _limit(1000, measure="money")

    async def call() -> bool:
        try:
            held = await budgets.reserve([limit], Amount(micro=10))
        except OverBudget:
            return False
        await asyncio.sleep(0.001)
        budgets.settle(held, Amount(micro=10))
        return True

    async def run() -> int:
        return sum(await asyncio.gather(*(call() for _ in range(500))))

    assert asyncio.run(run()) == 100
    budgets.give_back(0)
    assert _spent(budgets, limit) == 1000


@pytest.mark.slow
def test_five_hundred_at_once_from_several_processes_of_which_one_is_killed(
    home: Settings, store: Store, tmp_path: Path
) -> None:
    limit = _limit(1000, measure="money", period="total")
    owners = [f"child-{next(_numbers)}" for _ in range(4)]
    children = [Child(spend, home, owner, limit, 125) for owner in owners]
    with running(*children):
        first = children[0].next()
        said = [first, *children[0].kill()]
        for child in children[1:]:
            said += child.finish()
    n_spent = said.count("spent")
    assert n_spent <= 100
    store.budgets.lose_dead()
    (standing,) = Budgets(store.budgets, FakeClock(), "reader").standing([limit])
    assert standing.held == 0
    assert n_spent * 10 <= standing.spent <= 1000
    assert standing.spent >= 1000 - 20  # nothing is refused for what nobody needs


def test_what_is_granted_while_others_tidy_up_is_not_lost(store: Store, clock: FakeClock) -> None:
    class Tidied:
        def hold(self, owner: str, wants: Sequence[Want]) -> list[Granted]:
            granted = store.budgets.hold(owner, wants)
            clock.advance(5)
            asking.give_back()
            return granted

        def __getattr__(self, name: str) -> Any:
            return getattr(store.budgets, name)

    limit, asking = _limit(1), Budgets(Tidied(), clock, f"p-{next(_numbers)}")
    asking.release(asking.reserve_now([limit], _one()))
    asking.give_back(0)
    assert _spent(asking, limit) == 0


class _Process:
    """One process of a model world: what it holds for calls, and what it has counted."""

    def __init__(self, store: BudgetStore, clock: FakeClock) -> None:
        self.owner = f"model-{next(_numbers)}"
        self.budgets = Budgets(store, clock, self.owner)
        self.calls: list[tuple[Reservation, int]] = []


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "reserve", "settle", "release", "back", "kill", "wait"]),
        st.integers(0, 2),
        st.integers(1, 40),
        st.floats(0, 1),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(steps=_STEPS, most=st.integers(20, 200))
def test_whatever_happens_no_more_is_spent_than_allowed_and_nothing_is_forgotten(
    store: Store, steps: list[tuple[str, int, int, float]], most: int
) -> None:
    clock, limit = FakeClock(), _limit(most, measure="tokens")
    processes = [_Process(store.budgets, clock) for _ in range(3)]
    settled = lost = 0
    refused_at = []
    for what, which, asked, part in steps:
        process = processes[which]
        if what == "reserve":
            try:
                process.calls.append((process.budgets.reserve_now([limit], _one(asked)), asked))
            except OverBudget as error:
                refused_at.append(error.spent + asked)
        elif what in ("settle", "release") and process.calls:
            held, amount = process.calls.pop()
            taken = round(amount * part) if what == "settle" else 0
            process.budgets.settle(held, _one(taken))
            settled += taken
        elif what == "back":
            process.budgets.give_back(part)
        elif what == "kill":
            lost += sum(amount for _, amount in process.calls)
            store.budgets.lose(process.owner)
            processes[which] = _Process(store.budgets, clock)
        clock.advance(part)
        under_way = sum(amount for one in processes for _, amount in one.calls)
        (standing,) = processes[0].budgets.standing([limit])
        assert settled + lost + under_way <= standing.spent <= most
        assert standing.lost >= lost
    assert all(amount > most for amount in refused_at)  # never for nothing
    for process in processes:
        for held, _ in process.calls:
            process.budgets.release(held)
        process.budgets.give_back(0)
    (standing,) = processes[0].budgets.standing([limit])
    assert settled + lost <= standing.spent <= settled + standing.lost
    assert standing.held == 0


@pytest.mark.alone
def test_a_call_costs_no_more_than_some_plain_steps(store: Store) -> None:
    budgets = Budgets(store.budgets, SystemClock(), "fast")
    limits = [_limit(10**12, measure=m, period=p) for m, p in (("money", "day"), ("tokens", "month"))]
    limits += [_limit(10**9, period="minute"), _limit(10**9, period="hour")]
    estimate, actual = Amount(micro=100, tokens=10), Amount(micro=70, tokens=7)

    def calls() -> None:
        for _ in range(2_000):
            budgets.settle(budgets.reserve_now(limits, estimate), actual)

    steps = times_as_long(calls, lambda: plain_work(2_000), rounds=7, now=time.perf_counter)
    assert steps < 450, "usually 180: neither the database nor the disk is asked"


def test_accounts_of_long_ago_are_forgotten(store: Store, budgets: Budgets, clock: FakeClock) -> None:
    limit = _limit(5, period="minute")
    budgets.settle(budgets.reserve_now([limit], _one()), _one())
    account = budgets.standing([limit])[0].account
    assert store.budgets.clean(account.ends_us) == 0 or _spent(budgets, limit) == 1
    assert store.budgets.clean(account.ends_us + 1) >= 1
    assert store.budgets.standing([Account(*account)])[0].spent == 0


def test_accounts_are_found_by_their_key_and_period(store: Store) -> None:
    keys = ("principal:a_c/ann/tokens/day", "principal:a_c/bob/tokens/day", "principal:abc/eve/tokens/day")
    other = ("principal:a_c/ann/tokens/hour", "principal:a_c/old/tokens/day")
    store.budgets.owe(Account(other[1], 0, 10), 1)
    for key in (*keys, other[0]):
        store.budgets.owe(Account(key, 10, 20), 5)
    found = store.budgets.find("principal:a_c/", "/tokens/day", 10)
    assert found == [Account(key, 10, 20) for key in keys[:2]]
    assert store.budgets.find("principal:a_c/", "/tokens/day", 20) == []
