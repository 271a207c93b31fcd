"""The rollout controller's pure part, over thousands of generated histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import IllegalTransition
from headrace.core.project import RolloutSpec
from headrace.core.release import Outcome4, Rollout, Route
from headrace.releases.rollout import (
    Begin,
    Event,
    Look,
    Observation,
    Shares,
    StandIn,
    Stop,
    judge,
    route_of,
    transition,
)

SHARES = Shares.out_of(0.05)
START = datetime(2026, 1, 1, tzinfo=UTC)
OUTCOMES: tuple[Outcome4, ...] = ("passed", "failed", "inconclusive", "error")


def pending(*, champion: str | None = "old", steps: tuple[int, ...] = (10, 50)) -> Rollout:
    return Rollout(
        release_id="new",
        project="cars",
        champion_id=champion,
        state="pending",
        steps=steps,
        step=-1,
        started_at=START,
        step_started_at=START,
    )


moments = st.integers(0, 1000).map(lambda s: START + timedelta(seconds=s))
looks = st.builds(
    Look, outcome=st.sampled_from(OUTCOMES), reason=st.just("seen"), at=moments, timed_out=st.booleans()
)
events: st.SearchStrategy[Event] = st.one_of(
    looks,
    st.builds(Begin, at=moments),
    st.builds(Stop, reason=st.just("by hand"), at=moments),
    st.builds(StandIn, champion_id=st.just("failing"), reason=st.just("it fails"), at=moments),
)
ladders = st.lists(st.integers(1, 100), max_size=5, unique=True).map(lambda s: tuple(sorted(s)))


@pytest.mark.requirement("DEP-02")
@given(ladders, st.lists(events, max_size=30), st.sampled_from([None, "old"]))
def test_any_history_keeps_the_invariants(
    steps: tuple[int, ...], history: list[Event], champion: str | None
) -> None:
    rollout, share = pending(champion=champion, steps=steps), 0.0
    for event in history:
        try:
            after = transition(rollout, event)
        except IllegalTransition:
            continue
        stands_in = isinstance(event, StandIn)
        assert rollout.state in ("pending", "canary") or (stands_in and rollout.state == "promoted"), (
            "an ended rollout never moves, but for what stands in again"
        )
        assert after.revision == rollout.revision + 1
        route = route_of(after, None)
        if after.state == "canary":
            assert route is not None
            assert route.live == champion
            assert route.canary == "new"
            assert route.canary_weight >= share, "traffic only ever grows"
            share = route.canary_weight
        elif after.state == "aborted":
            assert route is None or (route.live == champion and route.canary is None)
        elif after.state == "promoted":
            assert route == Route(project="cars", live="new", stands_in=after.stands_in)
            assert after.stands_in == (stands_in or rollout.stands_in)
        rollout = after


@pytest.mark.requirement("DEP-02")
@given(ladders, st.lists(looks, max_size=30))
def test_promotion_needs_a_pass_at_every_step(steps: tuple[int, ...], history: list[Look]) -> None:
    rollout = transition(pending(steps=steps), Begin(at=START))
    passes = 0
    for look in history:
        if rollout.state != "canary":
            break
        rollout = transition(rollout, look)
        passes += look.outcome == "passed"
    if rollout.state == "promoted":
        assert passes == len(steps)
    assert rollout.state != "promoted" or not steps or passes > 0


def test_a_first_release_is_promoted_as_it_begins() -> None:
    rollout = transition(pending(champion=None), Begin(at=START))
    assert rollout.state == "promoted"
    assert rollout.reason == "first release: nothing to compare with"


def test_failed_aborts_and_gives_the_champion_all_traffic() -> None:
    rollout = transition(pending(), Begin(at=START))
    rollout = transition(rollout, Look(outcome="failed", reason="worse", at=START))
    assert rollout.state == "aborted"
    assert route_of(rollout, Route(project="cars", live="old", revision=4)) == Route(
        project="cars", live="old", revision=5
    )


@pytest.mark.parametrize("outcome", ["inconclusive", "error"])
def test_no_conclusion_holds_and_then_gives_up(outcome: Outcome4) -> None:
    rollout = transition(pending(), Begin(at=START))
    held = transition(rollout, Look(outcome=outcome, reason="few", at=START))
    assert (held.state, held.step, held.looks) == ("canary", 0, 1)
    ended = transition(held, Look(outcome=outcome, reason="few", at=START, timed_out=True))
    assert ended.state == "aborted"
    assert ended.reason == "no conclusion in time: few"


def test_a_look_before_the_beginning_is_refused() -> None:
    with pytest.raises(IllegalTransition, match="pending cannot look"):
        transition(pending(), Look(outcome="passed", reason="", at=START))


SPEC = RolloutSpec(steps=(10,), min_requests=50, min_labels=100, max_error_rate=0.02)


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (Observation(answered=0, failed=0), "inconclusive"),
        (Observation(answered=60, failed=0), "inconclusive"),
        (Observation(answered=10, failed=2), "inconclusive"),
        (Observation(answered=100, failed=20), "failed"),
        (
            Observation(answered=60, failed=0, n_labels=99, difference=(-1, 0), champion_loss=1.0),
            "inconclusive",
        ),
        (Observation(answered=60, failed=0, n_labels=100, difference=(-1, 0), champion_loss=1.0), "passed"),
        (
            Observation(answered=60, failed=0, n_labels=100, difference=(-1, 1), champion_loss=1.0),
            "inconclusive",
        ),
        (Observation(answered=5, failed=0, n_labels=30, difference=(0.5, 1), champion_loss=1.0), "failed"),
        (
            Observation(
                answered=60, failed=0, n_labels=100, difference=(0.0, float("nan")), champion_loss=1.0
            ),
            "error",
        ),
    ],
)
def test_one_look_has_four_outcomes(seen: Observation, outcome: Outcome4) -> None:
    assert judge(seen, SPEC, margin=0.02, shares=SHARES).outcome == outcome


def test_without_labels_errors_alone_decide() -> None:
    spec = RolloutSpec(steps=(10,), min_requests=50, min_labels=0)
    assert judge(Observation(answered=50, failed=0), spec, margin=0.02, shares=SHARES).outcome == "passed"


def test_a_single_failure_among_few_requests_is_no_reason_to_abort() -> None:
    assert (
        judge(Observation(answered=9, failed=1), SPEC, margin=0.02, shares=SHARES).outcome == "inconclusive"
    )


def test_failing_as_often_as_allowed_hardly_ever_aborts_however_often_one_looks() -> None:
    """A fifth of 5 % over both steps is allowed: 1 %; 2,000 rollouts have a standard error of 0.2 points."""
    random = np.random.default_rng(0)
    spec = RolloutSpec(steps=(10, 50), max_error_rate=0.02)
    wrong = 0
    for _ in range(2_000):
        for _ in spec.steps:
            failures = np.flatnonzero(random.random(3_000) < 0.02)
            # Evidence grows only where a request has failed.
            seen = [Observation(answered=int(n - k), failed=k + 1) for k, n in enumerate(failures)]
            if any(judge(one, spec, 0.02, SHARES).outcome == "failed" for one in seen):
                wrong += 1
                break
    assert wrong <= 35


def test_a_step_goes_on_when_the_clock_is_put_back() -> None:
    rollout = transition(pending(), Begin(at=START))
    hour = timedelta(hours=1)
    held = transition(rollout, Look(outcome="inconclusive", reason="too few", at=START - hour))
    assert (held.state, held.step, held.step_started_at) == ("canary", 0, START - hour)
    later = transition(held, Look(outcome="inconclusive", reason="too few", at=START))
    assert later.step_started_at == START - hour


@given(st.sampled_from(["pending", "canary", "promoted", "aborted"]))
def test_what_stands_in_is_said_by_the_route_as_long_as_it_is_live(state: str) -> None:
    stood = transition(pending(), StandIn(champion_id="failing", reason="it fails", at=START))
    present = route_of(stood, Route(project="cars", live="failing", revision=4))
    assert present == Route(project="cars", live="new", revision=5, stands_in=True)
    assert present.arms == (("fallback", "new"),)
    better = replace(pending(champion="new"), release_id="better", state=state, step=0)  # type: ignore[arg-type]
    route = route_of(better, present)
    assert route is not None
    assert route.stands_in == (state != "promoted")
    assert route.arms[0] == (("live", "better") if state == "promoted" else ("fallback", "new"))


def test_a_rollout_under_way_does_not_stand_in() -> None:
    canary = transition(pending(), Begin(at=START))
    with pytest.raises(IllegalTransition, match="cannot standin"):
        transition(canary, StandIn(champion_id="old", reason="it fails", at=START))
