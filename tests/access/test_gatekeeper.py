from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.access.gatekeeper import Gatekeeper
from headrace.access.opening import open_access
from headrace.access.policy import CedarPolicy
from headrace.core.errors import Denied, Unauthenticated
from headrace.core.identity import Grant, Principal, Resource, Session
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


def test_a_removed_identity_is_turned_away(door: Door) -> None:
    header = door.enter("bob", "viewer")
    assert door.gatekeeper.authenticate(header).name == "bob"
    door.principals.forget("bob")
    door.clock.advance(1.0)
    with pytest.raises(Unauthenticated, match="no longer known"):
        door.gatekeeper.authenticate(header)


def test_a_token_for_another_workspace_is_refused(door: Door) -> None:
    door.enter("ann", "viewer")
    elsewhere = replace(door.principals.get("ann"), workspace="lab")
    with pytest.raises(Unauthenticated, match="for the workspace 'lab'"):
        door.gatekeeper.authenticate(f"Bearer {door.tokens.issue(elsewhere)}")


def test_a_frozen_identity_is_refused_at_once(door: Door) -> None:
    header = door.enter("ann", "viewer")
    door.gatekeeper.authenticate(header)
    door.principals.save(replace(door.principals.get("ann"), frozen="looked odd"))
    door.store.epoch.advance()
    with pytest.raises(Unauthenticated, match="frozen: looked odd"):
        door.gatekeeper.authenticate(header)


@pytest.mark.requirement("IDN-04")
def test_an_agent_calls_only_the_tools_that_its_token_names(door: Door) -> None:
    agent = door.agent("scout")
    token = door.tokens.issue(agent, run="r7", tools=("search",), ttl_s=60)
    speaking = door.gatekeeper.authenticate(f"Bearer {token}")
    assert speaking.session is not None
    assert (speaking.session.run, speaking.session.tools) == ("r7", ("search",))
    permitted = CedarPolicy('permit (principal, action == Action::"tool.call", resource);')
    search, erase = Resource.parse("tool:search"), Resource.parse("tool:erase")
    assert permitted.decide(speaking, "tool.call", search).allowed
    assert permitted.decide(speaking, "tool.call", erase).rules == ("bound-tools",)
    assert permitted.decide(agent, "tool.call", search).rules == ("agent-tools",)
    door.clock.advance(60)
    with pytest.raises(Unauthenticated, match="expired"):
        door.gatekeeper.authenticate(f"Bearer {token}")


def test_new_roles_reach_a_session_that_is_under_way(door: Door) -> None:
    header = door.enter("ann", "viewer")
    assert door.gatekeeper.authenticate(header).roles == ("viewer",)
    door.identities.add("ann", ["operator"], actor="root")
    again = door.gatekeeper.authenticate(header)
    assert again.roles == ("operator",)
    assert again.session is not None


TOOLS = """
@id("public-files")
permit (principal == Agent::"scout", action == Action::"tool.call", resource == Tool::"read")
when { context.arguments has path && context.arguments.path like "/public/*" };
@id("may-prompt")
permit (principal in Role::"operator", action == Action::"agent.prompt", resource == Agent::"scout");
"""


@pytest.fixture
def tools(door: Door) -> Gatekeeper:
    """The same door under a policy for one agent, one tool and one argument."""
    return open_access(door.store, door.home / "keys", door.clock, CedarPolicy(TOOLS)).gatekeeper


def _bound(door: Door, *names: str) -> Principal:
    return replace(door.agent("scout"), session=Session(token="t", run="r1", tools=names))


@pytest.mark.requirement("MCP-05")
@pytest.mark.parametrize(
    ("bound_to", "tool", "arguments", "allowed"),
    [
        (("read",), "read", {"path": "/public/a.txt"}, True),
        (("read", "write"), "read", {"path": "/public/a.txt", "mode": "text"}, True),
        (("read",), "read", {"path": "/private/a.txt"}, False),
        (("read",), "read", {"path": "/PUBLIC/a.txt"}, False),
        (("read",), "read", {"url": "/public/a.txt"}, False),
        (("read",), "read", {}, False),
        (("write",), "read", {"path": "/public/a.txt"}, False),
        (("read", "write"), "write", {"path": "/public/a.txt"}, False),
        ((), "read", {"path": "/public/a.txt"}, False),
    ],
)
def test_an_agent_calls_the_tools_and_with_the_arguments_that_the_policy_names(
    door: Door,
    tools: Gatekeeper,
    bound_to: tuple[str, ...],
    tool: str,
    arguments: dict[str, str],
    allowed: bool,
) -> None:
    me = _bound(door, *bound_to)
    assert tools.allows(me, "tool.call", f"tool:{tool}", arguments) is allowed
    if not allowed:
        with pytest.raises(Denied, match="tool.call"):
            tools.require(me, "tool.call", f"tool:{tool}", arguments)
        assert "/p" not in str(door.audit.entries[-1]).lower(), "arguments are not for the log"


