from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.access.abnormal import ACTIVE
from headrace.core.errors import Denied
from headrace.core.identity import Principal, Session
from headrace.testing import make_principal
from tests.access.people import Door

A, B = "93.184.0.0/16", "151.101.0.0/16"


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
    assert len(door.access.activity._waiting) == 100_000
