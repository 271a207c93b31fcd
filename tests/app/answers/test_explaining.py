from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.access.opening import open_access
from headrace.access.policy import ACTIONS, CedarPolicy
from headrace.app.answers.explaining import explain, reach
from headrace.app.composition import App
from headrace.app.governance import grants
from headrace.app.overviews import reading
from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.core.identity import PLAIN, ROLES, Circumstance, Decision, Kind, Principal, Resource, Role
from headrace.testing import START, make_project
from tests.app.team import Team, home, new_team

PROJECTS = ("cars", "vans", "boats")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with home(tmp_path_factory.mktemp("explaining")) as opened:
        for workspace in ("main", "north"):
            for name in PROJECTS:
                project = make_project(name=f"{workspace}-{name}")
                opened.store.projects.save(project, "/nowhere", workspace)
        yield opened


@pytest.fixture
def team(app: App) -> Team:
    return new_team(app)


def test_a_decision_is_explained_by_the_rule_that_made_it(team: Team) -> None:
    found = explain(team.app, team["root"], team["dev"].name, "project.run", f"project:{team.project}")
    assert found.allowed
    (rule,) = found.rules
    assert rule.name == "developer"
    assert rule.text.startswith('@id("developer")\npermit (')
    assert found.version == 0
    assert found.would_suffice == ("developer", "admin")


def test_a_refusal_names_the_roles_that_would_suffice(team: Team) -> None:
    found = explain(team.app, team["root"], team["dev"].name, "release.approve", f"project:{team.project}")
    assert (found.allowed, found.rules, found.would_suffice) == (False, (), ("validator",))


def test_a_rule_that_always_holds_is_named_too(team: Team) -> None:
    on = f"principal:{team['root'].name}"
    found = explain(team.app, team["root"], team["root"].name, "access.write", on)
    assert (found.allowed, [rule.name for rule in found.rules]) == (False, ["own-rights"])
    assert found.would_suffice == ()


def test_a_grant_that_counted_is_named(team: Team) -> None:
    on = f"project:{team.project}"
    asked = grants.ask(team.app, team["dev"], "validator", on, "friday")
    active = grants.decide(team.app, team["root"], asked.id, "approved")
    found = explain(team.app, team["root"], team["dev"].name, "waiver.decide", on)
    assert (found.allowed, found.grants, found.roles) == (True, (active,), ("developer",))


def test_whoever_is_frozen_may_nothing_whatever_the_policy_says(team: Team) -> None:
    team.app.identities.freeze(team["dev"].name, "odd", actor="test")
    name = f"dev-{team.workspace}"
    found = explain(team.app, team["root"], name, "project.run", f"project:{team.project}")
    assert (found.allowed, found.note) == (False, "It is frozen: odd.")
    assert reach(team.app, team["root"], name) == []


def test_everybody_may_ask_about_themselves_and_few_about_others(team: Team) -> None:
    dev, val = team["dev"], team["val"]
    assert explain(team.app, dev, dev.name, "predict", f"project:{team.project}").allowed
    for ask in (reach, lambda app, me, name: explain(app, me, name, "predict", "project:x")):
        with pytest.raises(Denied, match="access.read"):
            ask(team.app, dev, val.name)


@pytest.mark.parametrize(
    ("name", "action", "resource", "error"),
    [
        ("ghost", "predict", "project:x", NotFound),
        ("root", "prdict", "project:x", InvalidInput),
        ("root", "predict", "x", InvalidInput),
    ],
)
def test_a_question_about_nothing_is_refused(
    team: Team, name: str, action: str, resource: str, error: type[Exception]
) -> None:
    who = name if name == "ghost" else team[name].name
    with pytest.raises(error):
        explain(team.app, team["root"], who, action, resource)


def test_reach_is_what_every_single_check_says(team: Team) -> None:
    for name in ("dev", "val", "root"):
        found = {r.resource: r.actions for r in reach(team.app, team["root"], team[name].name)}
        assert set(found) == {f"workspace:{team.workspace}", f"project:{team.project}"}
        for resource, actions in found.items():
            may = {a for a in ACTIONS if team.app.gatekeeper.allows(team[name], a, resource)}
            assert set(actions) == may


_CONDITIONS = st.sampled_from(
    [
        "resource",
        'resource == Project::"main-cars"',
        'resource in Project::"north-boats"',
        "resource is Project",
    ]
)
_WHO = st.sampled_from(
    [
        "principal",
        "principal is Person",
        'principal == Person::"p"',
        *(f'principal in Role::"{r}"' for r in ROLES),
    ]
)
_RULES = st.builds(
    lambda effect, who, what: f'{effect} ({who}, action == Action::"project.read", {what});',
    st.sampled_from(["permit", "permit", "forbid"]),
    _WHO,
    _CONDITIONS,
)


class Drawn:
    """Implements ``Policy`` by whichever text was drawn last."""

    def __init__(self) -> None:
        self.text = CedarPolicy()

    def decide(
        self, principal: Principal, action: str, resource: Resource, circumstance: Circumstance = PLAIN
    ) -> Decision:
        return self.text.decide(principal, action, resource, circumstance)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return Drawn()


@pytest.fixture(scope="module")
def ruled(app: App, drawn: Drawn) -> App:
    """The same home under the policy that is drawn."""
    return replace(app, access=open_access(app.store, app.settings.home / "keys", app.clock, drawn))


@pytest.mark.requirement("MCP-06")
@settings(max_examples=40, deadline=None)
@given(
    rules=st.lists(_RULES, max_size=4),
    roles=st.sets(st.sampled_from(ROLES)),
    kind=st.sampled_from(["person", "service", "agent"]),
    workspace=st.sampled_from(["main", "north", "elsewhere"]),
)
def test_a_list_holds_exactly_what_every_single_check_allows(
    ruled: App, drawn: Drawn, rules: list[str], roles: set[Role], kind: Kind, workspace: str
) -> None:
    drawn.text = CedarPolicy("\n".join(rules))
    held: tuple[Role, ...] = tuple(role for role in ROLES if role in roles)
    me = Principal(name="p", kind=kind, roles=held, created_at=START, workspace=workspace)
    names = [project.name for project in ruled.store.projects.list()]
    allowed = [n for n in names if ruled.gatekeeper.allows(me, "project.read", f"project:{n}")]
    assert [project.name for project in reading.projects(ruled, me)] == allowed
    assert all(ruled.store.projects.workspace(name) == workspace for name in allowed)
    for name in names:
        if name in allowed:
            assert reading.project(ruled, me, name).name == name
