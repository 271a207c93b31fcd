"""Links that sign a person in once."""

from __future__ import annotations

from headrace.access.tickets import TICKET_S, Tickets
from headrace.testing import FakeClock, MemoryExpiring


def _tickets(clock: FakeClock) -> Tickets:
    return Tickets(MemoryExpiring(clock), clock)


def test_a_ticket_signs_in_once() -> None:
    tickets = _tickets(FakeClock())
    first, second = tickets.issue("ada"), tickets.issue("grace")
    assert len(first) >= 43  # 32 random bytes
    assert tickets.redeem(second) == "grace"
    assert tickets.redeem(first) == "ada"
    assert tickets.redeem(first) is None


def test_a_ticket_ends_after_ten_minutes() -> None:
    clock = FakeClock()
    tickets = _tickets(clock)
    early, late = tickets.issue("ada"), tickets.issue("ada")
    clock.advance(TICKET_S - 1)
    assert tickets.redeem(early) == "ada"
    clock.advance(1)
    assert tickets.redeem(late) is None


def test_the_old_tickets_of_one_person_make_room() -> None:
    clock = FakeClock()
    tickets = _tickets(clock)
    other = tickets.issue("grace")
    issued = []
    for _ in range(101):
        issued.append(tickets.issue("ada"))
        clock.advance(1)
    assert tickets.redeem(issued[0]) is None
    assert tickets.redeem(issued[-1]) == "ada"
    assert tickets.redeem(other) == "grace"
