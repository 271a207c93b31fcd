from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from headrace.access.tickets import Tickets
from headrace.core.identity import Session
from headrace.testing import FakeClock, MemoryEpoch, MemoryExpiring
from headrace.web.sessions import MAX_AGE_S, MAX_IDLE_S, Sessions, Signed


def _tickets(clock: FakeClock) -> Tickets:
    return Tickets(MemoryExpiring(clock), clock)


def _sessions(clock: FakeClock) -> Sessions:
    return Sessions(MemoryExpiring(clock), MemoryEpoch(), clock)


def _who(signed: Signed | None) -> str | None:
    return None if signed is None else signed.name


@given(st.text())
def test_nothing_else_is_a_ticket_or_a_session(text: str) -> None:
    tickets, sessions = _tickets(FakeClock()), _sessions(FakeClock())
    tickets.issue("ada")
    sessions.open("ada")
    assert tickets.redeem(text) is None
    assert sessions.find(text) is None


def test_a_session_ends_after_an_idle_hour_but_use_keeps_it() -> None:
    clock = FakeClock()
    sessions = _sessions(clock)
    value = sessions.open("ada")
    for _ in range(3):
        clock.advance(MAX_IDLE_S - 1)
        assert _who(sessions.find(value)) == "ada"
    clock.advance(MAX_IDLE_S)
    assert sessions.find(value) is None


def test_a_page_that_refreshes_itself_does_not_keep_a_session_awake() -> None:
    clock = FakeClock()
    sessions = _sessions(clock)
    value = sessions.open("ada")
    clock.advance(MAX_IDLE_S - 1)
    assert _who(sessions.find(value, awake=False)) == "ada"
    clock.advance(1)
    assert sessions.find(value) is None


def test_a_session_ends_after_twelve_hours_whatever_happens() -> None:
    clock = FakeClock()
    sessions = _sessions(clock)
    value = sessions.open("ada")
    for _ in range(int(MAX_AGE_S / 1800) - 1):
        clock.advance(1800)
        assert _who(sessions.find(value)) == "ada"
    clock.advance(1800)
    assert sessions.find(value) is None


def test_signing_out_ends_one_session_only() -> None:
    sessions = _sessions(FakeClock())
    mine, other = sessions.open("ada"), sessions.open("ada")
    sessions.close(mine)
    sessions.close(mine)
    sessions.close(None)
    assert sessions.find(mine) is None
    assert _who(sessions.find(other)) == "ada"


def test_the_longest_idle_session_of_one_person_makes_room() -> None:
    clock = FakeClock()
    sessions = _sessions(clock)
    first, second, other = sessions.open("ada"), sessions.open("ada"), sessions.open("bob")
    clock.advance(60)
    assert _who(sessions.find(first)) == "ada"
    for _ in range(99):
        sessions.open("ada")
    clock.advance(1)  # no longer than that is anything remembered
    assert sessions.find(second) is None
    assert _who(sessions.find(first)) == "ada"
    assert _who(sessions.find(other)) == "bob"


def test_use_is_written_once_a_minute_and_reading_is_not() -> None:
    clock = FakeClock()
    expiring = MemoryExpiring(clock)
    sessions = Sessions(expiring, MemoryEpoch(), clock)
    value = sessions.open("ada")
    written = []
    for _ in range(120):
        sessions.find(value)
        clock.advance(1)
        written.append(repr(expiring._kept))
    assert len(set(written)) == 2


def test_nothing_that_is_kept_lets_anybody_in() -> None:
    clock = FakeClock()
    expiring = MemoryExpiring(clock)
    sessions, tickets = Sessions(expiring, MemoryEpoch(), clock), Tickets(expiring, clock)
    value, ticket = sessions.open("ada"), tickets.issue("ada")
    assert value not in repr(expiring._kept)
    assert ticket not in repr(expiring._kept)
    for _, key in expiring._kept:
        assert sessions.find(key) is None
        assert tickets.redeem(key) is None


def test_a_session_knows_the_token_that_it_began_with() -> None:
    sessions = _sessions(FakeClock())
    signed = sessions.find(sessions.open("ada", Session(token="t1", family="f1")))
    assert signed is not None
    assert signed.origin == {"token": "t1", "family": "f1"}
    assert signed.session.family is None


def test_signing_out_everywhere_ends_the_sessions_of_one_person() -> None:
    sessions = _sessions(FakeClock())
    mine, also_mine, other = sessions.open("ada"), sessions.open("ada"), sessions.open("bob")
    assert sessions.close_all("ada") == 2
    assert sessions.find(mine) is None
    assert sessions.find(also_mine) is None
    assert _who(sessions.find(other)) == "bob"


def test_a_proof_is_kept_in_the_session_it_was_given_in() -> None:
    clock = FakeClock()
    sessions = _sessions(clock)
    mine, other = sessions.open("ada"), sessions.open("ada")
    began_at = clock.now()
    clock.advance(60)
    until = clock.now() + timedelta(minutes=10)
    assert sessions.prove(mine, until, "passkey")
    assert not sessions.prove("nothing", until, "passkey")
    assert not sessions.prove(None, until, "passkey")
    signed, unproved = sessions.find(mine), sessions.find(other)
    assert signed is not None
    assert unproved is not None
    assert (signed.session.began_at, signed.session.proved_until, signed.session.proof) == (
        began_at,
        until,
        "passkey",
    )
    assert (unproved.session.proved_until, unproved.session.proof) == (None, None)
    assert signed.session.token != unproved.session.token
    assert signed.session.token not in mine
