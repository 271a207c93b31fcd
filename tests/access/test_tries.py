from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.networks import Place, place_of
from headrace.access.tries import MOST, MOST_OVER_ALL, WINDOW_S, TooManyTries, Tries
from headrace.testing import FakeClock, MemoryExpiring

HERE, THERE = place_of(("93.184.216.34", 1)), place_of(("151.101.1.1", 1))


def _addresses(n: int, network: str = "8.8") -> list[Place]:
    return [place_of((f"{network}.{number // 250}.{number % 250}", 1)) for number in range(n)]


class Shared:
    """What two processes have in common."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.expiring = MemoryExpiring(self.clock)

    def tries(self) -> Tries:
        """As a process opens them."""
        return Tries(self.expiring, self.clock)


def _is_heard(tries: Tries, name: str, place: Place) -> bool:
    try:
        tries.check(name, place)
    except TooManyTries:
        return False
    return True


@pytest.mark.requirement("MCP-04")
def test_after_the_last_guess_nothing_is_heard_from_there_until_the_window_ends() -> None:
    shared = Shared()
    one, other = shared.tries(), shared.tries()
    told = [(one if number % 2 else other).wrong("bot", HERE) for number in range(MOST)]
    assert told == [False] * (MOST - 1) + [True]
    shared.clock.advance(WINDOW_S - 1)
    with pytest.raises(TooManyTries) as raised:
        one.check("bot", HERE)
    assert raised.value.retry_after_s == 1
    assert not _is_heard(other, "bot", HERE)
    assert _is_heard(other, "another", HERE)
    shared.clock.advance(1)
    assert _is_heard(one, "bot", HERE)
    assert one.wrong("bot", HERE) is False


@pytest.mark.requirement("MCP-04")
def test_a_strangers_guesses_do_not_shut_out_who_knows_the_secret() -> None:
    tries = Shared().tries()
    for _ in range(MOST):
        tries.wrong("bot", THERE)
    assert not _is_heard(tries, "bot", THERE)
    assert _is_heard(tries, "bot", HERE)


def test_guesses_from_very_many_addresses_end_but_for_networks_that_the_secret_came_from() -> None:
    shared = Shared()
    tries = shared.tries()
    tries.right("bot", HERE)
    told = [tries.wrong("bot", place) for place in _addresses(MOST_OVER_ALL)]
    assert told == [False] * (MOST_OVER_ALL - 1) + [True]
    fresh = place_of(("9.9.9.9", 1))
    assert not _is_heard(tries, "bot", fresh)
    neighbour = place_of(("93.184.1.1", 1))
    assert _is_heard(tries, "bot", neighbour), "a network is familiar, not one address"
    assert not _is_heard(tries, "bot", THERE)
    for _ in range(MOST):
        tries.wrong("bot", HERE)
    assert not _is_heard(tries, "bot", HERE), "a familiar network guesses no more than others do"
    shared.clock.advance(31 * 86_400)
    for place in _addresses(MOST_OVER_ALL):
        tries.wrong("bot", place)
    assert not _is_heard(tries, "bot", neighbour)


def test_who_guesses_at_every_name_is_not_heard_either() -> None:
    tries = Shared().tries()
    tries.right("bot", HERE)
    for number in range(MOST_OVER_ALL):
        tries.wrong(f"name-{number}", HERE)
    assert not _is_heard(tries, "another", HERE)
    assert _is_heard(tries, "bot", HERE)
    assert _is_heard(tries, "another", THERE)


def test_a_familiar_network_is_written_once_a_day() -> None:
    shared = Shared()
    tries = shared.tries()
    tries.right("bot", HERE)
    before = dict(shared.expiring._kept)
    shared.clock.advance(86_399)
    tries.right("bot", HERE)
    assert shared.expiring._kept == before
    shared.clock.advance(1)
    tries.right("bot", HERE)
    assert shared.expiring._kept != before


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=60))
def test_nobody_is_stopped_by_less_than_ten_of_their_own(guesses: list[tuple[str, int]]) -> None:
    tries, places = Shared().tries(), _addresses(4)
    counts: dict[tuple[str, int], int] = {}
    for name, number in guesses:
        tries.wrong(name, places[number])
        counts[name, number] = counts.get((name, number), 0) + 1
    for name in "ab":
        for number, place in enumerate(places):
            assert _is_heard(tries, name, place) == (counts.get((name, number), 0) < MOST)
