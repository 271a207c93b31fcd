from __future__ import annotations

from pathlib import Path

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace.access.policy
from headrace.access.policy import ACTIONS, CedarPolicy
from headrace.core.errors import InvalidInput
from headrace.core.identity import ROLES, Circumstance, Principal, Resource, Role, Session
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


def test_the_docs_name_the_roles_that_may_send_labels_and_those_that_may_judge(project_root: Path) -> None:
    page = (project_root / "docs/how-to/learn-from-feedback.md").read_text(encoding="utf-8")
    sends, judges = (
        [role for role in ROLES if need <= MAY[role]]
        for need in ({"label.write"}, {"label.write", "data.read"})
    )
    assert set(sends) == {"developer", "operator", "admin"}
    assert "has the role `developer`, `operator` or `admin` (`label.write`" in page
    assert set(judges) == {"developer", "admin"}
    assert "`developer` or an `admin`, and neither an `operator` nor a `validator`" in page


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
_WORKSPACES = st.sampled_from(["main", "north"])
_PEOPLE = st.builds(
    Principal,
    name=st.one_of(st.sampled_from(["ann", "bob"]), _NAMES),
    kind=st.sampled_from(["person", "service", "agent"]),
    roles=st.lists(st.sampled_from(ROLES), unique=True).map(tuple),
    created_at=st.just(START),
    workspace=_WORKSPACES,
    session=st.one_of(
        st.none(),
        st.builds(Session, token=st.just("t"), tools=st.one_of(st.none(), st.just(("search", "read")))),
    ),
)
_RESOURCES = st.builds(
    Resource,
    kind=st.sampled_from(["project", "release", "principal", "tool", "agent", "policy"]),
    name=st.one_of(st.sampled_from(["ann", "bob", "search"]), _NAMES),
    workspace=_WORKSPACES,
    authors=st.lists(st.sampled_from(["ann", "bob"]), unique=True).map(tuple),
    risk=st.sampled_from(["", "low", "high"]),
    project=st.sampled_from(["", "cars"]),
)
_CIRCUMSTANCES = st.builds(
    Circumstance,
    proved=st.booleans(),
    proof=st.sampled_from(["", "code", "passkey"]),
    enrolled=st.sampled_from([(), ("code",), ("code", "passkey")]),
    arguments=st.sampled_from([(), (("path", "/public/a"),)]),
    granted=st.lists(st.sampled_from(ROLES), unique=True, max_size=1).map(tuple),
)


def _cedars_own(
    policy: CedarPolicy, principal: Principal, action: str, on: Resource, now: Circumstance
) -> tuple[bool, int]:
    """What a fresh parse of the whole text says, and by how many rules."""
    uid = {"type": principal.kind.capitalize(), "id": principal.name}
    what = {"type": on.kind.capitalize(), "id": on.name}
    about: dict[str, object] = {"name": principal.name, "workspace": principal.workspace}
    if principal.session is not None and principal.session.tools is not None:
        about["tools"] = list(principal.session.tools)
    attributes = {
        "name": on.name,
        "workspace": on.workspace,
        "authors": list(on.authors),
        "risk": on.risk,
        "project": on.project,
    }
    roles = [{"type": "Role", "id": role} for role in {*principal.roles, *now.granted}]
    entities = [
        {"uid": uid, "attrs": about, "parents": roles},
        {"uid": what, "attrs": attributes, "parents": []},
    ]
    if uid == what:
        entities = [{"uid": uid, "attrs": attributes | about, "parents": roles}]
    result = cedarpy.is_authorized(
        {
            "principal": uid,
            "action": {"type": "Action", "id": action},
            "resource": what,
            "context": {
                "proved": now.proved,
                "proof": now.proof,
                "enrolled": list(now.enrolled),
                "arguments": dict(now.arguments),
            },
        },
        ALWAYS + policy.text,
        entities,
    )
    return bool(result.allowed) and not result.diagnostics.errors, len(result.diagnostics.reasons)


POLICY = CedarPolicy()


