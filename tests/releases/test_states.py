"""The states of a release: only the drawn steps, and four verdicts as one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import IllegalTransition
from headrace.core.release import Outcome4, ReleaseState, Verdict
from headrace.releases.states import ReleaseEvent, next_state, overall

EVENTS = get_args(ReleaseEvent)
ENDED = ("refused", "rejected", "aborted", "rolled_back")


def verdicts(*outcomes: Outcome4) -> list[Verdict]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        Verdict(id=str(i), subject_id="r", gate=str(i), outcome=outcome, reason="", evidence={}, at=at)
        for i, outcome in enumerate(outcomes)
    ]


@given(st.lists(st.sampled_from(EVENTS), max_size=40))
def test_nothing_goes_live_without_gates_and_approval(events: list[ReleaseEvent]) -> None:
    state: ReleaseState = "proposed"
    taken: list[ReleaseEvent] = []
    for event in events:
        try:
            state = next_state(state, event)
        except IllegalTransition:
            continue
        taken.append(event)
    if state == "live":
        assert taken[:2] == ["gates_passed", "approve"]
        assert taken[2:4] in (
            ["start_rollout", "promote"],
            ["stand_by", "stand_in"],
            ["stand_by", "restore"],
        ) or (taken[2] == "stand_by" and taken[3] == "supersede")


@pytest.mark.parametrize("state", ENDED)
@pytest.mark.parametrize("event", EVENTS)
def test_an_ended_release_never_moves(state: ReleaseState, event: ReleaseEvent) -> None:
    with pytest.raises(IllegalTransition, match="has ended"):
        next_state(state, event)


@given(st.lists(st.sampled_from(["passed", "failed", "inconclusive", "error"]), min_size=1))
def test_the_worst_that_was_measured_decides(outcomes: list[Outcome4]) -> None:
    order = ("failed", "error", "inconclusive", "passed")
    assert overall(verdicts(*outcomes)) == min(outcomes, key=order.index)


def test_no_verdict_at_all_is_no_pass() -> None:
    assert overall([]) == "error"
