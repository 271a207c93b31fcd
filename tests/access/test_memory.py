from __future__ import annotations

from headrace.access.memory import Fresh, Memory
from headrace.testing import FakeClock, MemoryEpoch


def test_a_repeated_question_is_answered_from_memory_until_something_changes() -> None:
    asked: list[str] = []
    epoch, clock = MemoryEpoch(), FakeClock()

    def look_up(key: str) -> int:
        asked.append(key)
        return len(asked)

    memory = Memory(look_up, epoch, clock)
    assert [memory.get("a"), memory.get("a"), memory.get("b")] == [1, 1, 2]
    epoch.advance()
    assert memory.get("a") == 3
    clock.advance(0.5)
    assert memory.get("a") == 4


def test_what_was_looked_up_before_a_change_is_not_trusted_after_it() -> None:
    epoch = MemoryEpoch()
    fresh: Fresh[str, int] = Fresh(epoch, FakeClock())
    before = fresh.now()
    epoch.advance()
    assert fresh.now() == {}
    before["a"] = 1
    assert "a" not in fresh.now()


def test_it_does_not_grow_beyond_its_bound() -> None:
    fresh: Fresh[int, int] = Fresh(MemoryEpoch(), FakeClock(), max_kept=3)
    for number in range(10):
        fresh.now()[number] = number
        assert len(fresh.now()) <= 3