@settings(max_examples=60)
@given(_PEOPLE, st.one_of(st.sampled_from(ACTIONS), _NAMES), _RESOURCES, _CIRCUMSTANCES)
def test_a_remembered_decision_is_cedars_own(
    principal: Principal, action: str, on: Resource, now: Circumstance
) -> None:
    first = POLICY.decide(principal, action, on, now)
    again = POLICY.decide(principal, action, on, now)
    assert first == again
    if not now.arguments:
        assert first is again
    if principal.name == on.name and principal.kind == on.kind and principal.workspace != on.workspace:
        assert not first.allowed
        return
    assert (first.allowed, len(first.rules)) == _cedars_own(POLICY, principal, action, on, now)


def test_whoever_acts_on_itself_is_one_entity() -> None:
    bot = Principal(name="bot", kind="agent", roles=("developer",), created_at=START)
    assert POLICY.decide(bot, "agent.prompt", Resource(kind="agent", name="bot")).allowed
    elsewhere = POLICY.decide(bot, "agent.prompt", Resource(kind="agent", name="bot", workspace="north"))
    assert (elsewhere.allowed, elsewhere.rules) == (False, ("another-workspace",))


@pytest.mark.parametrize("kind", ["", "a b", "a.b", "x-y", 'quote"'])
def test_a_kind_that_cedar_has_no_word_for_is_denied(kind: str) -> None:
    decision = POLICY.decide(_somebody(*ROLES), "project.read", Resource(kind=kind, name="x"))
    assert (decision.allowed, decision.rules) == (False, ("error",))


@pytest.mark.requirement("IDN-02")
@pytest.mark.parametrize(
    ("what", "action", "resource", "may"),
    [
        ("data", "data.read", "project:cars", {"developer", "validator", "admin"}),
        ("data", "data.erase", "project:cars", {"admin"}),
        ("models", "project.run", "project:cars", {"developer", "admin"}),
        ("models", "tracking.write", "project:cars", {"developer", "admin"}),
        ("prompts", "agent.prompt", "agent:helper", {"developer", "operator", "admin"}),
        ("deployments", "release.approve", "release:1", {"validator"}),
        ("deployments", "release.rollback", "project:cars", {"operator", "admin"}),
        ("traces", "trace.read", "project:cars", {"developer", "validator", "operator", "auditor"}),
        ("tools", "tool.call", "tool:search", set()),
    ],
)
def test_roles_govern_data_models_prompts_deployments_traces_and_tools(
    what: str, action: str, resource: str, may: set[str]
) -> None:
    on = Resource.parse(resource)
    assert {role for role in ROLES if POLICY.decide(_somebody(role), action, on).allowed} == may, what
    rule = f'@id("one") permit (principal in Role::"viewer", action == Action::"{action}", resource);'
    assert CedarPolicy(rule).decide(_somebody("viewer"), action, on).allowed, "a policy may say otherwise"


@given(st.lists(st.tuples(st.sampled_from(ROLES), st.sampled_from(ACTIONS)), max_size=40))
def test_the_order_of_questions_never_matters(questions: list[tuple[Role, str]]) -> None:
    policy = CedarPolicy()
    for role, action in questions:
        assert policy.decide(_somebody(role), action, CARS).allowed == (action in MAY[role])


def test_a_full_memory_of_decisions_changes_no_answer() -> None:
    policy = CedarPolicy(max_cached=4)
    for index in range(20):
        assert policy.decide(_somebody("viewer"), "project.read", Resource.parse(f"project:p{index}")).allowed


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        ("action", {"predict", "project.read", "made.up"}),
        ('action == Action::"predict"', {"predict"}),
        ('action in Action::"predict"', {"predict"}),
        ('action in [Action::"predict", Action::"made.up"]', {"predict", "made.up"}),
    ],
)
def test_every_form_of_a_rules_actions_is_understood(scope: str, may: set[str]) -> None:
    policy = CedarPolicy(f'@id("one") permit (principal, {scope}, resource);')
    asked = ("predict", "project.read", "made.up")
    on = Resource.parse("tool:search")
    decided = {action: policy.decide(_somebody("viewer"), action, on) for action in asked}
    assert {action for action, decision in decided.items() if decision.allowed} == may
    assert all(decided[action].rules == ("one",) for action in may)
