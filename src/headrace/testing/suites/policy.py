"""What every access policy promises: the table of roles, and no otherwise."""

from __future__ import annotations

import pytest

from headrace.core.identity import ROLES, Role
from headrace.core.ports import Policy
from headrace.testing.factories import make_principal

ACTIONS = (
    "project.read",
    "project.run",
    "release.approve",
    "release.reject",
    "release.rollback",
    "predict",
    "label.write",
    "monitor.run",
    "access.write",
    "audit.read",
)
MAY: dict[Role, frozenset[str]] = {
    "viewer": frozenset({"project.read"}),
    "developer": frozenset({"project.read", "project.run", "predict", "label.write", "monitor.run"}),
    "validator": frozenset({"project.read", "release.approve", "release.reject"}),
    "operator": frozenset({"project.read", "predict", "label.write", "monitor.run", "release.rollback"}),
    "auditor": frozenset({"project.read", "audit.read"}),
    "admin": frozenset(ACTIONS) - {"release.approve", "release.reject"},
}


class PolicySuite:
    """Fixture ``policy``: the policy that a new home has."""

    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize("action", ACTIONS)
    def test_a_role_may_what_the_table_says(self, policy: Policy, role: Role, action: str) -> None:
        decision = policy.decide(make_principal(roles=(role,)), action, "project:cars")
        assert decision.allowed == (action in MAY[role])
        assert decision.policy

    def test_what_is_allowed_names_its_rule(self, policy: Policy) -> None:
        decision = policy.decide(make_principal(roles=("viewer",)), "project.read", "project:cars")
        assert decision.rules

    @pytest.mark.parametrize("action", [*ACTIONS, "unheard.of", ""])
    def test_without_a_role_nothing_is_allowed(self, policy: Policy, action: str) -> None:
        assert not policy.decide(make_principal(roles=()), action, "project:cars").allowed

    @pytest.mark.parametrize("role", ROLES)
    def test_an_unknown_action_is_denied(self, policy: Policy, role: Role) -> None:
        assert not policy.decide(make_principal(roles=(role,)), "unheard.of", "project:cars").allowed

    def test_roles_add_up(self, policy: Policy) -> None:
        both = make_principal(roles=("viewer", "validator"))
        assert policy.decide(both, "release.approve", "project:cars").allowed
        assert not policy.decide(both, "project.run", "project:cars").allowed

    def test_changed_roles_count_at_once(self, policy: Policy) -> None:
        assert policy.decide(make_principal(roles=("developer",)), "project.run", "project:cars").allowed
        assert not policy.decide(make_principal(roles=("viewer",)), "project.run", "project:cars").allowed

    @pytest.mark.parametrize("resource", ["project:cars", 'project:"quoted"', "release:1", "unheard.of:x"])
    def test_odd_resources_raise_nothing(self, policy: Policy, resource: str) -> None:
        policy.decide(make_principal(roles=("viewer",)), "project.read", resource)
