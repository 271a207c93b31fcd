"""Which policy is in force, whatever the database holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from headrace.access.policies import Policies, check_keys
from headrace.access.policy import DEFAULT, CedarPolicy
from headrace.access.resources import policy_id
from headrace.core.canonical import digest_bytes
from headrace.core.errors import Conflict
from headrace.core.identity import PolicyText, Resource
from headrace.core.ports import Policy
from headrace.testing import START, PolicySuite, make_principal
from tests.access.people import Door

CLOSED = '@id("nothing") forbid (principal, action, resource);'
CARS = Resource(kind="project", name="cars")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One store for all tests: each has a workspace of its own."""
    door = Door(tmp_path_factory.mktemp("policies") / "home")
    yield door
    door.close()


_NUMBERS = count()


@pytest.fixture
def workspace() -> str:
    return f"w{next(_NUMBERS)}"


class TestPolicies(PolicySuite):
    @pytest.fixture
    def policy(self, door: Door) -> Policy:
        return _policies(door)


def _policies(door: Door) -> Policies:
    return Policies(door.store.policies, door.store.incidents, door.store.epoch, door.clock)


def make_text(
    version: int = 1, text: str = CLOSED, *, workspace: str = "main", **changes: object
) -> PolicyText:
    made = PolicyText(
        id=policy_id(workspace, str(version)),
        workspace=workspace,
        subject=workspace,
        version=version,
        text=text,
        digest=digest_bytes(text.encode()),
        author="ann",
        at=START,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def _kept(door: Door, text: PolicyText) -> None:
    door.store.policies.add(text)
    door.store.epoch.advance()


def test_the_default_holds_until_a_text_is_live(door: Door, workspace: str) -> None:
    policies, ann = _policies(door), make_principal(roles=("developer",), workspace=workspace)
    cars = replace(CARS, workspace=workspace)
    assert policies.in_force(workspace).version == 0
    _kept(door, make_text(workspace=workspace))
    assert policies.decide(ann, "predict", cars).allowed
    _kept(door, make_text(2, workspace=workspace, state="live"))
    assert policies.in_force(workspace).version == 2
    assert not policies.decide(ann, "predict", cars).allowed


@pytest.mark.requirement("MCP-06")
def test_each_workspace_has_a_policy_of_its_own(door: Door) -> None:
    policies = _policies(door)
    _kept(door, make_text(workspace="elsewhere", state="live"))
    here = make_principal(roles=("developer",))
    there = make_principal(roles=("developer",), workspace="elsewhere")
    assert policies.decide(here, "predict", CARS).allowed
    assert not policies.decide(there, "predict", replace(CARS, workspace="elsewhere")).allowed
    assert not policies.decide(there, "predict", CARS).allowed


@pytest.mark.requirement("MCP-13")
def test_a_text_stored_by_another_process_holds_at_once_and_without_word_of_it_in_a_second(
    door: Door, workspace: str
) -> None:
    policies, other = _policies(door), _policies(door)
    assert other.in_force(workspace).version == 0
    _kept(door, make_text(workspace=workspace, state="live"))
    assert policies.in_force(workspace).version == other.in_force(workspace).version == 1
    # The process that approved version 2 was killed before it could say so.
    door.store.policies.add(make_text(2, DEFAULT, workspace=workspace, state="live"))
    door.clock.advance(1.1)
    assert policies.in_force(workspace).version == other.in_force(workspace).version == 2


@pytest.mark.parametrize("broken", ["permit (", "", "\x00", "permit (principal);"])
def test_a_text_that_cannot_be_used_leaves_the_one_before_in_force(
    door: Door, workspace: str, broken: str
) -> None:
    _kept(door, make_text(1, CLOSED, workspace=workspace, state="superseded"))
    damaged = make_text(2, broken, workspace=workspace, state="live")
    if not broken:
        damaged = replace(damaged, digest=digest_bytes(b"what was approved"))
    _kept(door, damaged)
    for policies in (_policies(door), _policies(door)):
        for _ in range(3):
            assert policies.in_force(workspace).version == 1
            door.clock.advance(2)
    (incident,) = door.store.incidents.list(workspace=workspace)
    assert (incident.kind, incident.subject, incident.state) == ("policy_broken", "ann", "open")
    assert incident.evidence["version"] == 2


def test_with_nothing_else_left_the_default_holds(door: Door, workspace: str) -> None:
    _kept(door, make_text(1, "permit (", workspace=workspace, state="live"))
    assert _policies(door).in_force(workspace).version == 0


def test_the_newest_live_text_wins_when_a_process_died_before_tidying_up(door: Door, workspace: str) -> None:
    for version in (1, 3, 2):
        _kept(door, make_text(version, CLOSED + f"// {version}", workspace=workspace, state="live"))
    assert _policies(door).in_force(workspace).version == 3


def test_a_policy_that_locks_everybody_out_is_refused_with_who_is_lost() -> None:
    people = [make_principal(name="root", roles=("admin",)), make_principal(name="vic", roles=("validator",))]
    check_keys(CedarPolicy(), CedarPolicy(), people, "main")
    no_admin = DEFAULT.replace('Role::"admin",\n  action in', 'Role::"viewer",\n  action in')
    assert no_admin != DEFAULT
    with pytest.raises(Conflict, match=r"nobody in 'main' could access.write .* Today root can"):
        check_keys(CedarPolicy(no_admin), CedarPolicy(), people, "main")
    with pytest.raises(Conflict, match="could access.write"):
        check_keys(CedarPolicy(CLOSED), CedarPolicy(), people, "main")


def test_the_record_survives_the_process(tmp_path: Path) -> None:
    first = Door(tmp_path / "home")
    _kept(first, make_text(state="live"))
    first.close()
    again = Door(tmp_path / "home")
    assert _policies(again).in_force("main").version == 1
    again.close()
