from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.abnormal import Alarm, Event, Limits
from headrace.access.whereabouts import Watch, Whereabouts
from headrace.testing import START

LIMITS = Limits()
NOW_S = START.timestamp()
A, B, C = "93.184.0.0/16", "151.101.0.0/16", "8.8.0.0/16"


def _watch() -> Watch:
    return Watch(lambda _: [], LIMITS)


def _event(after_s: float = 0.0, **changes: object) -> Event:
    event = Event("bob", NOW_S + after_s, A, "t1", "project.read", "project:cars")
    return event._replace(**changes)  # type: ignore[arg-type]


def _kinds(alarms: list[Alarm]) -> list[str]:
    return [alarm.kind for alarm in alarms]


@pytest.mark.requirement("IDN-07")
def test_there_and_back_within_minutes_is_two_places_at_once() -> None:
    watch = _watch()
    assert watch.meet(_event(0, network=A, token="t1")) == []
    assert watch.meet(_event(60, network=B, token="t2")) == []
    (alarm,) = watch.meet(_event(120, network=A, token="t1"))
    assert alarm.kind == "impossible_travel"
    assert alarm.title == f"bob was in {A}, in {B} and back within 120 s"
    assert alarm.evidence == {"networks": [A, B], "seconds": 120.0}


@pytest.mark.parametrize(
    "journey",
    [
        [(0, A), (60, B)],  # from the office to the train
        [(0, A), (60, B), (120, C)],  # and further
        [(0, A), (400, B), (900, A)],  # and home
        [(0, A), (10, A), (20, A)],
        [(0, A), (10, ""), (20, A)],
    ],
)
def test_a_journey_is_none(journey: list[tuple[float, str]]) -> None:
    watch = _watch()
    for number, (after_s, network) in enumerate(journey):
        assert watch.meet(_event(after_s, network=network, token=f"t{number}")) == []


@pytest.mark.requirement("MCP-04")
def test_a_token_is_used_from_one_network() -> None:
    watch = _watch()
    assert watch.meet(_event(0, network=A)) == []
    (alarm,) = watch.meet(_event(2_000, network=B))
    assert alarm.kind == "token_reuse"
    assert alarm.evidence == {"networks": [A, B], "token": "t1"}


@pytest.mark.requirement("IDN-08")
def test_a_secret_that_speaks_from_many_networks_is_shared() -> None:
    watch = _watch()
    networks = [f"{n}.0.0.0/16" for n in range(4)]
    found = [watch.meet(_event(n * 800, network=network, token="")) for n, network in enumerate(networks)]
    assert [_kinds(one) for one in found] == [[], [], [], ["shared_secret"]]
    slowly = _watch()
    for n, network in enumerate(networks * 3):
        assert slowly.meet(_event(n * 1_300, network=network, token="")) == []


def test_an_alarm_is_raised_once_an_hour() -> None:
    watch = _watch()
    kinds = [_kinds(watch.meet(_event(n * 60, network=(A, B)[n % 2], token=""))) for n in range(70)]
    assert [n for n, one in enumerate(kinds) if one] == [2, 62]


@pytest.mark.parametrize(("order", "alarms"), [
    ([(0, A), (60, B), (70, B)], []),  # from the office to the train
    ([(60, B), (0, A), (70, B)], []),  # the same, of which another server tells late
    ([(0, A), (60, B), (70, A)], ["impossible_travel"]),
    ([(60, B), (0, A), (70, A)], ["impossible_travel"]),
    ([(60, B), (59, B), (0, A), (61, B)], []),
])  # fmt: skip
def test_what_is_told_late_is_put_where_it_belongs(order: list[tuple[float, str]], alarms: list[str]) -> None:
    watch = _watch()
    found = [watch.place(_event(after_s, network=network, token="")) for after_s, network in order]
    assert _kinds([alarm for one in found for alarm in one]) == alarms


@given(st.permutations([(0.0, A), (400.0, B), (500.0, B), (900.0, C)]))
def test_a_journey_is_none_in_whatever_order_it_is_told(order: list[tuple[float, str]]) -> None:
    places = Whereabouts("bob", LIMITS)
    for after_s, network in order:
        assert "impossible_travel" not in _kinds(places.meet(_event(after_s, network=network, token="")))


def test_memory_does_not_grow_with_what_happens() -> None:
    watch = Watch(lambda _: [], LIMITS, max_kept=3)
    for n in range(2_000):
        event = _event(n, network=f"{n % 250}.0.0.0/16", token=f"t{n}", action="predict", resource=f"m{n}")
        watch.meet(event._replace(principal=f"p{n % 5}"))
    assert len(watch._habits) == len(watch._places) == 3
    for places in watch._places.values():
        assert len(places._tokens) <= 16
        assert len(places._networks) <= 16
    for habits in watch._habits.values():
        assert len(habits._known) <= 256
