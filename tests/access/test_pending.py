from __future__ import annotations

from headrace.access.pending import Pending
from headrace.testing import FakeClock


def test_a_value_is_taken_once() -> None:
    pending: Pending[int] = Pending(FakeClock())
    pending.put("a", 1)
    assert pending.look("a") == 1
    assert pending.take("a") == 1
    assert pending.take("a") is None
    assert pending.look("a") is None


def test_the_newest_value_stands() -> None:
    pending: Pending[int] = Pending(FakeClock())
    pending.put("a", 1)
    pending.put("a", 2)
    assert pending.take("a") == 2


def test_a_value_waits_for_a_while_only() -> None:
    clock = FakeClock()
    pending: Pending[int] = Pending(clock, ttl_s=60)
    pending.put("a", 1)
    pending.put("b", 1)
    clock.advance(59)
    assert pending.take("a") == 1
    clock.advance(1)
    assert pending.look("b") is None
    assert pending.take("b") is None


def test_the_oldest_makes_room() -> None:
    pending: Pending[int] = Pending(FakeClock(), max_kept=2)
    for name in "abc":
        pending.put(name, 1)
    assert [pending.take(name) for name in "abc"] == [None, 1, 1]
