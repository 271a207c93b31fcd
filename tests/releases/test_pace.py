"""What a step of a rollout waits for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.core.project import RolloutSpec
from headrace.core.release import Rollout
from headrace.releases.observing import Traffic
from headrace.releases.pace import Awaited, awaited, calls_needed
from headrace.testing import START
from headrace.testing.factories import make_rollout

SPEC = RolloutSpec(steps=(20, 50), min_requests=100, min_labels=30, timeout_s=86_400.0)
CANARY = make_rollout(state="canary", steps=(20, 50), step=0, started_at=START, step_started_at=START)
HOUR = timedelta(hours=1)


def after(duration: timedelta, answered: int, rollout: Rollout = CANARY, spec: RolloutSpec = SPEC) -> Awaited:
    found = awaited(rollout, spec, Traffic(answered=answered, failed=1), 12, START + duration)
    assert found is not None
    return found


def test_it_says_what_lacks_and_how_long_that_takes_at_this_pace() -> None:
    found = after(HOUR, 25)
    assert (found.share, found.answered, found.min_requests, found.n_labels) == (20, 25, 100, 12)
    assert found.calls_left == 75 * 5
    assert found.left_s == 3 * 3_600
    assert found.until == START + 24 * HOUR
    assert (found.steps_after, found.in_time) == ((50,), True)


def test_a_pace_that_is_too_slow_is_told_before_it_is_too_late() -> None:
    assert after(12 * HOUR, 25).in_time is False
    assert after(HOUR, 1, spec=replace(SPEC, min_requests=1_000_000)).in_time is False


def test_before_the_first_answer_nobody_knows_and_after_the_last_nothing_lacks() -> None:
    none = after(HOUR, 0)
    assert (none.left_s, none.in_time, none.calls_left) == (None, None, 500)
    enough = after(HOUR, 140)
    assert (enough.left_s, enough.in_time, enough.calls_left) == (0.0, True, 0)


def test_a_shadow_is_asked_whatever_comes() -> None:
    shadow = replace(CANARY, steps=(0, 50))
    assert after(HOUR, 40, shadow).calls_left == 60


@pytest.mark.parametrize("state", ["pending", "promoted", "aborted"])
def test_nothing_is_awaited_where_no_step_is_under_way(state: str) -> None:
    ended = replace(CANARY, state=state)  # type: ignore[arg-type]
    assert awaited(ended, SPEC, Traffic(answered=0, failed=0), 0, START) is None


def test_a_second_version_takes_so_many_calls() -> None:
    assert calls_needed(SPEC) == 700
    assert calls_needed(RolloutSpec(steps=(0, 10), min_requests=50)) == 550
    assert calls_needed(RolloutSpec(steps=())) == 0
