"""Leave to deviate: who has to agree grows with the size, never oneself, and it is over by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import Conflict, Denied, HeadraceError, IllegalTransition, InvalidInput
from headrace.core.identity import ROLES, Role
from headrace.core.release import Waiver
from headrace.releases.waivers import (
    LEAST,
    SIZES,
    Decide,
    End,
    Size,
    check_request,
    holds,
    missing,
    transition,
)
from headrace.testing import START

DAY = timedelta(days=1)


def asked(size: Size = "small", **changes: Any) -> Waiver:
    waiver = Waiver(
        id="w-1", workspace="main", subject="cars", rule="gate:champion", reason="the market moved",
        size=size, asked_by="ada", asked_at=START, ends_at=START + 30 * DAY,
    )  # fmt: skip
    return replace(waiver, **changes)


def agrees(by: str, *roles: Role, agree: bool = True) -> Decide:
    return Decide(by=by, roles=roles, agree=agree, at=START + DAY)


@pytest.mark.requirement("GOV-04")
@pytest.mark.parametrize(
    ("size", "people", "state"),
    [
        ("small", [("vic", "validator")], "granted"),
        ("small", [("aud", "auditor")], "asked"),
        ("medium", [("vic", "validator")], "asked"),
        ("medium", [("vic", "validator"), ("val", "validator")], "granted"),
        ("large", [("vic", "validator"), ("val", "validator")], "asked"),
        ("large", [("vic", "validator"), ("aud", "auditor")], "granted"),
        ("large", [("aud", "auditor")], "asked"),
    ],
)
def test_who_has_to_agree_is_in_proportion(size: Size, people: list[tuple[str, Role]], state: str) -> None:
    waiver = asked(size)
    for name, role in people:
        waiver = transition(waiver, agrees(name, role))
    assert waiver.state == state
    assert bool(missing(waiver)) == (state == "asked")
    assert holds(waiver, START + 2 * DAY, ["ada"]) == (state == "granted")


def test_it_says_who_is_missing() -> None:
    assert missing(asked("small")) == "one validator"
    assert missing(asked("medium")) == "2 more people"
    assert (
        missing(transition(asked("large"), agrees("v", "validator")))
        == "1 more person, one of them an auditor"
    )


@pytest.mark.parametrize(
    ("event", "error", "message"),
    [
        (agrees("ada", "validator", "auditor"), Denied, "somebody else"),
        (agrees("dev", "developer"), Denied, "Roles that may: validator, auditor"),
        (replace(agrees("vic", "validator"), at=START + 30 * DAY), IllegalTransition, "is over"),
    ],
)
def test_what_is_refused(event: Decide, error: type[HeadraceError], message: str) -> None:
    with pytest.raises(error, match=message):
        transition(asked(), event)


def test_nobody_counts_twice_and_one_refusal_refuses() -> None:
    once = transition(asked("medium"), agrees("vic", "validator"))
    with pytest.raises(Conflict, match="before"):
        transition(once, agrees("vic", "validator"))
    refused = transition(once, agrees("val", "validator", agree=False))
    assert (refused.state, refused.revision) == ("refused", 2)
    with pytest.raises(IllegalTransition):
        transition(refused, agrees("third", "validator"))


def test_it_is_over_by_itself_or_when_somebody_takes_it_back() -> None:
    granted = transition(asked(), agrees("vic", "validator"))
    assert holds(granted, START + 29 * DAY, ["ada"])
    assert not holds(granted, START + 30 * DAY, ["ada"])
    ended = transition(granted, End(by="ada", at=START + 2 * DAY))
    assert (ended.state, holds(ended, START + 3 * DAY, ["ada"])) == ("ended", False)
    with pytest.raises(IllegalTransition):
        transition(ended, End(by="ada", at=START + 2 * DAY))


@pytest.mark.requirement("GOV-02")
def test_whoever_agreed_to_it_gets_nothing_out_of_it() -> None:
    granted = transition(asked(), agrees("vic", "validator"))
    assert not holds(granted, START + 2 * DAY, ["vic"])


@pytest.mark.requirement("GOV-04")
@pytest.mark.parametrize(
    "rule",
    ["gate:package", "gate:compliance", "gate:data", "control:accountable-person", "control:answers",
     "gate:signature", "control:lawful-basis", "own-work", "nonsense", ""],
)  # fmt: skip
def test_some_rules_can_never_be_waived(rule: str) -> None:
    for size in SIZES:
        with pytest.raises(InvalidInput, match="cannot be waived"):
            check_request(rule, size, 1, "low")


@pytest.mark.parametrize("rule", LEAST)
def test_a_deviation_cannot_be_called_smaller_or_asked_for_longer_than_it_is(rule: str) -> None:
    least = SIZES.index(LEAST[rule])
    for place, size in enumerate(SIZES):
        for risk, wanted in (("low", least), ("high", min(least + 1, 2))):
            if place < wanted:
                with pytest.raises(InvalidInput, match=f"--size {SIZES[wanted]}"):
                    check_request(rule, size, 1, risk)  # type: ignore[arg-type]
            else:
                check_request(rule, size, 30, risk)  # type: ignore[arg-type]
        if place >= least:
            for days in (0, 91):
                with pytest.raises(InvalidInput, match="may last 1 to"):
                    check_request(rule, size, days, "low")


people = st.sampled_from(["ada", "vic", "val", "aud"])
decisions = st.builds(
    Decide,
    by=people,
    roles=st.lists(st.sampled_from(ROLES), max_size=3).map(tuple),
    agree=st.booleans(),
    at=st.integers(0, 40).map(lambda days: START + days * DAY),
)
events = decisions | st.builds(End, by=people, at=st.just(START + DAY))


@given(st.sampled_from(SIZES), st.lists(events, max_size=8))
def test_no_sequence_grants_without_the_people_it_takes(size: Size, steps: list[Decide | End]) -> None:
    waiver = asked(size)
    for step in steps:
        try:
            moved = transition(waiver, step)
        except HeadraceError:
            continue
        assert moved.revision == waiver.revision + 1
        assert moved.decisions[:-1] == waiver.decisions
        waiver = moved
    agreed = {one["by"]: one["roles"].split() for one in waiver.decisions if one["decision"] == "agreed"}
    assert waiver.asked_by not in agreed
    if waiver.state == "granted":
        held = {role for roles in agreed.values() for role in roles}
        assert len(agreed) >= (1 if size == "small" else 2)
        assert size != "large" or "auditor" in held
        assert size != "small" or "validator" in held
