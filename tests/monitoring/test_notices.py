from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.alerts import Period
from headrace.core.project import Owner
from headrace.monitoring.notices import (
    addresses,
    explained,
    explains,
    notices,
    pause,
    severity_of,
    silence,
)
from headrace.testing import START, make_alert, make_finding, make_project

DAY = timedelta(days=1)
WINDOW = (START, START + 7 * DAY)


def period(first: float, last: float, **changes: Any) -> Period:
    """A time between two days after the start."""
    given: dict[str, Any] = {
        "id": f"{first}-{last}",
        "workspace": "main",
        "subject": "cars",
        "kind": "event",
        "title": "sale",
        "starts_at": START + first * DAY,
        "ends_at": START + last * DAY,
        "by": "ann",
        "at": START,
    }
    return Period(**given | changes)


def test_what_matters_how_much() -> None:
    assert severity_of("fairness") == "critical"
    assert severity_of("something new") == "warning"


@pytest.mark.parametrize(
    ("events", "share"),
    [
        ([], None),
        ([period(7, 9)], None),
        ([period(-3, 0)], None),
        ([period(0, 1)], 1 / 7),
        ([period(-1, 3.5)], 0.5),
        ([period(0, 1), period(2, 6)], 4 / 7),
        ([period(-10, 10)], 1.0),
        ([period(-10, 10, state="withdrawn"), period(-10, 10, kind="silence")], None),
    ],
)
def test_the_event_that_covers_most_of_a_window_explains_it(
    events: list[Period], share: float | None
) -> None:
    found = explained(events, WINDOW)
    assert (None if found is None else found[1]) == (None if share is None else pytest.approx(share))
    assert explains(0.5)
    assert not explains(0.49)


def test_an_event_explains_a_moment_that_falls_in_it() -> None:
    assert explained([period(0, 1)], (START, START)) == (period(0, 1), 1.0)
    assert explained([period(0, 1)], (START + DAY, START + DAY)) is None


@given(st.floats(-20, 20), st.floats(0.01, 20))
def test_a_share_is_never_more_than_the_whole(first: float, length: float) -> None:
    found = explained([period(first, first + length)], WINDOW)
    touches = first < 7 and first + length > 0
    assert (found is not None) == touches
    assert found is None or 0 < found[1] <= 1


def test_a_silence_holds_for_its_kind_and_feature_and_time() -> None:
    finding = make_finding(kind="data_drift", feature="mileage")
    now = START + DAY
    for holds in (
        period(0, 2, kind="silence"),
        period(0, 2, kind="silence", finding="data_drift"),
        period(1, 2, kind="silence", feature="mileage"),
    ):
        assert silence([holds], finding, now) == holds
    for other in (
        period(0, 1, kind="silence"),
        period(1.1, 2, kind="silence"),
        period(0, 2, kind="silence", finding="performance"),
        period(0, 2, kind="silence", feature="year"),
        period(0, 2),
        period(0, 2, kind="silence", state="withdrawn"),
    ):
        assert silence([other], finding, now) is None


def test_addresses_are_those_of_people_who_have_one() -> None:
    team = tuple(
        Owner(name="x", contact=contact)
        for contact in (
            "ben@example.org",
            "https://a@chat.example/",
            "+49 30 123456",
            "mailto:ada@example.org",
        )
    )
    project = make_project(owner=Owner(name="Ada", contact="ada@example.org"), team=team)
    assert addresses(project) == ["ada@example.org", "ben@example.org"]
    assert addresses(project, owner_alone=True) == ["ada@example.org"]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 4)), min_size=1, max_size=12, unique=True))
def test_every_alert_is_told_by_every_channel_it_goes_to_and_once(pairs: list[tuple[str, int]]) -> None:
    alerts = {number: make_alert(id=f"alert-{number}") for _, number in pairs}
    told = [(channel, alerts[number]) for channel, number in pairs]
    made = list(notices(make_project(), "main", told, START, personal=frozenset()))
    assert sorted((one.channel, alert) for one in made for alert in one.alerts) == sorted(
        (channel, alert.id) for channel, alert in told
    )
    assert len({one.channel for one in made}) == len(made)
    again = notices(make_project(), "main", told[::-1], START + DAY, personal=frozenset())
    assert {one.id for one in again} == {one.id for one in made}, "ids follow from what they are about"


def test_attempts_go_on_for_about_a_day() -> None:
    waits = [pause(tries).total_seconds() for tries in range(1, 30)]
    assert waits == sorted(waits)
    assert timedelta(hours=20) < timedelta(seconds=sum(waits)) < timedelta(hours=28)
