from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.access.identities import Identities
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound, Unauthenticated
from headrace.testing import START, FakeClock, MemoryEpoch
from tests.access.people import Door, MemoryAudit, MemoryPrincipals


def _days(number: float) -> timedelta:
    return timedelta(days=number)


@pytest.fixture
def staffed(door: Door) -> Door:
    """Ann administers, bob develops, and bob answers for an agent."""
    door.identities.ensure_first("ann")
    door.identities.add("bob", ["developer"], actor="ann")
    door.identities.add("scout", ["viewer"], actor="ann", kind="agent", owner="bob", purpose="reads papers")
    return door


@pytest.mark.requirement("IDN-06")
def test_an_agent_has_owner_purpose_end_and_review_like_a_person(staffed: Door) -> None:
    scout = staffed.identities.resolve("scout")
    assert (scout.kind, scout.owner, scout.purpose) == ("agent", "bob", "reads papers")
    assert scout.expires_at == START + _days(90)
    assert scout.review_by == START + _days(90)
    bob = staffed.identities.resolve("bob")
    assert (bob.expires_at, bob.review_by) == (None, START + _days(365))


@pytest.mark.requirement("IDN-06")
@pytest.mark.parametrize("kind", ["service", "agent"])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"owner": None}, "needs an owner who answers for it, got nobody"),
        ({"owner": "nobody"}, "got 'nobody'"),
        ({"owner": "scout"}, "got 'scout'. Expected a person"),
        ({"purpose": "  "}, "needs a purpose"),
        ({"expires_at": START + _days(366)}, "needs an end within 365 days"),
    ],
)
def test_a_machine_without_these_is_refused(
    staffed: Door, kind: str, wrong: dict[str, object], said: str
) -> None:
    good = {"kind": kind, "owner": "bob", "purpose": "labels"}
    with pytest.raises(InvalidInput, match=said):
        staffed.identities.add("robot", ["viewer"], actor="ann", **(good | wrong))  # type: ignore[arg-type]
    assert staffed.principals.find("robot") is None


def test_an_owner_belongs_to_the_same_workspace_and_is_still_there(staffed: Door) -> None:
    staffed.identities.add("ada", ["admin"], actor="ann", workspace="lab")
    machine = {"kind": "service", "purpose": "labels"}
    with pytest.raises(InvalidInput, match="a person of the workspace 'main'"):
        staffed.identities.add("robot", ["viewer"], actor="ann", owner="ada", **machine)  # type: ignore[arg-type]
    staffed.identities.set_expiry("bob", staffed.clock.now(), actor="ann")
    with pytest.raises(InvalidInput, match="got 'bob'"):
        staffed.identities.add("robot", ["viewer"], actor="ann", owner="bob", **machine)  # type: ignore[arg-type]


@pytest.mark.requirement("IDN-08")
def test_an_end_is_the_end_until_somebody_prolongs(staffed: Door) -> None:
    staffed.clock.advance(_days(90).total_seconds())
    with pytest.raises(Unauthenticated, match="'scout' has expired .* access user expire scout --in"):
        staffed.identities.resolve("scout")
    staffed.identities.set_expiry("scout", staffed.clock.now() + _days(30), actor="ann")
    assert staffed.identities.resolve("scout").name == "scout"
    with pytest.raises(InvalidInput, match="within 365 days"):
        staffed.identities.set_expiry("scout", staffed.clock.now() + _days(366), actor="ann")


@pytest.mark.requirement("IDN-06")
def test_a_review_puts_the_next_one_off_by_a_year_at_most(staffed: Door) -> None:
    later = START + _days(200)
    assert staffed.identities.review("scout", later, actor="ann").review_by == later
    for wrong in (START, START + _days(366)):
        with pytest.raises(InvalidInput, match="next 365 days"):
            staffed.identities.review("scout", wrong, actor="ann")


@pytest.mark.requirement("IDN-08")
def test_a_frozen_identity_does_nothing_from_the_next_request_on_in_every_process(staffed: Door) -> None:
    elsewhere = Identities(staffed.principals, staffed.audit, staffed.store.epoch, staffed.clock)
    assert elsewhere.resolve("bob").frozen is None
    staffed.identities.freeze("bob", "a lost laptop", actor="ann")
    with pytest.raises(Unauthenticated, match="'bob' is frozen: a lost laptop"):
        elsewhere.resolve("bob")
    staffed.identities.freeze("bob", "something else", actor="ann")
    assert staffed.principals.get("bob").frozen == "a lost laptop"
    staffed.identities.unfreeze("bob", actor="ann")
    assert elsewhere.resolve("bob").roles == ("developer",)


def test_freezing_needs_a_reason(staffed: Door) -> None:
    with pytest.raises(InvalidInput, match="needs a reason"):
        staffed.identities.freeze("bob", " ", actor="ann")


