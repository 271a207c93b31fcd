from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from headrace.core.errors import NotFound
from headrace.core.ports import ExecutorStore
from headrace.core.settings import Settings
from headrace.store import Store
from headrace.store._sql.engine import Database
from headrace.store._sql.executors import SqlExecutors
from headrace.testing import ExecutorStoreSuite, FakeClock
from tests.store.children import Child, register, running


class TestSqlExecutorStore(ExecutorStoreSuite):
    @pytest.fixture
    def executors(self, store: Store) -> ExecutorStore:
        return store.executors


@dataclass(frozen=True)
class Machine:
    """A machine with the processes that we say it has."""

    host: str = "one/boot-1/ns"
    pid: int = 10
    alive: dict[int, str] = field(default_factory=lambda: {10: "100"})

    def started(self, pid: int) -> str | None:
        return self.alive.get(pid)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    opened = Database(settings.database_url)
    yield opened
    opened.close()


def test_a_process_that_is_gone_is_dead_at_once(database: Database, clock: FakeClock) -> None:
    here = Machine()
    SqlExecutors(database, clock, here).register("e", "worker", None)
    neighbour = SqlExecutors(database, clock, replace(here, pid=11, alive={11: "5"}))
    assert neighbour.dead() == ["e"]
    assert neighbour.living("worker") == []


def test_another_process_under_the_same_number_is_not_the_same(database: Database, clock: FakeClock) -> None:
    here = Machine()
    SqlExecutors(database, clock, here).register("e", "worker", None)
    assert SqlExecutors(database, clock, replace(here, pid=11, alive={10: "999"})).dead() == ["e"]


def test_on_this_machine_silence_is_no_death(database: Database, clock: FakeClock) -> None:
    executors = SqlExecutors(database, clock, Machine())
    executors.register("e", "worker", None)
    clock.advance(3600)
    assert executors.dead() == []


@pytest.mark.parametrize("host", ["two/boot-1/ns", "one/boot-2/ns", "one/boot-1/other"])
def test_elsewhere_a_minute_of_silence_is_death(database: Database, clock: FakeClock, host: str) -> None:
    here = SqlExecutors(database, clock, Machine())
    elsewhere = SqlExecutors(database, clock, Machine(host=host, pid=10, alive={}))
    here.register("e", "worker", "http://one")
    clock.advance(60)
    assert elsewhere.dead() == []
    assert elsewhere.living("worker") == [("e", "http://one")]
    clock.advance(1)
    assert elsewhere.dead() == ["e"]
    assert elsewhere.living("worker") == []
    here.heartbeat("e")
    assert elsewhere.dead() == []


def test_a_process_whose_work_was_taken_over_learns_it(database: Database, clock: FakeClock) -> None:
    here = SqlExecutors(database, clock, Machine())
    elsewhere = SqlExecutors(database, clock, Machine(host="two/b/n", pid=7, alive={7: "1"}))
    here.register("e", "worker", None)
    clock.advance(61)
    elsewhere.register("f", "worker", None)
    assert elsewhere.claim("e", "f")
    elsewhere.forget("e")
    with pytest.raises(NotFound, match="took its work over"):
        here.heartbeat("e")


def test_the_living_are_not_forgotten(database: Database, clock: FakeClock) -> None:
    executors = SqlExecutors(database, clock, Machine())
    executors.register("e", "worker", "here")
    executors.forget("e")
    assert executors.living("worker") == [("e", "here")]


def test_the_living_are_found_the_newest_first(database: Database, clock: FakeClock) -> None:
    executors = SqlExecutors(database, clock, Machine())
    for name in ("a", "b", "c"):
        executors.register(name, "server", f"http://{name}")
        clock.advance(1)
    executors.release("c")
    assert executors.living("server") == [("b", "http://b"), ("a", "http://a")]


def test_a_process_killed_with_9_is_dead_at_once(store: Store, settings: Settings) -> None:
    child = Child(register, settings, "child")
    with running(child):
        child.next()
        assert store.executors.dead() == []
        child.kill()
        assert store.executors.dead() == ["child"]


def test_a_silence_parts_the_time_over_which_a_process_was_there(
    database: Database, clock: FakeClock
) -> None:
    executors, began = SqlExecutors(database, clock, Machine()), clock.now()
    executors.register("e", "server", "http://e")
    clock.advance(60)
    executors.heartbeat("e")
    clock.advance(61)
    executors.heartbeat("e")
    clock.advance(2)
    executors.heartbeat("e")
    found = [(one.started_at - began, one.seen_at - began) for one in executors.uptime("server", began)]
    seconds = [(start.total_seconds(), end.total_seconds()) for start, end in found]
    assert seconds == [(0, 60), (121, 123)]
    clock.advance(401 * 86_400)
    executors.register("f", "server", None)
    assert [one.executor_id for one in executors.uptime("server", began)] == ["f"]
