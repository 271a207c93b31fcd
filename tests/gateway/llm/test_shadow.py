"""What is wanted and not approved is counted in bounded memory, and of keys only a hash."""

from __future__ import annotations

import pytest

from headrace.gateway.llm.shadow import MOST, MOST_KEYS, OTHERS, Counted, ShadowCounts, Wanted, short
from headrace.testing import START, FakeClock


def test_it_is_counted_with_its_first_and_last_time_and_taken_once() -> None:
    clock = FakeClock()
    counts, wanted = ShadowCounts(clock), Wanted("model", "gpt-4o", "ann", "main")
    counts.note(wanted)
    clock.advance(60)
    counts.model("gpt-4o", "ann", "main")
    taken = counts.take()
    assert list(taken) == [wanted]
    assert (taken[wanted].n, taken[wanted].first_at, taken[wanted].last_at) == (2, START, clock.now())
    assert counts.take() == {}
    counts.note(wanted)
    counts.put_back(taken)
    assert counts.take()[wanted].n == 3


def test_many_names_fill_no_memory_and_nothing_unprintable_is_kept() -> None:
    counts = ShadowCounts(FakeClock())
    for number in range(MOST + 50):
        counts.model(f"m{number}\n\x1b[31m" + "x" * 500, "ann", "main")
    taken = counts.take()
    assert len(taken) == MOST + 1
    assert taken[Wanted("model", OTHERS, OTHERS, "main")].n == 50
    assert all(one.what.isprintable() and len(one.what) <= 80 for one in taken)


def test_of_a_key_a_short_hash_is_kept() -> None:
    counts = ShadowCounts(FakeClock())
    counts.key("sk-ant-very-secret")
    counts.key("")
    (found,) = counts.take()
    assert (found.what, found.note) == (short("sk-ant-very-secret"), "Anthropic")
    assert len(found.what) == 12
    assert "secret" not in repr(found)


@pytest.mark.requirement("GOV-08")
def test_an_outage_fills_no_memory_and_loses_no_count() -> None:
    clock = FakeClock()
    counts = ShadowCounts(clock)
    before: dict[Wanted, Counted] = {}
    for turn in range(4):
        for number in range(MOST):
            counts.model(f"turn {turn} of {number}", "ann", "main")
        clock.advance(5)
        counts.put_back(before)
        before = counts.take()
        assert len(before) == MOST + (turn > 0)
    assert sum(one.n for one in before.values()) == 4 * MOST
    others = before[Wanted("model", OTHERS, OTHERS, "main")]
    assert (others.n, (others.last_at - others.first_at).total_seconds()) == (3 * MOST, 10)


@pytest.mark.requirement("GOV-08")
def test_keys_that_anybody_may_show_are_few_and_take_no_room_of_the_rest() -> None:
    counts = ShadowCounts(FakeClock())
    for number in range(MOST * 2):
        counts.key(f"sk-{number}")
    counts.model("gpt-4o", "ann", "main")
    taken = counts.take()
    assert len(taken) == MOST_KEYS + 2
    assert taken[Wanted("key", OTHERS, OTHERS, "main")].n == MOST * 2 - MOST_KEYS
    assert taken[Wanted("model", "gpt-4o", "ann", "main")].n == 1
