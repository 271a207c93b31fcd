from __future__ import annotations

from pathlib import Path

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import headrace.access.policy
from headrace.access.policy import ACTIONS, CedarPolicy
from headrace.core.errors import InvalidInput
from headrace.core.identity import ROLES, Principal, Resource, Role
from headrace.testing import START
from headrace.testing.suites.policy import MAY

CARS = Resource.parse("project:cars")
ALWAYS = (Path(headrace.access.policy.__file__).parent / "always.cedar").read_text()


def _somebody(*roles: Role, name: str = "ann") -> Principal:
    return Principal(name=name, kind="person", roles=roles, created_at=START)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_exactly_what_it_is_for(role: Role) -> None:
    policy = CedarPolicy()
    allowed = {action for action in ACTIONS if policy.decide(_somebody(role), action, CARS).allowed}
    assert allowed == MAY[role]


def test_whoever_has_no_role_may_nothing() -> None:
    policy = CedarPolicy()
    assert not any(policy.decide(_somebody(), action, CARS).allowed for action in ACTIONS)


def test_an_action_that_no_rule_names_is_denied_to_everybody() -> None:
    assert not CedarPolicy().decide(_somebody(*ROLES), "universe.delete", CARS).allowed


def test_a_decision_names_its_rules_and_its_policy() -> None:
    policy = CedarPolicy()
    decision = policy.decide(_somebody("developer", "validator"), "data.read", CARS)
    assert decision.rules == ("developer", "validator")
    assert decision.policy == policy.digest


def test_roles_add_up() -> None:
    decision = CedarPolicy().decide(_somebody("admin", "validator"), "release.approve", CARS)
    assert decision.allowed


def test_a_policy_of_ones_own_may_name_one_project() -> None:
    policy = CedarPolicy(
        '@id("only-cars") permit (principal == Person::"ann", action, resource == Project::"cars");'
    )
    assert policy.decide(_somebody(), "predict", CARS).allowed
    assert not policy.decide(_somebody(), "predict", Resource.parse("project:vans")).allowed
    assert not policy.decide(_somebody(name="bob"), "predict", CARS).allowed


def test_a_rule_that_cannot_be_evaluated_denies() -> None:
    policy = CedarPolicy(
        "permit (principal, action, resource);"
        '@id("broken") forbid (principal, action, resource) when { principal.colour == "red" };'
    )
    decision = policy.decide(_somebody("admin"), "predict", CARS)
    assert not decision.allowed
    assert decision.rules[0] == "error"


def test_a_policy_that_does_not_parse_is_refused_at_once() -> None:
    with pytest.raises(InvalidInput, match="does not parse"):
        CedarPolicy("permit (")


_NAMES = st.text(min_size=1, max_size=12)


@given(
    name=_NAMES,
    kind=st.sampled_from(["person", "service", "agent"]),
    roles=st.lists(st.sampled_from(ROLES), unique=True).map(tuple),
    action=st.one_of(st.sampled_from(ACTIONS), _NAMES),
    project=_NAMES,
)
def test_a_remembered_decision_is_cedars_own(
    name: str, kind: str, roles: tuple[Role, ...], action: str, project: str
) -> None:
    policy = CedarPolicy()
    principal = Principal(name=name, kind=kind, roles=roles, created_at=START)  # type: ignore[arg-type]
    first = policy.decide(principal, action, Resource(kind="project", name=project))
    again = policy.decide(principal, action, Resource(kind="project", name=project))
    uid = {"type": kind.capitalize(), "id": name}
    cedar = cedarpy.is_authorized(
        {
            "principal": uid,
            "action": {"type": "Action", "id": action},
            "resource": {"type": "Project", "id": project},
            "context": {"proved": False, "proof": "", "enrolled": [], "arguments": {}},
        },
        ALWAYS + policy.text,
        [
            {
                "uid": uid,
                "attrs": {"name": name, "workspace": "main"},
                "parents": [{"type": "Role", "id": role} for role in roles],
            },
            {
                "uid": {"type": "Project", "id": project},
                "attrs": {"workspace": "main", "authors": [], "risk": ""},
                "parents": [],
            },
        ],
    )
    assert first is again
    assert first.allowed == bool(cedar.allowed)
    assert len(first.rules) == len(cedar.diagnostics.reasons)


@given(st.lists(st.tuples(st.sampled_from(ROLES), st.sampled_from(ACTIONS)), max_size=40))
def test_the_order_of_questions_never_matters(questions: list[tuple[Role, str]]) -> None:
    policy = CedarPolicy()
    for role, action in questions:
        assert policy.decide(_somebody(role), action, CARS).allowed == (action in MAY[role])


def test_a_full_memory_of_decisions_changes_no_answer() -> None:
    policy = CedarPolicy(max_cached=4)
    for index in range(20):
        assert policy.decide(_somebody("viewer"), "project.read", Resource.parse(f"project:p{index}")).allowed
