from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.access.grants import (
    LONGEST_S,
    NEVER_BY_GRANT,
    Approve,
    End,
    Event,
    Grants,
    Refuse,
    standing,
    transition,
)
from headrace.access.policy import ACTIONS
from headrace.core.errors import Denied, IllegalTransition
from headrace.core.identity import Grant, Resource
from headrace.testing import START, FakeClock, MemoryEpoch, MemoryRecords

NAMES = ("ann", "bob", "root")
CARS = Resource(kind="project", name="cars", project="cars")
RELEASE = Resource(kind="release", name="r1", project="cars")


def make_grant(**changes: object) -> Grant:
    given = {
        "id": "g1",
        "workspace": "main",
        "subject": "bob",
        "role": "validator",
        "resource": "project:cars",
        "reason": "friday",
        "asked_by": "ann",
        "asked_at": START,
        "duration_s": 3600,
    }
    return Grant(**(given | changes))  # type: ignore[arg-type]


class GrantLife(RuleBasedStateMachine):
    """Whatever happens in whatever order, a role is held only between an approval by a third and its end."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.records = MemoryRecords[Grant]()
        self.epoch = MemoryEpoch()
        self.grants = Grants(self.records, self.epoch, self.clock)
        self.grant = self.records.add(make_grant())
        self.held_from: float | None = None
        self.held_until: float | None = None

    @rule(by=st.sampled_from(NAMES), kind=st.sampled_from([Approve, Refuse, End]))
    def step(self, by: str, kind: type[Approve | Refuse | End]) -> None:
        """Somebody tries something."""
        before, event = self.grant, kind(by=by, at=self.clock.now())
        try:
            after = transition(before, event)
        except (Denied, IllegalTransition):
            return
        assert after.revision == before.revision + 1
        self.grant = self.records.change(after)
        self.epoch.advance()
        now_s = self.clock.monotonic_s()
        if kind is Approve:
            assert by == "root"
            assert self.held_from is None, "a grant begins once"
            self.held_from, self.held_until = now_s, now_s + before.duration_s
        if kind is End:
            self.held_until = now_s

    @rule(duration_s=st.sampled_from([0.5, 600.0, 3600.0]))
    def wait(self, duration_s: float) -> None:
        """Time passes."""
        self.clock.advance(duration_s)

    @invariant()
    def held_exactly_then(self) -> None:
        """The role is there from the approval until the end, and at no other moment."""
        now_s = self.clock.monotonic_s()
        expected = self.held_until is not None and now_s < self.held_until
        assert (self.grants.roles("bob", CARS) == ("validator",)) is expected
        assert self.grants.roles("ann", CARS) == ()
        assert (standing(self.grant, self.clock.now()).state == "active") is expected

    @precondition(lambda self: self.grant.state == "refused")
    @invariant()
    def refused_for_good(self) -> None:
        """What was refused never begins."""
        assert self.held_from is None


TestGrantLife = GrantLife.TestCase
TestGrantLife.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)


@pytest.mark.parametrize("event", [Approve(by="ann", at=START), Refuse(by="bob", at=START)])
def test_it_is_decided_by_a_third(event: Event) -> None:
    with pytest.raises(Denied, match="somebody else has to decide"):
        transition(make_grant(), event)


@given(
    resource=st.sampled_from(["project:cars", "project:vans", "workspace:main", "workspace:other"]),
    on=st.sampled_from(
        [CARS, Resource(kind="release", name="r1", project="cars"), Resource(kind="tool", name="cars")]
    ),
)
def test_a_grant_covers_a_project_with_what_belongs_to_it_or_a_whole_workspace(
    resource: str, on: Resource
) -> None:
    clock, records = FakeClock(), MemoryRecords[Grant]()
    records.add(make_grant(resource=resource, state="active", ends_at=START + timedelta(seconds=LONGEST_S)))
    held = Grants(records, MemoryEpoch(), clock).roles("bob", on)
    assert (held == ("validator",)) == (resource in {f"project:{on.project}", "workspace:main"})


def test_rights_that_outlive_a_grant_are_actions_that_exist() -> None:
    assert set(ACTIONS) >= NEVER_BY_GRANT
    assert {
        a for a in ACTIONS if a.startswith(("grant.", "policy.")) and a != "policy.read"
    } <= NEVER_BY_GRANT
