"""What every executor store promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from headrace.core.ports import ExecutorStore


class ExecutorStoreSuite:
    """Fixture ``executors``: an empty store that takes this process for what it is, alive."""

    def test_a_registered_process_lives(self, executors: ExecutorStore) -> None:
        executors.register("e-1", "server", "http://127.0.0.1:8000")
        executors.heartbeat("e-1")
        assert executors.dead() == []
        assert executors.living("server") == [("e-1", "http://127.0.0.1:8000")]
        assert executors.living("worker") == []

    def test_a_released_process_is_dead(self, executors: ExecutorStore) -> None:
        executors.register("e-1", "server", None)
        executors.release("e-1")
        assert executors.dead() == ["e-1"]
        assert executors.living("server") == []

    def test_it_is_known_when_a_process_was_there_also_once_it_is_forgotten(
        self, executors: ExecutorStore
    ) -> None:
        long_ago = datetime(2000, 1, 1, tzinfo=UTC)
        for name, role in (("e-1", "server"), ("e-2", "worker")):
            executors.register(name, role, f"http://{name}")
        executors.heartbeat("e-1")
        (there,) = executors.uptime("server", long_ago)
        assert there.executor_id == "e-1"
        assert there.address == "http://e-1"
        assert there.started_at <= there.seen_at
        assert not there.ended
        executors.release("e-1")
        executors.forget("e-1")
        (gone,) = executors.uptime("server", long_ago)
        assert (gone.started_at, gone.ended) == (there.started_at, True)
        assert executors.uptime("server", gone.seen_at + timedelta(seconds=1)) == []

    def test_releasing_again_is_no_error(self, executors: ExecutorStore) -> None:
        executors.register("e-1", "server", None)
        for _ in range(2):
            executors.release("e-1")
        executors.release("never-registered")
        assert executors.dead() == ["e-1"]

    def test_registering_again_changes_the_address(self, executors: ExecutorStore) -> None:
        executors.register("e-1", "server", None)
        executors.register("e-1", "server", "http://127.0.0.1:9000")
        assert executors.living("server") == [("e-1", "http://127.0.0.1:9000")]

    def test_a_dead_one_is_claimed_by_one(self, executors: ExecutorStore) -> None:
        for name in ("dead", "a", "b"):
            executors.register(name, "worker", None)
        executors.release("dead")
        assert executors.claim("dead", "a")
        assert executors.claim("dead", "a")
        assert not executors.claim("dead", "b")

    def test_the_claim_of_one_that_died_can_be_taken(self, executors: ExecutorStore) -> None:
        for name in ("dead", "a", "b"):
            executors.register(name, "worker", None)
        executors.release("dead")
        executors.claim("dead", "a")
        executors.release("a")
        assert executors.claim("dead", "b")
        assert not executors.claim("dead", "b-too-late")

    def test_the_living_and_the_unknown_cannot_be_claimed(self, executors: ExecutorStore) -> None:
        executors.register("a", "worker", None)
        executors.register("b", "worker", None)
        assert not executors.claim("a", "b")
        assert not executors.claim("unknown", "b")

    def test_of_many_claimers_one_wins(self, executors: ExecutorStore) -> None:
        names = [f"e-{n}" for n in range(8)]
        for name in ("dead", *names):
            executors.register(name, "worker", None)
        executors.release("dead")
        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(lambda name: executors.claim("dead", name), names)) == 1

    def test_what_was_taken_over_is_forgotten(self, executors: ExecutorStore) -> None:
        executors.register("dead", "worker", None)
        executors.release("dead")
        executors.forget("dead")
        executors.forget("dead")
        assert executors.dead() == []
        assert not executors.claim("dead", "a")
