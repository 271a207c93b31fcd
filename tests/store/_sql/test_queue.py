from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from headrace.core.ports import JobStore, Queue
from headrace.core.settings import Settings
from headrace.store import Store, open_store
from headrace.testing import FakeClock, JobStoreSuite, QueueSuite
from headrace.testing.suites.queue import LEASE_S
from tests.store.children import Child, running, take_items


class TestSqlJobs(JobStoreSuite):
    @pytest.fixture
    def jobs(self, store: Store) -> JobStore:
        return store.jobs


@pytest.mark.requirement("SRV-03")
class TestSqlQueue(QueueSuite):
    @pytest.fixture
    def queue(self, store: Store) -> Queue:
        return store.queue

    @pytest.fixture
    def reopen(self, settings: Settings, clock: FakeClock) -> Iterator[Callable[[], Queue]]:
        opened: list[Store] = []

        def again() -> Queue:
            clock.advance(LEASE_S)
            opened.append(open_store(settings, clock))
            return opened[-1].queue

        yield again
        for store in opened:
            store.close()

    @pytest.fixture
    def pause(self, clock: FakeClock) -> Callable[[float], None]:
        return clock.advance


def test_what_was_lent_to_another_meanwhile_cannot_be_given_back(store: Store, clock: FakeClock) -> None:
    store.queue.put("main", "a")
    (slow,) = store.queue.take(1, LEASE_S)
    clock.advance(LEASE_S)
    (fast,) = store.queue.take(1, LEASE_S)
    for give_back in (store.queue.done, store.queue.bury, lambda one: store.queue.again(one, 0.0)):
        give_back(slow)
    assert (store.queue.waiting(), store.queue.buried()) == ({"main": 1}, {})
    assert store.queue.take(1, LEASE_S) == []
    store.queue.done(fast)
    assert store.queue.waiting() == {}


@pytest.mark.requirement("SRV-03")
def test_nothing_waits_for_a_clock_that_was_put_back(store: Store, clock: FakeClock) -> None:
    for item in ("lent", "put off", "new"):
        store.queue.put("main", item)
    lent, later = store.queue.take(2, LEASE_S)
    store.queue.again(later, 2.0)
    clock.set(clock.now() - timedelta(hours=1))
    # What was lent comes a second time, which takers have to bear anyway; nothing comes an hour late.
    taken = store.queue.take(10, LEASE_S)
    assert [(one.item, one.attempt) for one in taken] == [("lent", 2), ("put off", 2), ("new", 1)]
    store.queue.done(lent)
    assert store.queue.take(10, LEASE_S) == []
    for one in taken:
        store.queue.done(one)
    assert store.queue.waiting() == {}


@pytest.mark.requirement("SRV-03")
def test_what_a_process_of_this_machine_held_comes_back_as_soon_as_it_is_gone(
    store: Store, settings: Settings, clock: FakeClock
) -> None:
    for item in "ab":
        store.queue.put("main", item)
    child = Child(take_items, settings, LEASE_S)
    with running(child):
        assert child.next() == ["a", "b"]
        store.queue.put("main", "c")
        (mine,) = store.queue.take(10, LEASE_S)
        clock.advance(2.0)
        assert store.queue.take(10, LEASE_S) == [], "the other one lives"
        child.kill()
        clock.advance(2.0)
        taken = store.queue.take(10, LEASE_S)
        assert [(one.item, one.attempt) for one in taken] == [("a", 2), ("b", 2)]
    for one in (mine, *taken):
        store.queue.done(one)
    assert store.queue.waiting() == {}
