from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.abnormal import ACTIVE, Limits
from headrace.access.activity import Activity
from headrace.access.uses import Uses
from headrace.core.errors import Denied, Unavailable
from headrace.core.identity import Principal, Session, Sighting, Use
from headrace.testing import FakeClock, make_principal
from tests.access.people import Door

A, B = "93.184.0.0/16", "151.101.0.0/16"


class _Uses:
    """Implements ``UseStore``; knows nobody from earlier days, and may not answer."""

    def __init__(self) -> None:
        self.added: list[Use] = []
        self.answers = True

    def add(self, uses: Sequence[Use]) -> None:
        self.added += uses

    def list(self, principal: str | None = None) -> list[Use]:
        if not self.answers:
            raise Unavailable("The store does not answer.")
        return []


class _Sightings:
    """Implements ``SightingStore``: no other server has seen anybody."""

    def add(self, sightings: Sequence[Sighting]) -> None:
        pass

    def since(self, position: int) -> list[Sighting]:
        return []

    def forget(self, before: datetime) -> int:
        return 0


def _activity(store: _Uses, clock: FakeClock, **limits: float) -> tuple[Activity, Uses]:
    uses = Uses(store, clock)
    return Activity(uses, store, _Sightings(), clock, Limits(**limits)), uses  # type: ignore[arg-type]


def _from(network: str, token: str = "t1") -> Principal:
    return make_principal(name="bob", session=Session(token=token, network=network))


@pytest.mark.requirement("IDN-07")
def test_every_wish_is_noted_and_compared_later(door: Door) -> None:
    activity = door.access.activity
    for network in (A, B):
        door.gatekeeper.require(_from(network), "project.read", "project:cars")
        door.clock.advance(30)
    assert [alarm.kind for alarm in activity.look()] == ["token_reuse"]
    assert activity.look() == []
    with pytest.raises(Denied):
        door.gatekeeper.require(_from(A), "release.approve", "project:cars")
    (alarm,) = activity.look()
    assert alarm.kind == "impossible_travel", "a refused wish is one too"
    assert alarm.evidence["seconds"] == 60.0, "it counts when it happened, not when it was looked at"


def test_looking_counts_by_hour_of_the_week(door: Door) -> None:
    for _ in range(3):
        door.gatekeeper.require(_from(A), "project.read", "project:cars")
    door.access.activity.look()
    door.access.uses.flush()
    counted = {(use.action, use.resource.partition(":")[0]): use.count for use in door.store.uses.list("bob")}
    assert counted == {("project.read", "project"): 3, (ACTIVE, "hour"): 3}


def test_asking_is_not_acting(door: Door) -> None:
    door.gatekeeper.allows(_from(A), "project.read", "project:cars")
    door.access.activity.look()
    door.access.uses.flush()
    assert door.store.uses.list("bob") == []


def test_what_nobody_looks_at_does_not_pile_up(door: Door) -> None:
    somebody = replace(_from(A), session=None)
    for _ in range(100_010):
        door.access.activity.note(somebody, "predict", "project:cars")
    assert len(door.access.activity._noted) == 100_000


_ALL = [_from(network, token) for network in (A, B) for token in ("t1", "t2")]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(_ALL),
            st.sampled_from(["seen", "predict"]),
            st.sampled_from(["project:cars", "project:vans"]),
            st.sampled_from([0.0, 0.4]),
        ),
        max_size=30,
    ),
    st.integers(min_value=1, max_value=30),
)
def test_what_is_done_again_and_again_is_judged_as_if_each_were_looked_at(
    done: list[tuple[Principal, str, str, float]], every: int
) -> None:
    found, counted = [], []
    for looks_every in (1, every):
        clock, store = FakeClock(), _Uses()
        activity, uses = _activity(store, clock, spend_per_hour=1.0)
        kinds = set()
        for number, (principal, action, resource, cost) in enumerate(done, 1):
            clock.advance(0.01)
            activity.note(principal, action, resource, cost)
            if number % looks_every == 0:
                kinds |= {alarm.kind for alarm in activity.look()}
        kinds |= {alarm.kind for alarm in activity.look()}
        uses.flush()
        found.append(kinds)
        counted.append(sum(use.count for use in store.added))
    assert found[0] == found[1]
    assert counted == [len(done), len(done)]


def test_a_store_that_does_not_answer_loses_nothing_that_was_done_nor_found() -> None:
    clock, store = FakeClock(), _Uses()
    activity, uses = _activity(store, clock)
    activity.note(_from(A), "predict", "project:cars")
    assert activity.look() == []
    store.answers = False
    for _ in range(2):
        for principal in (_from(B), replace(_from(A), name="ann")):
            activity.note(principal, "predict", "project:cars")
        with pytest.raises(Unavailable):
            activity.look()
    store.answers = True
    assert [alarm.kind for alarm in activity.look()] == ["token_reuse"]
    uses.flush()
    assert {use.principal: (use.action, use.count) for use in store.added} == {
        "bob": (ACTIVE, 3),
        "ann": (ACTIVE, 2),
    }
