"""A hand-off goes to a person and back, and nowhere else, whatever anybody tries."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import Conflict, Denied, IllegalTransition
from headrace.monitoring.handoffs import MAX_STEPS, OPEN, Step, StepKind, transition
from headrace.store.handoffs import Handoff

AT = datetime(2026, 1, 1, tzinfo=UTC)
ASKED = Handoff(
    id="h", workspace="main", subject="support", answer="a", release_id="r", trace_id="t", asked_by="desk",
    at=AT, messages="clear:[]", why="clear:refund", user="u",
    steps=({"step": "ask", "by": "desk", "at": "-"},),
)  # fmt: skip
WHO = ("desk", "rita", "sam")
ORDER = {"asked": {"taken", "withdrawn", "expired"}, "taken": {"asked", "answered", "withdrawn", "expired"},
         "answered": {"returned", "expired"}, "returned": {"returned"}, "withdrawn": {"withdrawn"},
         "expired": {"expired"}}  # fmt: skip


def step(kind: StepKind, by: str) -> Step:
    return Step(kind=kind, by=by, at=AT, final=f"clear:{by}" if kind == "answer" else "", note="why")


steps = st.builds(step, st.sampled_from(get_args(StepKind)), st.sampled_from(WHO))


@pytest.mark.requirement("FBK-06")
@given(st.lists(steps, max_size=30))
def test_whatever_is_tried_it_goes_to_a_person_and_back_to_who_asked(tried: list[Step]) -> None:
    now = ASKED
    for one in tried:
        before = now
        try:
            now = transition(now, one)
        except (IllegalTransition, Denied):
            continue
        assert now.state in ORDER[before.state]
        assert now.steps[: len(before.steps)] == before.steps or one.kind == "forget"
        assert (now.revision, len(now.steps)) == (before.revision + 1, len(before.steps) + 1)
        assert now.steps[-1]["by"] == one.by
        if one.kind in ("return", "withdraw"):
            assert one.by == ASKED.asked_by
        if one.kind in ("answer", "put_back"):
            assert one.by == before.by, "who has it, and nobody else"
        if one.kind == "answer":
            assert now.final == f"clear:{now.by}", "one answer, by whoever has taken it"
        if now.state in ("taken", "answered"):
            assert now.by in ("rita", "sam"), "nobody answers their own question"
        if one.kind == "forget":
            assert (now.messages, now.why, now.final, now.user) == ("", "", "", None)
            assert now.state not in OPEN
            assert all("note" not in each for each in now.steps)


@pytest.mark.requirement("FBK-06")
def test_the_whole_way_is_on_record_with_who_and_when() -> None:
    now = ASKED
    for kind, by in (
        ("take", "rita"),
        ("put_back", "rita"),
        ("take", "sam"),
        ("answer", "sam"),
        ("return", "desk"),
    ):
        now = transition(now, step(kind, by))  # type: ignore[arg-type]
    assert now.state == "returned"
    assert [(one["step"], one["by"]) for one in now.steps] == [
        ("ask", "desk"), ("take", "rita"), ("put_back", "rita"), ("take", "sam"), ("answer", "sam"),
        ("return", "desk"),
    ]  # fmt: skip


def test_it_is_put_back_for_somebody_else() -> None:
    taken = transition(ASKED, step("take", "rita"))
    other = transition(taken, Step(kind="put_back", by="rita", at=AT, to="billing", people=("sam",)))
    assert (other.to, other.people, other.by, other.state) == ("billing", ("sam",), None, "asked")
    same = transition(replace(taken, to="desk", people=("rita",)), step("put_back", "rita"))
    assert (same.to, same.people) == ("desk", ("rita",))


def test_refusals_say_whose_turn_it_is() -> None:
    with pytest.raises(Denied, match="somebody else takes"):
        transition(ASKED, step("take", "desk"))
    taken = transition(ASKED, step("take", "rita"))
    with pytest.raises(Denied, match="'rita' has taken"):
        transition(taken, step("answer", "sam"))
    with pytest.raises(IllegalTransition, match="is taken: it cannot be taken"):
        transition(taken, step("take", "sam"))
    with pytest.raises(IllegalTransition, match=f"Take it first: headrace feedback take {ASKED.id}"):
        transition(ASKED, step("answer", "rita"))
    with pytest.raises(IllegalTransition, match="Nobody has answered it yet"):
        transition(taken, step("return", "desk"))
    with pytest.raises(Denied, match="goes back to them"):
        transition(transition(taken, step("answer", "rita")), step("return", "sam"))
    with pytest.raises(IllegalTransition, match="asked for again"):
        transition(ASKED, step("ask", "desk"))


def test_it_does_not_grow_without_end() -> None:
    full = replace(ASKED, steps=ASKED.steps * MAX_STEPS)
    with pytest.raises(Conflict, match="most there can be"):
        transition(full, step("take", "rita"))
    assert transition(full, step("forget", "system:privacy")).state == "expired"
