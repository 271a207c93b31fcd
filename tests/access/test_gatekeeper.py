from __future__ import annotations

import pytest

from headrace.core.errors import Denied, Unauthenticated
from tests.access.people import Door


def test_a_bearer_token_is_an_identity(door: Door) -> None:
    assert door.gatekeeper.authenticate(door.enter("ann", "viewer")).name == "ann"


def test_the_scheme_is_not_case_sensitive(door: Door) -> None:
    header = door.enter("ann", "viewer").replace("Bearer", "bearer")
    assert door.gatekeeper.authenticate(header).name == "ann"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "token", "Bearer x y"])
def test_anything_else_is_not(door: Door, header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        door.gatekeeper.authenticate(header)


def test_a_refusal_says_who_may(door: Door) -> None:
    principal = door.gatekeeper.authenticate(door.enter("ann", "developer", "admin"))
    with pytest.raises(Denied, match=r"'ann' .*release.approve on project:cars. Roles that may: validator"):
        door.gatekeeper.require(principal, "release.approve", "project:cars")


def test_a_refusal_is_audited_and_a_permission_is_not(door: Door) -> None:
    principal = door.gatekeeper.authenticate(door.enter("ann", "viewer"))
    before = len(door.audit.entries)
    door.gatekeeper.require(principal, "project.read", "project:cars")
    assert len(door.audit.entries) == before
    with pytest.raises(Denied):
        door.gatekeeper.require(principal, "predict", "project:cars")
    entry = door.audit.entries[-1]
    assert (entry.actor, entry.action, entry.resource) == ("ann", "access.denied", "project:cars")
    assert entry.detail["action"] == "predict"


def test_asking_leaves_no_trace(door: Door) -> None:
    principal = door.gatekeeper.authenticate(door.enter("ann", "viewer"))
    before = len(door.audit.entries)
    assert not door.gatekeeper.allows(principal, "predict", "project:cars")
    assert len(door.audit.entries) == before


def test_an_action_for_nobody_says_so(door: Door) -> None:
    principal = door.gatekeeper.authenticate(door.enter("ann", "admin"))
    with pytest.raises(Denied, match="No role may"):
        door.gatekeeper.require(principal, "universe.delete", "project:cars")


def test_new_roles_hold_for_tokens_already_issued(door: Door) -> None:
    header = door.enter("ann", "operator")
    door.gatekeeper.require(door.gatekeeper.authenticate(header), "predict", "project:cars")
    door.identities.add("ann", ["viewer"], actor="root")
    with pytest.raises(Denied):
        door.gatekeeper.require(door.gatekeeper.authenticate(header), "predict", "project:cars")