def test_changes_are_audited_before_they_hold(staffed: Door) -> None:
    staffed.identities.freeze("bob", "a lost laptop", actor="ann")
    entry = staffed.audit.entries[-1]
    assert (entry.actor, entry.action, entry.resource) == ("ann", "access.write", "principal:bob")
    assert entry.detail == {"frozen": True}


def test_roles_are_taken_away_one_by_one_but_not_the_last(staffed: Door) -> None:
    staffed.clock.advance(60)
    left = staffed.identities.remove_role("ann", "operator", actor="root")
    assert left.roles == ("developer", "admin")
    assert left.roles_since == staffed.clock.now()
    with pytest.raises(InvalidInput, match="does not hold the role 'operator'"):
        staffed.identities.remove_role("ann", "operator", actor="root")
    with pytest.raises(InvalidInput, match="headrace access user expire bob"):
        staffed.identities.remove_role("bob", "developer", actor="ann")


def test_names_are_unique_over_all_workspaces_and_kind_stands(staffed: Door) -> None:
    for changed in ({"workspace": "lab"}, {"kind": "agent"}):
        with pytest.raises(Conflict, match="'bob' is taken by another identity"):
            staffed.identities.add("bob", ["viewer"], actor="ann", **changed)  # type: ignore[arg-type]


def test_the_last_admin_of_a_workspace_can_be_neither_stripped_frozen_nor_expired(staffed: Door) -> None:
    ids = staffed.identities
    ids.add("ada", ["admin", "developer"], actor="ann", workspace="lab")
    ids.add("robot", ["admin"], actor="ann", kind="service", owner="ann", purpose="tries to be the admin")
    attempts: list[Callable[[], object]] = [
        lambda: ids.remove_role("ada", "admin", actor="ann"),
        lambda: ids.add("ada", ["viewer"], actor="ann"),
        lambda: ids.freeze("ada", "suspicious", actor="ann"),
        lambda: ids.set_expiry("ada", START, actor="ann"),
        lambda: ids.set_expiry("ada", START + _days(30), actor="ann"),
        lambda: ids.freeze("ann", "an admin of another workspace is no help", actor="root"),
    ]
    for attempt in attempts:
        with pytest.raises(Conflict, match="is the only identity with the role admin in the workspace"):
            attempt()
    ids.add("eve", ["admin"], actor="ann", workspace="lab", expires_at=START + _days(1))
    with pytest.raises(Conflict):  # eve leaves tomorrow
        ids.set_expiry("ada", START + _days(30), actor="ann")
    ids.add("eva", ["admin"], actor="ann", workspace="lab")
    assert ids.remove_role("ada", "admin", actor="ann").roles == ("developer",)


def test_nobody_is_changed_who_is_not_known(door: Door) -> None:
    with pytest.raises(NotFound):
        door.identities.unfreeze("nobody", actor="ann")
    with pytest.raises(NotFound):
        door.identities.freeze("nobody", "odd", actor="ann")


@pytest.mark.requirement("IDN-05")
def test_nobody_changes_their_own_rights_whatever_they_hold(staffed: Door) -> None:
    staffed.identities.add("eve", ["admin", "validator", "operator"], actor="ann")
    eve = staffed.identities.resolve("eve")
    with pytest.raises(Denied, match="Nobody changes their own roles, end or review"):
        staffed.gatekeeper.require(eve, "access.write", "principal:eve")
    staffed.gatekeeper.require(eve, "access.write", "principal:bob")


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["strip", "freeze", "unfreeze", "expire", "later", "admin", "wait"]),
        st.sampled_from(["ann", "bob", "eve"]),
    ),
    max_size=25,
)


@given(_STEPS)
@settings(max_examples=150)
def test_whatever_admins_do_somebody_administers(steps: list[tuple[str, str]]) -> None:
    clock, principals = FakeClock(), MemoryPrincipals()
    ids = Identities(principals, MemoryAudit(), MemoryEpoch(), clock)
    ids.ensure_first("ann")
    ids.add("bob", ["developer"], actor="ann")
    ids.add("eve", ["developer", "admin"], actor="ann")
    for step, name in steps:
        try:
            match step:
                case "strip":
                    ids.remove_role(name, "admin", actor="x")
                case "freeze":
                    ids.freeze(name, "x", actor="x")
                case "unfreeze":
                    ids.unfreeze(name, actor="x")
                case "expire" | "later":
                    days = _days(0 if step == "expire" else 5)
                    ids.set_expiry(name, clock.now() + days, actor="x")
                case "admin":
                    ids.add(name, ["developer", "admin"], actor="x")
                case "wait":
                    clock.advance(_days(3).total_seconds())
        except (Conflict, InvalidInput):
            continue
        now = clock.now()
        assert any(
            "admin" in p.roles and p.frozen is None and (p.expires_at is None or p.expires_at > now)
            for p in principals.list()
        )
