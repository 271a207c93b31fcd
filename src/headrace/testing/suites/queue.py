"""What every queue promises."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from headrace.core.ports import Queue, Taken

LEASE_S = 60.0


class QueueSuite:
    """Fixtures ``queue``: an empty one; ``reopen``: closes it as a killed process would, and opens it again
    once leases are over; ``pause``: lets this many seconds pass."""

    @pytest.fixture(autouse=True)
    def _patient(self, pause: Callable[[float], None]) -> None:
        self._pause = pause

    def _take(self, queue: Queue, most: int = 10) -> list[Taken]:
        return queue.take(most, LEASE_S)

    def _wait(self, queue: Queue, count: int) -> list[Taken]:
        """``count`` items; what a broker takes back may take it a moment."""
        taken = self._take(queue, count)
        for _ in range(100):
            if len(taken) >= count:
                break
            self._pause(0.05)
            taken += self._take(queue, count - len(taken))
        assert len(taken) == count
        return taken

    def _settle(self, count: Callable[[], dict[str, int]], expected: dict[str, int]) -> None:
        """What is counted is ``expected`` in a moment, and no later."""
        for _ in range(100):
            if count() == expected:
                break
            self._pause(0.05)
        assert count() == expected

    def test_items_come_in_order_and_once(self, queue: Queue) -> None:
        assert self._take(queue) == []
        for item in "abc":
            queue.put("main", item)
        assert queue.waiting() == {"main": 3}
        first = self._take(queue, 2)
        assert [(one.lane, one.item, one.attempt) for one in first] == [("main", "a", 1), ("main", "b", 1)]
        assert [one.item for one in self._take(queue)] == ["c"]
        assert self._take(queue) == []

    def test_what_is_done_never_comes_again(self, queue: Queue, reopen: Callable[[], Queue]) -> None:
        queue.put("main", "a")
        queue.put("main", "b")
        first, _ = self._take(queue)
        queue.done(first)
        queue.done(first)
        again = reopen()
        assert [(one.item, one.attempt) for one in self._wait(again, 1)] == [("b", 2)]
        assert self._take(again) == []

    def test_what_a_killed_process_held_comes_back(self, queue: Queue, reopen: Callable[[], Queue]) -> None:
        queue.put("main", "a")
        self._take(queue)
        again = reopen()
        (taken,) = self._wait(again, 1)
        assert (taken.item, taken.attempt) == ("a", 2)
        again.done(taken)
        assert again.waiting().get("main", 0) == 0

    def test_what_was_put_is_there_after_a_restart(self, queue: Queue, reopen: Callable[[], Queue]) -> None:
        for number in range(50):
            queue.put("main", f"item-{number}")
        again = reopen()
        assert [one.item for one in self._wait(again, 50)] == [f"item-{number}" for number in range(50)]

    def test_a_long_lane_starves_no_other(self, queue: Queue) -> None:
        for number in range(300):
            queue.put("busy", f"busy-{number}")
        queue.put("quiet", "quiet-0")
        queue.put("quiet", "quiet-1")
        lanes: list[str] = []
        for _ in range(6):
            (taken,) = self._take(queue, 1)
            lanes.append(taken.lane)
            queue.done(taken)
        assert lanes.count("quiet") == 2
        assert "quiet" in lanes[:2]

    def test_lanes_take_turns_within_one_call(self, queue: Queue) -> None:
        for number in range(20):
            queue.put("busy", f"busy-{number}")
        for number in range(3):
            queue.put("quiet", f"quiet-{number}")
        taken = self._take(queue, 6)
        assert sorted(one.lane for one in taken) == ["busy"] * 3 + ["quiet"] * 3

    def test_an_item_comes_again_later(self, queue: Queue, pause: Callable[[float], None]) -> None:
        queue.put("main", "a")
        (taken,) = self._take(queue)
        queue.again(taken, 1.0)
        assert self._take(queue) == []
        assert queue.waiting() == {"main": 1}
        pause(1.1)
        (taken,) = self._wait(queue, 1)
        assert (taken.item, taken.attempt) == ("a", 2)

    def test_what_is_buried_comes_when_it_is_revived(self, queue: Queue, reopen: Callable[[], Queue]) -> None:
        for item in "ab":
            queue.put("main", item)
        for taken in self._take(queue):
            queue.bury(taken)
        again = reopen()
        assert self._take(again) == []
        assert again.buried() == {"main": 2}
        again.revive("main", ["a", "never-buried"])
        self._settle(again.buried, {"main": 1})
        taken_again = self._wait(again, 2)
        assert [(one.item, one.attempt) for one in taken_again] == [("a", 1), ("never-buried", 1)]

    def test_several_take_different_items(self, queue: Queue) -> None:
        for number in range(40):
            queue.put("main", f"item-{number}")
        with ThreadPoolExecutor(4) as threads:
            found = [
                one.item for some in threads.map(lambda _: self._take(queue, 10), range(4)) for one in some
            ]
        assert sorted(found) == sorted(f"item-{number}" for number in range(40))
