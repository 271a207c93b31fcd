from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.alerts import Case
from headrace.core.errors import Conflict, HeadraceError, IllegalTransition, InvalidInput
from headrace.monitoring.cases import MAX_NOTES, PENDING, Step, StepKind, is_overdue, transition
from headrace.testing import START

KINDS: tuple[StepKind, ...] = ("acknowledge", "note", "ignore", "remediate", "accept", "lapse")


def case(**changes: Any) -> Case:
    given: dict[str, Any] = {
        "id": "a1",
        "workspace": "main",
        "subject": "cars",
        "kind": "data_drift",
        "at": START,
    }
    return Case(**given | {"round": "r1"} | changes)


def step(kind: StepKind, text: str = "because", evidence: str = "release 7") -> Step:
    return Step(kind=kind, by="ann", at=START + timedelta(hours=1), text=text, evidence=evidence)


@pytest.mark.parametrize(
    ("kind", "first", "then", "state"),
    [
        ("data_drift", None, "ignore", "ignored"),
        ("data_drift", "acknowledge", "ignore", "ignored"),
        ("data_drift", "acknowledge", "remediate", "remediated"),
        ("data_drift", None, "lapse", "lapsed"),
        ("fairness", "acknowledge", "remediate", "remediated"),
        ("fairness", "acknowledge", "accept", "accepted"),
        ("fairness", None, "note", "open"),
    ],
)
def test_the_way_to_each_end(kind: str, first: StepKind | None, then: StepKind, state: str) -> None:
    begun = case(kind=kind) if first is None else transition(case(kind=kind), step(first))
    ended = transition(begun, step(then))
    assert ended.state == state
    assert ended.revision == begun.revision + 1
    assert ended.notes[-1]["by"] == "ann"
    assert ended.notes[-1]["text"] == "because"


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("fairness", "ignore"), ("fairness", "lapse"), ("compliance", "ignore"), ("fairness", "accept")],
)
def test_no_violation_ends_without_being_looked_into(kind: str, wanted: StepKind) -> None:
    with pytest.raises(IllegalTransition, match="cknowledge"):
        transition(case(kind=kind), step(wanted))


@pytest.mark.parametrize(
    ("wanted", "text", "evidence", "lacking"),
    [
        ("ignore", " ", "", "says? why"),
        ("note", "", "", "says? why"),
        ("remediate", "", "release 7", "says? why"),
        ("remediate", "retrained", " ", "needs evidence"),
        ("accept", "few rows", "", "needs evidence"),
    ],
)
def test_an_end_needs_its_reason_and_its_evidence(
    wanted: StepKind, text: str, evidence: str, lacking: str
) -> None:
    with pytest.raises(InvalidInput, match=lacking):
        transition(case(state="acknowledged"), step(wanted, text, evidence))


def test_acknowledging_twice_changes_nothing() -> None:
    first = transition(case(), step("acknowledge", text=""))
    assert transition(first, step("acknowledge")) is first


def test_notes_have_an_end_and_the_case_can_still_be_closed() -> None:
    full = case(notes=({"by": "ann"},) * MAX_NOTES)
    with pytest.raises(Conflict, match="the most"):
        transition(full, step("note"))
    assert transition(full, step("ignore")).state == "ignored"


@given(st.sampled_from(["data_drift", "fairness"]), st.lists(st.sampled_from(KINDS), max_size=8))
def test_what_is_closed_stays_closed_and_nothing_is_forgotten(kind: str, steps: list[StepKind]) -> None:
    now, closed = case(kind=kind), None
    for wanted in steps:
        before = now
        try:
            now = transition(now, step(wanted))
        except HeadraceError:
            assert now is before
        assert now.notes[: len(before.notes)] == before.notes
        assert closed in (None, now.state)
        if now.state not in PENDING:
            closed = now.state
    if kind == "fairness" and closed is not None:
        assert next(note["step"] for note in now.notes if note["step"] != "note") == "acknowledge"
        assert now.notes[-1]["evidence"] == "release 7"


def test_overdue_is_what_should_have_been_closed() -> None:
    due = case(due_at=START)
    assert is_overdue(due, START)
    assert not is_overdue(due, START - timedelta(seconds=1))
    assert not is_overdue(case(due_at=START, state="accepted"), START)
    assert not is_overdue(case(), START)
