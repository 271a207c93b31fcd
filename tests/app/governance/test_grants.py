from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from headrace.access.grants import NEVER_BY_GRANT
from headrace.app.composition import App, open_app
from headrace.app.governance import grants, incidents
from headrace.app.governance import identities as people
from headrace.app.governance.policies import POLICY
from headrace.core.errors import Conflict, Denied, InvalidInput
from headrace.core.identity import Grant, Resource
from tests.app.team import Team, home, new_team

HOUR_S = 3600


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with home(tmp_path_factory.mktemp("grants")) as opened:
        yield opened


@pytest.fixture
def team(app: App) -> Team:
    return new_team(app)


def _asked(team: Team, by: str = "dev", role: str = "validator", **more: Any) -> Grant:
    on = f"project:{team.project}"
    return grants.ask(team.app, team[by], role, on, "the release of friday", **more)


def _may(team: Team, name: str, action: str, resource: str = "") -> bool:
    return team.app.gatekeeper.allows(team[name], action, resource or f"project:{team.project}")


@pytest.mark.requirement("IDN-04")
def test_a_service_has_a_role_for_an_hour_and_not_a_second_longer(team: Team) -> None:
    team.add("nightly", "viewer", kind="service")
    team.add("other", "admin")
    asked = _asked(team, "nightly", "operator")
    assert not _may(team, "nightly", "predict")
    active = grants.decide(team.app, team["other"], asked.id, "approved")
    assert active.ends_at is not None
    assert (active.ends_at - team.clock.now()).total_seconds() == HOUR_S
    assert _may(team, "nightly", "predict")
    team.clock.advance(HOUR_S - 0.5)
    assert _may(team, "nightly", "predict")
    team.clock.advance(0.5)
    assert not _may(team, "nightly", "predict"), "though nobody ended it"
    assert [g.state for g in grants.grants(team.app, team["nightly"])] == ["ended"]
    done = [e for e in team.app.store.audit.list(limit=5000) if e.resource == f"grant:{asked.id}"]
    assert [(e.actor, e.action) for e in done] == [
        (team["nightly"].name, "grant.ask"),
        (team["other"].name, "grant.decide"),
    ]
    assert done[0].detail["reason"] == "the release of friday"


def test_a_grant_covers_its_project_and_what_belongs_to_it(team: Team) -> None:
    grants.decide(team.app, team["root"], _asked(team).id, "approved")
    release = Resource(
        kind="release", name="r1", workspace=team.workspace, authors=("sue",), project=team.project
    )
    elsewhere = Resource(
        kind="release", name="r1", workspace=team.workspace, authors=("sue",), project="vans"
    )
    assert team.app.gatekeeper.allows(team["dev"], "release.approve", release)
    assert not team.app.gatekeeper.allows(team["dev"], "release.approve", elsewhere)


@pytest.mark.requirement("GOV-02")
def test_a_role_for_a_while_does_not_let_anybody_approve_their_own_work(team: Team) -> None:
    grants.decide(team.app, team["root"], _asked(team).id, "approved")
    own = Resource(
        kind="release",
        name="r1",
        workspace=team.workspace,
        authors=(team["dev"].name,),
        project=team.project,
    )
    decision = team.app.gatekeeper.decide(team["dev"], "release.approve", own)
    assert (decision.allowed, decision.rules) == (False, ("own-work",))


def test_neither_who_asks_nor_who_gets_it_decides(team: Team) -> None:
    two = team.add("two", "admin")
    team.add("three", "admin")
    team.add("bot", "viewer", kind="agent")
    asked = grants.ask(
        team.app, two, "operator", f"project:{team.project}", "clean up", subject=team["bot"].name
    )
    assert (asked.subject, asked.asked_by) == (team["bot"].name, two.name)
    for name in ("two", "bot", "root"):  # root answers for the bot
        with pytest.raises(Denied, match="grant.decide"):
            grants.decide(team.app, team[name], asked.id, "approved")
    assert grants.decide(team.app, team["three"], asked.id, "refused").state == "refused"
    with pytest.raises(Conflict, match="is refused"):
        grants.decide(team.app, team["three"], asked.id, "approved")
    assert not _may(team, "bot", "predict")


