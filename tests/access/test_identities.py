from __future__ import annotations

import pytest

from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.identity import Principal
from tests.access.people import Door


def test_an_added_identity_is_resolved_with_its_roles(door: Door) -> None:
    door.identities.add("reviewer", ["validator", "viewer"], actor="ann")
    assert door.identities.resolve("reviewer").roles == ("viewer", "validator")


def test_adding_is_audited_with_what_was_there_before(door: Door) -> None:
    door.identities.add("bob", ["viewer"], actor="ann")
    door.identities.add("bob", ["operator"], actor="ann")
    entry = door.audit.entries[-1]
    assert (entry.actor, entry.action, entry.resource) == ("ann", "access.write", "principal:bob")
    assert entry.detail == {"roles": ["operator"], "before": ["viewer"]}


def test_a_change_here_takes_effect_at_once(door: Door) -> None:
    door.identities.add("bob", ["viewer"], actor="ann")
    assert door.identities.resolve("bob").roles == ("viewer",)
    door.identities.add("bob", ["operator"], actor="ann")
    assert door.identities.resolve("bob").roles == ("operator",)


def test_a_removal_elsewhere_is_noticed_within_a_second(door: Door) -> None:
    door.identities.add("bob", ["viewer"], actor="ann")
    door.identities.resolve("bob")
    door.principals.forget("bob")
    door.clock.advance(1.0)
    with pytest.raises(NotFound):
        door.identities.resolve("bob")


def test_a_request_costs_no_query(door: Door) -> None:
    door.identities.add("bob", ["viewer"], actor="ann")
    door.identities.resolve("bob")
    before = door.principals.looked_up
    for _ in range(100):
        door.identities.resolve("bob")
    assert door.principals.looked_up == before


def test_an_unknown_name_says_how_to_add_it(door: Door) -> None:
    with pytest.raises(NotFound, match="headrace access user add nobody --role"):
        door.identities.resolve("nobody")


def test_the_first_identity_may_do_all_but_approve(door: Door) -> None:
    first = door.identities.ensure_first("ann")
    assert first.roles == ("developer", "operator", "admin")
    assert door.identities.ensure_first("ann") == first


@pytest.mark.parametrize("other", ["ann", "mallory"])
def test_of_two_who_are_first_at_once_one_is(door: Door, other: str) -> None:
    """Both have found nobody here; the other one is quicker."""
    seen = door.principals.list

    def nobody_yet() -> list[Principal]:
        door.principals.list = seen  # type: ignore[method-assign]
        door.identities.ensure_first(other)
        return []

    door.principals.list = nobody_yet  # type: ignore[method-assign]
    if other == "ann":
        assert door.identities.ensure_first("ann").roles == ("developer", "operator", "admin")
    else:
        with pytest.raises(NotFound, match="headrace access user add ann"):
            door.identities.ensure_first("ann")
    assert [principal.name for principal in door.principals.list()] == [other]


def test_the_last_admin_stays_one(door: Door) -> None:
    door.identities.ensure_first("ann")
    with pytest.raises(Conflict, match="'ann' is the only identity with the role admin.* Keep it as it is"):
        door.identities.add("ann", ["developer"], actor="ann")
    assert "admin" in door.identities.resolve("ann").roles
    door.identities.add("bob", ["admin"], actor="ann")
    assert door.identities.add("ann", ["developer"], actor="bob").roles == ("developer",)


def test_a_second_unknown_identity_is_not_let_in(door: Door) -> None:
    door.identities.ensure_first("ann")
    with pytest.raises(NotFound):
        door.identities.ensure_first("mallory")


@pytest.mark.parametrize("roles", [[], ["god"], ["viewer", "root"]])
def test_roles_must_exist(door: Door, roles: list[str]) -> None:
    with pytest.raises(InvalidInput, match="viewer, developer, validator"):
        door.identities.add("bob", roles, actor="ann")


@pytest.mark.parametrize("name", ["", "Bob", "a b", "x" * 64, "bob\nadmin", "../bob"])
def test_names_fit_a_folder_a_url_and_a_label(door: Door, name: str) -> None:
    with pytest.raises(InvalidInput):
        door.identities.add(name, ["viewer"], actor="ann")
