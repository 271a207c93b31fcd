from __future__ import annotations

import pytest

from headrace.access.tries import TooManyTries, Tries
from headrace.testing import FakeClock


def test_after_the_last_guess_nothing_is_heard_until_the_window_ends() -> None:
    clock = FakeClock()
    tries = Tries(clock, most=3, window_s=60)
    assert [tries.wrong("bot") for _ in range(3)] == [False, False, True]
    clock.advance(59)
    with pytest.raises(TooManyTries) as raised:
        tries.check("bot")
    assert raised.value.retry_after_s == 2
    tries.check("other")
    clock.advance(1)
    tries.check("bot")
    assert tries.wrong("bot") is False


def test_a_window_begins_with_its_first_guess() -> None:
    clock = FakeClock()
    tries = Tries(clock, most=2, window_s=60)
    tries.wrong("bot")
    clock.advance(61)
    assert tries.wrong("bot") is False
    tries.check("bot")


def test_names_that_nobody_has_do_not_fill_the_memory() -> None:
    tries = Tries(FakeClock(), most=1, max_names=3)
    for name in "abcd":
        tries.wrong(name)
    tries.check("a")
    for name in "bcd":
        with pytest.raises(TooManyTries):
            tries.check(name)