def test_of_two_decisions_at_the_same_instant_one_is_made(team: Team) -> None:
    asked = _asked(team)
    admins = [team.add(f"admin{number}", "admin") for number in range(4)]

    def decide(number: int) -> str:
        try:
            return grants.decide(
                team.app, admins[number], asked.id, "approved" if number % 2 else "refused"
            ).state
        except Conflict:
            return "too late"

    with ThreadPoolExecutor(4) as threads:
        ended = list(threads.map(decide, range(4)))
    assert ended.count("too late") == 3
    assert grants.grants(team.app, team["dev"])[0].state in ended


@pytest.mark.requirement("IDN-05")
def test_a_grant_never_leads_to_a_grant_nor_to_any_right_that_would_stay(team: Team) -> None:
    """Break-glass gives the most that a grant can: all of admin, but nothing that outlives it."""
    team.add("otto", "operator")
    taken = grants.break_glass(team.app, team["otto"], "admin", f"workspace:{team.workspace}", "on fire")
    assert taken.state == "active"
    assert _may(team, "otto", "project.run")
    for action in NEVER_BY_GRANT - {"grant.ask", "grant.break_glass"}:
        resource = Resource(kind="policy", name="x", workspace=team.workspace)
        assert not team.app.gatekeeper.allows(team["otto"], action, resource), action
    asked = _asked(team)
    with pytest.raises(Denied, match="grant.decide"):
        grants.decide(team.app, team["otto"], asked.id, "approved")
    with pytest.raises(Denied, match="access.write"):
        people.add(team.app, team["otto"], "puppet", ["admin"])
    with pytest.raises(Denied, match="policy.propose"):
        POLICY.propose(team.app, team["otto"], "")


def test_whoever_has_no_role_of_their_own_asks_for_nothing(team: Team) -> None:
    asked = grants.ask(team.app, team["dev"], "operator", f"workspace:{team.workspace}", "help out")
    grants.decide(team.app, team["root"], asked.id, "approved")
    ghost = replace(team["dev"], roles=())
    assert team.app.gatekeeper.allows(ghost, "predict", f"project:{team.project}"), "by the grant"
    with pytest.raises(Denied, match="grant.ask"):
        grants.ask(team.app, ghost, "validator", f"project:{team.project}", "more")


@pytest.mark.requirement("IDN-05")
def test_break_glass_holds_at_once_for_an_hour_and_raises_an_incident_for_somebody_else(team: Team) -> None:
    otto = team.add("otto", "operator")
    on = f"workspace:{team.workspace}"
    with pytest.raises(InvalidInput, match="from 1 to 60 minutes"):
        grants.break_glass(team.app, otto, "admin", on, "on fire", 2 * HOUR_S)
    assert not _may(team, "otto", "data.erase")
    taken = grants.break_glass(team.app, otto, "admin", on, "on fire")
    assert _may(team, "otto", "data.erase")
    (incident,) = incidents.incidents(team.app, team["root"])
    assert (incident.kind, incident.subject, incident.state) == ("break_glass", otto.name, "open")
    assert "on fire" in incident.notes[0]["text"]
    with pytest.raises(Denied):
        incidents.take(team.app, otto, incident.id)
    incidents.take(team.app, team["root"], incident.id)
    assert incidents.close(team.app, team["root"], incident.id, "it was on fire").state == "closed"
    team.clock.advance(HOUR_S)
    assert not _may(team, "otto", "data.erase")
    assert grants.grants(team.app, otto)[0].id == taken.id


