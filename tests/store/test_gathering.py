from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from headrace.core.errors import Conflict, Unavailable
from headrace.store.gathering import Gathering


def test_everybody_gets_their_own_result() -> None:
    doubled: Gathering[int, int] = Gathering(lambda items: [item * 2 for item in items])
    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(doubled.do, range(500))) == [2 * n for n in range(500)]


def test_those_who_arrive_meanwhile_go_together() -> None:
    began, go_on = threading.Event(), threading.Event()
    batches: list[list[int]] = []

    def together(items: list[int]) -> list[int]:
        batches.append(items)
        began.set()
        assert go_on.wait(10)
        return items

    gathering = Gathering(together)
    with ThreadPoolExecutor(5) as threads:
        first = threads.submit(gathering.do, 0)
        assert began.wait(10)
        others = [threads.submit(gathering.do, n) for n in range(1, 5)]
        while len(gathering._next.items) < 4:
            pass
        go_on.set()
        assert first.result() == 0
        assert [other.result() for other in others] == [1, 2, 3, 4]
    assert [sorted(batch) for batch in batches] == [[0], [1, 2, 3, 4]]


def test_an_error_is_everybodys_and_the_next_batch_starts_anew() -> None:
    def together(items: list[int]) -> list[int]:
        if -1 in items:
            raise Conflict("no")
        return items

    gathering = Gathering(together)
    with pytest.raises(Conflict, match="no"):
        gathering.do(-1)
    assert gathering.do(3) == 3


def test_an_interruption_is_the_leaders_and_the_others_are_told() -> None:
    began, go_on = threading.Event(), threading.Event()

    def together(items: list[int]) -> list[int]:
        if 0 in items:
            began.set()
            assert go_on.wait(10)
        elif 1 in items:
            raise KeyboardInterrupt
        return items

    def interrupted(item: int) -> str:
        try:
            gathering.do(item)
        except KeyboardInterrupt:
            return "interrupted"
        except Unavailable:
            return "told"
        return "done"

    gathering = Gathering(together)
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(interrupted, 0)
        assert began.wait(10)
        leader = threads.submit(interrupted, 1)
        while not gathering._next.items:
            pass
        other = threads.submit(interrupted, 2)
        while len(gathering._next.items) < 2:
            pass
        go_on.set()
        assert [first.result(), leader.result(), other.result()] == ["done", "interrupted", "told"]
    assert gathering.do(5) == 5
