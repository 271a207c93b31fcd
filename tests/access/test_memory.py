from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from headrace.access.memory import Fresh, Memory
from headrace.testing import FakeClock, MemoryEpoch, make_principal, make_project
from tests.access.people import Door


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


def test_answers_of_one_edition_stay_until_another_machine_changes_something() -> None:
    asked: list[str] = []
    editions = ["first"]
    epoch, clock = MemoryEpoch(), FakeClock()

    def look_up(key: str) -> str:
        asked.append(key)
        return f"{key} of {editions[-1]}"

    memory = Memory(look_up, epoch, clock, edition=lambda: editions[-1])
    for _ in range(20):
        assert [memory.get("a"), memory.get("b")] == ["a of first", "b of first"]
        clock.advance(0.4)
    assert asked == ["a", "b"]
    editions.append("second")
    clock.advance(0.5)
    assert memory.get("a") == "a of second", "within half a second"
    clock.advance(60)
    memory.get("a")
    asked.clear()
    for _ in range(200):
        clock.advance(0.5)
        memory.get("a")
    assert asked == []
    epoch.advance()
    memory.get("a")
    assert asked == ["a"], "a change on this machine counts at once, whatever the edition is"
    clock.advance(60)
    memory.get("a")
    asked.clear()
    for _ in range(700):
        clock.advance(0.5)
        memory.get("a")
    assert asked == ["a"], "nothing is believed for ever"


@given(st.lists(st.floats(0.01, 0.9), min_size=1, max_size=30), st.integers(0, 29))
def test_what_rests_on_another_memory_is_right_a_second_after_a_change(
    waits: list[float], change_at: int
) -> None:
    """Another machine's change, which advances no epoch here, at any moment between any looks."""
    kept, clock, epoch = ["old"], FakeClock(), MemoryEpoch()

    def edition() -> object:
        return len(kept)

    inner: Memory[str, str] = Memory(lambda _key: kept[-1], epoch, clock, edition=edition)
    middle = Memory(inner.get, epoch, clock, edition=edition, levels=1)
    outer = Memory(middle.get, epoch, clock, edition=edition, levels=2)
    changed_s = None
    for number, wait in enumerate(waits):
        if number == change_at:
            kept.append("new")
            changed_s = clock.monotonic_s()
        for memory in (inner, outer, middle):
            found = memory.get("a")
            if changed_s is not None and clock.monotonic_s() - changed_s > 1.5:
                assert found == "new"
        clock.advance(wait)
    clock.advance(10)
    assert outer.get("a") == kept[-1]


def test_what_was_looked_up_while_something_changed_is_not_taken_for_the_new_edition() -> None:
    editions = ["first"]
    clock = FakeClock()
    fresh: Fresh[str, str] = Fresh(MemoryEpoch(), clock, edition=lambda: editions[-1])
    before = fresh.now()
    before["a"] = "of first"
    editions.append("second")
    clock.advance(0.5)
    assert fresh.now() == {}
    before["b"] = "of first, late"
    assert fresh.now() == {}


def test_what_is_known_of_a_project_stays_known_until_any_machine_declares_one_anew(door: Door) -> None:
    me, projects = make_principal(), door.store.projects
    project = make_project()
    projects.save(project, "")
    rules, cars = door.access.privacy.rules("cars"), door.access.resources.describe("project:cars", me)
    door.clock.advance(60)
    assert door.access.privacy.rules("cars") is rules
    assert door.access.resources.describe("project:cars", me) is cars
    # Another machine's change: this home's epoch stays where it is.
    projects.save(replace(project, risk="high"), "")
    door.clock.advance(0.5)
    assert door.access.privacy.rules("cars").project.risk == "high"
    assert door.access.resources.describe("project:cars", me).risk == "high"
    assert door.access.resources.describe("project:vans", me).workspace == "main"
    projects.save(make_project(name="vans"), "", "theirs")
    door.clock.advance(0.5)
    assert door.access.resources.describe("project:vans", me).workspace == "theirs"