@pytest.mark.requirement("MCP-05")
def test_another_agent_may_not_and_the_default_policy_permits_no_tool_at_all(
    door: Door, tools: Gatekeeper
) -> None:
    scout = _bound(door, "read")
    call = ("tool.call", "tool:read", {"path": "/public/a"})
    assert not tools.allows(replace(scout, name="rover"), *call)
    assert not door.gatekeeper.allows(scout, *call)
    assert not tools.allows(replace(scout, session=None), *call), "who it is does not suffice"


@pytest.mark.requirement("MCP-10")
def test_who_may_prompt_an_agent_is_a_permission_of_its_own(door: Door, tools: Gatekeeper) -> None:
    door.agent("scout")
    door.agent("rover")
    may = {name: door.gatekeeper.authenticate(door.enter(name, role)) for name, role in _PROMPTERS}
    assert tools.allows(may["otto"], "agent.prompt", "agent:scout")
    assert not tools.allows(may["otto"], "agent.prompt", "agent:rover"), "each agent for itself"
    assert not tools.allows(may["dev"], "agent.prompt", "agent:scout")
    assert door.gatekeeper.allows(may["dev"], "agent.prompt", "agent:scout")
    with pytest.raises(Denied, match="may not agent.prompt on agent:scout. Roles that may: developer"):
        door.gatekeeper.require(may["vera"], "agent.prompt", "agent:scout")


@pytest.mark.requirement("MCP-10")
def test_an_agent_of_another_workspace_is_prompted_by_nobody_here(door: Door) -> None:
    door.principals.save(replace(door.agent("scout"), name="north-scout", workspace="north"))
    dev = door.gatekeeper.authenticate(door.enter("dev", "developer"))
    with pytest.raises(Denied, match="another workspace"):
        door.gatekeeper.require(dev, "agent.prompt", "agent:north-scout")


_PROMPTERS = (("otto", "operator"), ("dev", "developer"), ("vera", "viewer"))


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("roles"), st.sampled_from(["viewer", "developer", "operator", "validator"])),
        st.tuples(st.just("grant"), st.sampled_from(["viewer", "operator", "validator"])),
        st.tuples(st.just("wait"), st.sampled_from(["0.1", "29", "31"])),
        st.tuples(st.just("prove"), st.sampled_from(["10", "60"])),
    ),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_STEPS)
def test_a_remembered_decision_is_what_a_new_question_would_get(
    door: Door, steps: list[tuple[str, str]]
) -> None:
    door.identities.add("ann", ["viewer"], actor="root")
    ann = door.identities.resolve("ann")
    asked = [("predict", "project:cars"), ("release.approve", "release:1"), ("release.rollback", "tool:x")]
    for number, (what, value) in enumerate(steps):
        now = door.clock.now()
        if what == "roles":
            door.identities.add("ann", [value], actor="root")
            ann = replace(door.identities.resolve("ann"), session=ann.session)
        elif what == "grant":
            door.store.grants.add(_grant(f"{now.timestamp()}-{number}", value, now))
            door.store.epoch.advance()
        elif what == "prove":
            session = Session(token="t", proved_until=now + timedelta(seconds=int(value)))
            ann = replace(ann, session=session)
        else:
            door.clock.advance(float(value))
        for action, resource in asked:
            first = door.gatekeeper.decide(ann, action, resource)
            another = open_access(door.store, door.home / "keys", door.clock, CedarPolicy()).gatekeeper
            assert first == another.decide(ann, action, resource)
            assert door.gatekeeper.decide(ann, action, resource) is first


def _grant(grant_id: str, role: str, now: datetime) -> Grant:
    return Grant(
        id=grant_id,
        workspace="main",
        subject="ann",
        role=role,  # type: ignore[arg-type]
        resource="workspace:main",
        reason="a test",
        asked_by="ann",
        asked_at=now,
        duration_s=30,
        state="active",
        ends_at=now + timedelta(seconds=30),
    )
