"""What every access policy promises: the table of roles, and no otherwise."""

from __future__ import annotations

import pytest

from headrace.core.identity import ROLES, Resource, Role
from headrace.core.ports import Policy
from headrace.testing.factories import make_principal

EVERYBODY = frozenset({"project.read", "policy.read", "grant.ask", "incident.raise"})
MAY: dict[Role, frozenset[str]] = {
    "caller": frozenset({"predict"}),
    "viewer": EVERYBODY,
    "developer": EVERYBODY
    | {"project.run", "predict", "label.write", "monitor.run", "data.read", "trace.read"}
    | {"tracking.write", "agent.prompt", "waiver.ask", "policy.propose", "alert.answer"},
    "validator": EVERYBODY
    | {"release.approve", "release.reject", "data.read", "trace.read", "waiver.decide", "policy.decide"}
    | {"alert.answer", "draft.decide"},
    "operator": EVERYBODY
    | {"predict", "label.write", "monitor.run", "release.rollback", "trace.read", "agent.prompt"}
    | {"incident.work", "grant.break_glass", "alert.answer", "draft.decide"},
    "auditor": EVERYBODY
    | {"audit.read", "access.read", "trace.read", "incident.work", "waiver.decide", "policy.decide"},
    "admin": EVERYBODY
    | {"project.run", "release.rollback", "predict", "label.write", "monitor.run", "data.read"}
    | {"data.erase", "tracking.write", "agent.prompt", "waiver.ask", "grant.decide", "policy.propose"}
    | {"policy.decide", "incident.work", "access.read", "access.write", "factor.reset", "workspace.write"}
    | {"audit.read", "grant.break_glass", "alert.answer"},
}
ACTIONS = sorted({*frozenset[str]().union(*MAY.values()), "tool.call", "token.issue"})
CARS = Resource(kind="project", name="cars")


class PolicySuite:
    """Fixture ``policy``: the policy that a new home has."""

    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize("action", ACTIONS)
    def test_a_role_may_what_the_table_says(self, policy: Policy, role: Role, action: str) -> None:
        decision = policy.decide(make_principal(roles=(role,)), action, CARS)
        assert decision.allowed == (action in MAY[role])
        assert decision.policy

    def test_what_is_allowed_names_its_rule(self, policy: Policy) -> None:
        decision = policy.decide(make_principal(roles=("viewer",)), "project.read", CARS)
        assert decision.rules

    @pytest.mark.parametrize("action", [*ACTIONS, "unheard.of", ""])
    def test_without_a_role_nothing_is_allowed(self, policy: Policy, action: str) -> None:
        assert not policy.decide(make_principal(roles=()), action, CARS).allowed

    @pytest.mark.parametrize("role", ROLES)
    def test_an_unknown_action_is_denied(self, policy: Policy, role: Role) -> None:
        assert not policy.decide(make_principal(roles=(role,)), "unheard.of", CARS).allowed

    def test_roles_add_up(self, policy: Policy) -> None:
        both = make_principal(roles=("viewer", "validator"))
        assert policy.decide(both, "release.approve", CARS).allowed
        assert not policy.decide(both, "project.run", CARS).allowed

    def test_changed_roles_count_at_once(self, policy: Policy) -> None:
        assert policy.decide(make_principal(roles=("developer",)), "project.run", CARS).allowed
        assert not policy.decide(make_principal(roles=("viewer",)), "project.run", CARS).allowed

    @pytest.mark.parametrize("resource", ["project:cars", 'project:"quoted"', "release:1", "unheard.of:x"])
    def test_odd_resources_raise_nothing(self, policy: Policy, resource: str) -> None:
        policy.decide(make_principal(roles=("viewer",)), "project.read", Resource.parse(resource))
