"""Steps add up to the way, whoever is needed is named, and what still waits is not called done."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.release import Release
from headrace.monitoring.lead_times import (
    STEPS,
    Facts,
    LeadTime,
    lead_time,
    people,
    replacements,
    stages,
    stalled,
    typical,
)
from headrace.testing import START, make_alert, make_approval, make_release, make_rollout, make_verdict

NOW = START + timedelta(days=30)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def facts(release: Release | None = None, **changes: object) -> Facts:
    """Asked for at 0, trained from 1 to 3, proved at 4, approved by a person at 10, rolled out 12 to 20."""
    release = release or make_release(state="live")
    release = replace(release, created_at=at(3.5))
    known = Facts(
        release=release,
        begun_at=at(0),
        trained=(at(1), at(3)),
        automatic=True,
        verdicts=[make_verdict(at=at(4)), make_verdict(gate="canary look 1", at=at(15))],
        approvals=[make_approval(release, approver="bob", at=at(10))],
        rollout=make_rollout(
            release_id=release.id, state="promoted", started_at=at(12), step_started_at=at(20)
        ),
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def hours(time: LeadTime) -> dict[str, float]:
    return {step.name: step.took_s / 3600 for step in time.steps}


@pytest.mark.requirement("TRN-14")
def test_every_step_from_data_to_live_has_its_time_and_the_people_it_needed() -> None:
    time = lead_time(facts(), NOW)
    assert hours(time) == {"data": 1, "train": 2, "prove": 1, "decide": 6, "queue": 2, "roll out": 8}
    assert (time.live_at, time.took_s / 3600) == (at(20), 20)
    assert [(step.name, step.by) for step in time.manual] == [("decide", ("bob",))]
    by_hand = lead_time(facts(automatic=False), NOW)
    assert people(by_hand) == f"data: {facts().release.author}, decide: bob"


@pytest.mark.requirement("TRN-14")
def test_what_the_policy_decides_is_no_manual_step() -> None:
    known = facts()
    decided = [make_approval(known.release, approver="policy:automatic", at=at(4))]
    assert lead_time(replace(known, approvals=decided), NOW).manual == ()


def test_all_people_of_a_decision_are_named_and_it_ends_with_the_last() -> None:
    known = facts()
    both = [make_approval(known.release, approver=name, at=at(h)) for name, h in (("bob", 6), ("eve", 10))]
    time = lead_time(replace(known, approvals=both), NOW)
    assert hours(time)["decide"] == 6
    assert people(time) == "decide: bob and eve"


def test_a_release_that_waits_has_an_open_step_up_to_now() -> None:
    waiting = facts(make_release(state="waiting"), approvals=[], rollout=None)
    time = lead_time(waiting, at(28))
    assert (time.live_at, time.steps[-1].ended_at) == (None, None)
    assert hours(time) == {"data": 1, "train": 2, "prove": 1, "decide": 24}
    assert time.took_s / 3600 == 28
    assert stalled([time], at(28), timedelta(hours=23)) == time
    assert stalled([time], at(28), timedelta(hours=25)) is None


def test_what_has_ended_never_stalls() -> None:
    for state in ("live", "superseded", "rolled_back"):
        time = lead_time(facts(make_release(state=state)), NOW + timedelta(days=999))
        assert stalled([time], NOW + timedelta(days=999), timedelta(days=1)) is None
    refused = lead_time(facts(make_release(state="refused"), approvals=[], rollout=None), NOW)
    assert [step.name for step in refused.steps] == ["data", "train", "prove"]
    assert stalled([refused], NOW, timedelta(days=1)) is None


def test_a_model_that_answers_elsewhere_has_no_steps_here() -> None:
    elsewhere = lead_time(facts(make_release(state="external")), NOW)
    assert (elsewhere.steps, elsewhere.took_s) == ((), 0)


def test_the_time_of_a_replacement_runs_from_the_first_alert_that_asked_for_it() -> None:
    time = lead_time(facts(), NOW)
    first, again = (
        replace(make_alert(), id=name, at=at(h), build_id="b") for name, h in (("1", 0), ("2", 5))
    )
    other = replace(make_alert(), id="3", at=at(7), build_id="c")
    plain = replace(make_alert(), id="4", build_id=None)
    made, without = replacements([other, again, first, plain], {time.release_id: "b"}, [time])
    assert (made.alert_id, made.release_id, made.live_at) == ("1", time.release_id, at(20))
    assert made.took_s == 20 * 3600
    assert (without.build_id, without.release_id, without.took_s) == ("c", None, None)


def test_a_replacement_that_was_aborted_has_no_time() -> None:
    known = facts(make_release(state="aborted"))
    aborted = make_rollout(state="aborted", started_at=at(12), step_started_at=at(20))
    time = lead_time(replace(known, rollout=aborted), NOW)
    (made,) = replacements([replace(make_alert(), build_id="b")], {time.release_id: "b"}, [time])
    assert (made.state, made.live_at, made.took_s) == ("aborted", None, None)
    assert time.steps[-1].ended_at == at(20)


def test_the_typical_time_is_the_median_of_those_that_went_live() -> None:
    live = [lead_time(facts(begun_at=at(h)), NOW) for h in (-9, 0, 0.5)]
    waiting = lead_time(facts(make_release(state="waiting"), approvals=[], rollout=None), NOW)
    assert typical([*live, waiting])["data"] == 3600
    assert typical([*live, waiting])["total"] == 20 * 3600
    assert typical([waiting]) == {}


@pytest.mark.requirement("ORG-12")
def test_each_stage_says_what_it_has_taken_and_cost() -> None:
    live = [lead_time(facts(begun_at=at(h)), NOW) for h in (-2, 0)]
    waiting = lead_time(facts(make_release(state="waiting"), approvals=[], rollout=None), at(10))
    found = {
        one.name: one for one in stages([*live, waiting], {"machine_hour_price": 2, "person_step_price": 40})
    }
    assert list(found) == list(STEPS)
    data, decide = found["data"], found["decide"]
    assert (data.n_releases, data.median_s, data.total_s) == (3, 3600, 5 * 3600)
    assert data.cost == 0, "it may have waited for its build"
    assert found["train"].cost == 3 * 2 * 2
    assert (decide.n_releases, decide.median_s, decide.total_s) == (3, 6 * 3600, 18 * 3600), "one goes on"
    assert decide.cost == 3 * 40, "a decision costs the same however long it waited"
    assert found["roll out"].cost == 0
    assert {one.cost for one in stages(live, {"target_days": 3})} == {None}
    assert stages([], {}) == []


@given(
    moments=st.lists(st.floats(-100, 100), min_size=8, max_size=8),
    state=st.sampled_from(["proposed", "waiting", "approved", "rolling_out", "live", "aborted", "refused"]),
)
def test_steps_follow_each_other_and_add_up_whatever_the_clocks_say(moments: list[float], state: str) -> None:
    begun, first, last, gate, decided, started, over, now = map(at, moments)
    known = facts(
        make_release(state=state),
        begun_at=begun,
        trained=(first, last),
        verdicts=[make_verdict(at=gate)],
        approvals=[make_approval(make_release(), at=decided)],
        rollout=make_rollout(state="promoted", started_at=started, step_started_at=over),
    )
    time = lead_time(known, now)
    assert [step.name for step in time.steps] == [n for n in STEPS if n in hours(time)]
    assert all(step.took_s >= 0 for step in time.steps)
    for before, after in zip(time.steps, time.steps[1:], strict=False):
        assert before.ended_at == after.started_at
    assert time.took_s == sum(step.took_s for step in time.steps)
