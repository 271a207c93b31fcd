from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.access.incidents import FLAGGED, MAX_NOTES, Incidents, Step, resource_of, transition
from headrace.core.errors import Conflict, Denied, HeadraceError, IllegalTransition, InvalidInput
from headrace.core.identity import Incident
from headrace.testing import START, make_principal
from tests.access.people import Door

OPEN = Incident(
    id="i",
    workspace="main",
    subject="bob",
    kind="token_reuse",
    title="t",
    raised_by="system:access",
    at=START,
)


def _step(kind: str, by: str = "ann", text: str = "") -> Step:
    return Step(kind=kind, by=by, at=START, text=text)  # type: ignore[arg-type]


@pytest.fixture
def incidents(door: Door) -> Incidents:
    return door.access.incidents


@pytest.mark.requirement("IDN-10")
def test_an_incident_is_taken_looked_into_and_closed() -> None:
    taken = transition(OPEN, _step("take"))
    assert (taken.state, taken.assignee, taken.revision) == ("investigating", "ann", 1)
    noted = transition(taken, _step("note", by="eve", text=" a phone on the train "))
    closed = transition(noted, _step("close", text="false alarm"))
    assert (closed.state, closed.resolution) == ("closed", "false alarm")
    assert [(n["by"], n["text"]) for n in closed.notes] == [
        ("ann", "takes it"),
        ("eve", "a phone on the train"),
        ("ann", "closes it"),
    ]
    for kind in ("take", "note", "close"):
        with pytest.raises(IllegalTransition, match="is closed"):
            transition(closed, _step(kind, text="x"))


@pytest.mark.requirement("IDN-10")
@pytest.mark.parametrize("kind", ["take", "close"])
def test_nobody_looks_into_what_is_about_themselves(kind: str) -> None:
    taken = transition(OPEN, _step("take"))
    with pytest.raises(Denied, match="is about 'bob': somebody else"):
        transition(taken, _step(kind, by="bob", text="nothing to see"))


def test_it_is_taken_before_it_is_closed() -> None:
    with pytest.raises(IllegalTransition, match="Take it first"):
        transition(OPEN, _step("close", text="fine"))


def test_taking_twice_is_once_and_somebody_else_takes_over() -> None:
    taken = transition(OPEN, _step("take"))
    assert transition(taken, _step("take")) is taken
    assert transition(taken, _step("take", by="eve")).assignee == "eve"


@pytest.mark.parametrize("text", ["", "   ", "x" * 2_001, "\ud800"])
def test_a_result_and_a_note_say_something(text: str) -> None:
    taken = transition(OPEN, _step("take"))
    for kind in ("note", "close"):
        with pytest.raises(InvalidInput):
            transition(taken, _step(kind, text=text))


def test_notes_are_not_without_end() -> None:
    full = replace(OPEN, notes=({"at": "", "by": "", "text": ""},) * MAX_NOTES)
    with pytest.raises(Conflict, match="the most there can be"):
        transition(full, _step("note", text="one more"))
    assert transition(full, _step("take")).state == "investigating"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["take", "note", "close"]),
            st.sampled_from(["ann", "bob", "eve"]),
            st.sampled_from(["", "found"]),
        ),
        max_size=12,
    )
)
@settings(max_examples=100)
def test_whatever_is_tried_the_story_stays_whole(tried: list[tuple[str, str, str]]) -> None:
    incident = OPEN
    for kind, by, text in tried:
        try:
            after = transition(incident, _step(kind, by, text))
        except HeadraceError:
            continue
        assert incident.state != "closed"
        assert after.notes[: len(incident.notes)] == incident.notes
        assert after.revision - incident.revision == (after is not incident)
        assert after.assignee != "bob"
        assert (after.state == "open") == (after.assignee is None)
        assert (after.state == "closed") == bool(after.resolution)
        incident = after


@pytest.mark.requirement("IDN-10")
def test_the_same_thing_is_raised_once_until_it_is_closed(door: Door, incidents: Incidents) -> None:
    first = incidents.open("token_reuse", "bob", "main", title="one", evidence={"token": "t1"})
    assert incidents.open("token_reuse", "bob", "main", title="two").id == first.id
    assert incidents.open("token_reuse", "eve", "main", title="other subject").id != first.id
    assert incidents.open("off_hours", "bob", "main", title="other kind").id != first.id
    incidents.step(first.id, _step("take"))
    incidents.step(first.id, _step("close", text="lost phone"))
    again = incidents.open("token_reuse", "bob", "main", title="three")
    assert again.id != first.id
    assert again.at == door.clock.now()
    assert [e.action for e in door.audit.entries if e.resource == f"incident:{first.id}"] == [
        "incident.raise",
        "incident.take",
        "incident.close",
    ]


def test_two_who_close_at_once_are_not_both_right(door: Door, incidents: Incidents) -> None:
    raised = incidents.open("token_reuse", "bob", "main", title="one")
    taken = incidents.step(raised.id, _step("take"))
    incidents.step(raised.id, _step("close", text="lost phone"))
    late = transition(taken, Step(kind="close", by="eve", at=START + timedelta(1), text="a break-in"))
    with pytest.raises(Conflict):
        door.store.incidents.change(late)


@pytest.mark.requirement("IDN-10")
def test_who_works_on_incidents_is_a_person_of_the_workspace_and_not_the_one_flagged(door: Door) -> None:
    flagged = resource_of(replace(OPEN, kind=FLAGGED))
    noticed = resource_of(OPEN)
    may = door.gatekeeper.allows
    ann = make_principal(name="ann", roles=("operator",))
    assert may(ann, "incident.work", flagged)
    assert not may(make_principal(name="vera", roles=("viewer",)), "incident.work", flagged)
    assert not may(replace(ann, workspace="lab"), "incident.work", flagged)
    assert not may(replace(ann, kind="agent"), "incident.work", flagged)
    bob = replace(ann, name="bob")
    assert not may(bob, "incident.work", flagged)
    assert may(bob, "incident.work", noticed), "what a rule noticed about one's own token one may read"