@pytest.mark.parametrize(
    ("name", "roles", "kind"), [("v", "validator", "person"), ("s", "operator", "service")]
)
def test_break_glass_is_for_people_who_operate_or_administer(
    team: Team, name: str, roles: str, kind: str
) -> None:
    somebody = team.add(name, roles, kind=kind)  # type: ignore[arg-type]
    with pytest.raises(Denied, match="grant.break_glass"):
        grants.break_glass(team.app, somebody, "admin", f"workspace:{team.workspace}", "please")
    assert team.app.store.incidents.list(workspace=team.workspace) == []


@pytest.mark.parametrize(
    ("role", "duration_s", "message"),
    [
        ("admin", HOUR_S, "admin is not granted"),
        ("boss", HOUR_S, "no role 'boss'"),
        ("developer", HOUR_S, "has the role developer already"),
        ("validator", 59, "from 1 to 480 minutes"),
        ("validator", 8 * HOUR_S + 1, "from 1 to 480 minutes"),
    ],
)
def test_what_cannot_be_granted_is_refused_when_it_is_asked_for(
    team: Team, role: str, duration_s: int, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        _asked(team, role=role, duration_s=duration_s)
    assert grants.grants(team.app, team["dev"]) == []


@pytest.mark.parametrize(
    ("resource", "reason", "error"),
    [
        ("tool:search", "x", InvalidInput),
        ("project:", "x", InvalidInput),
        ("project:nothing-there", "x", Denied),
        ("workspace:elsewhere", "x", Denied),
        ("PROJECT", " \n ", InvalidInput),
        ("PROJECT", "x" * 2001, InvalidInput),
    ],
)
def test_a_grant_is_for_something_here_and_for_a_reason(
    team: Team, resource: str, reason: str, error: type[Exception]
) -> None:
    on = resource.replace("PROJECT", f"project:{team.project}")
    with pytest.raises(error):
        grants.ask(team.app, team["dev"], "validator", on, reason)


def test_people_ask_for_themselves_and_administrators_for_machines(team: Team) -> None:
    team.add("bot", "viewer", kind="agent")
    with pytest.raises(Denied, match="access.write"):
        _asked(team, "dev", "operator", subject=team["bot"].name)
    with pytest.raises(InvalidInput, match="people ask for themselves"):
        _asked(team, "root", "operator", subject=team["dev"].name)


def test_a_grant_is_given_back_by_whoever_has_it_or_taken_away_by_whoever_decides(team: Team) -> None:
    for by in ("dev", "root"):
        asked = _asked(team)
        with pytest.raises(Conflict, match="is asked"):
            grants.end(team.app, team["dev"], asked.id)
        grants.decide(team.app, team["root"], asked.id, "approved")
        with pytest.raises(Denied):
            grants.end(team.app, team["val"], asked.id)
        assert grants.end(team.app, team[by], asked.id).state == "ended"
        assert not _may(team, "dev", "waiver.decide")


@pytest.mark.requirement("MCP-06")
def test_one_sees_ones_own_grants_and_nothing_of_another_workspace(team: Team) -> None:
    asked, other = _asked(team), new_team(team.app)
    assert grants.grants(team.app, team["val"]) == []
    assert grants.grants(team.app, team["root"]) == grants.grants(team.app, team["dev"], "asked") == [asked]
    assert grants.grants(team.app, other["root"]) == []
    with pytest.raises(Denied):
        grants.end(team.app, other["root"], asked.id)
    for who, grant_id in ((other["root"], asked.id), (team["root"], "no-such-grant")):
        with pytest.raises(Denied):
            grants.decide(team.app, who, grant_id, "approved")


def test_a_grant_holds_in_a_process_that_opens_later_and_still_ends(team: Team) -> None:
    grants.decide(team.app, team["root"], _asked(team).id, "approved")
    with open_app(team.app.settings, team.clock) as again:
        predict = (team["dev"], "waiver.decide", f"project:{team.project}")
        assert again.gatekeeper.allows(*predict)
        team.clock.advance(HOUR_S)
        assert not again.gatekeeper.allows(*predict)
