from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from headrace.access.policy import DEFAULT
from headrace.app.composition import App, open_app
from headrace.app.governance.policies import POLICY, try_examples
from headrace.core.errors import Conflict, Denied, GateFailed, HeadraceError, InvalidInput, NotFound
from tests.app.team import Team, home, new_team

NOTED = DEFAULT + "\n// reviewed\n"
RULES = "\n".join(line for line in DEFAULT.splitlines() if not line.startswith("// example:"))
VIEWERS_PREDICT = (
    RULES
    + '\n// example: allow person vera (viewer) predict project:vans\n@id("viewers-predict")\n'
    + 'permit (principal in Role::"viewer", action == Action::"predict", resource);\n'
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with home(tmp_path_factory.mktemp("policies")) as opened:
        yield opened


@pytest.fixture
def team(app: App) -> Team:
    return new_team(app)


@pytest.mark.requirement("DEP-17")
@pytest.mark.requirement("MCP-13")
@pytest.mark.requirement("GOV-16")
def test_a_policy_proposed_by_one_and_approved_by_another_holds_at_once(team: Team) -> None:
    app, vera = team.app, team.add("vera", "viewer")
    predict = (vera, "predict", f"project:{team.project}")
    proposed = POLICY.propose(app, team["dev"], VIEWERS_PREDICT, "viewers may predict")
    assert (proposed.version, proposed.state) == (1, "waiting")
    assert not app.gatekeeper.allows(*predict), "what waits changes nothing"
    assert '+@id("viewers-predict")' in POLICY.difference(app, team["val"], 1)
    decided = POLICY.decide(app, team["val"], 1, "approved", "as agreed").text
    assert (decided.state, decided.approver) == ("live", team["val"].name)
    decision = app.gatekeeper.decide(*predict)
    assert (decision.allowed, decision.rules) == (True, ("viewers-predict",))
    entries = [e for e in app.store.audit.list(limit=1000) if e.resource == f"policy:{team.workspace}@1"]
    assert [(e.actor, e.action) for e in entries] == [
        (team["dev"].name, "policy.propose"),
        (team["val"].name, "policy.decide"),
    ]
    assert entries[1].detail["digest"] == proposed.digest


@pytest.mark.requirement("DEP-17")
@pytest.mark.requirement("GOV-16")
def test_every_version_is_kept_and_the_former_one_comes_back_by_the_same_way(team: Team) -> None:
    app = team.app
    for text in (NOTED, VIEWERS_PREDICT):
        made = POLICY.propose(app, team["dev"], text)
        POLICY.decide(app, team["val"], made.version, "approved")
    back = POLICY.revert(app, team["root"])
    assert (back.text, back.comment, back.state) == (NOTED, "back to version 1", "waiting")
    POLICY.decide(app, team["val"], back.version, "approved")
    assert POLICY.show(app, team["dev"]).text == NOTED
    assert [t.state for t in POLICY.versions(app, team["dev"])] == ["superseded", "superseded", "live"]
    first = POLICY.revert(app, team["root"])
    assert first.text == VIEWERS_PREDICT
    rejected = POLICY.decide(app, team["val"], first.version, "rejected", "not that one").text
    assert rejected.state == "refused"
    assert POLICY.show(app, team["dev"]).version == 3


def test_the_default_is_what_the_first_version_goes_back_to(team: Team) -> None:
    with pytest.raises(NotFound, match="The default text of the policy is in force"):
        POLICY.revert(team.app, team["root"])
    assert POLICY.show(team.app, team["dev"]).text == DEFAULT
    POLICY.propose(team.app, team["dev"], NOTED)
    POLICY.decide(team.app, team["val"], 1, "approved")
    assert POLICY.revert(team.app, team["root"]).text == DEFAULT


def test_whoever_asked_before_it_was_there_is_still_its_author(team: Team) -> None:
    every = team.add("every", "developer", "validator")
    with pytest.raises(NotFound):
        POLICY.decide(team.app, every, 1, "approved")
    POLICY.propose(team.app, every, NOTED)
    with pytest.raises(Denied):
        POLICY.decide(team.app, every, 1, "approved")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("permit (", InvalidInput, "does not parse"),
        ('@id("a") permit (principal, action == Action::"x", resource);', InvalidInput, "action 'x'"),
        (
            DEFAULT + "\n// example: allow person vera (viewer) predict project:cars\n",
            GateFailed,
            "got deny by no rule",
        ),
        (
            '@id("read") permit (principal, action == Action::"project.read", resource);',
            Conflict,
            "nobody in",
        ),
        (DEFAULT, Conflict, "in force already"),
    ],
)
def test_what_cannot_hold_is_refused_before_anybody_reviews_it(
    team: Team, text: str, error: type[HeadraceError], message: str
) -> None:
    with pytest.raises(error, match=message):
        POLICY.propose(team.app, team["dev"], text)
    assert POLICY.versions(team.app, team["dev"]) == []


def test_a_text_that_has_come_to_lock_everybody_out_is_not_put_into_force(team: Team) -> None:
    two = team.add("second", "admin")
    one = '@id("one") forbid (principal, action == Action::"access.write", resource)'
    one += f' unless {{ principal.name == "{two.name}" }};'
    POLICY.propose(team.app, team["dev"], RULES + one)
    team.app.identities.freeze(two.name, "left", actor="test")
    with pytest.raises(Conflict, match=rf"Today {team['root'].name} can"):
        POLICY.decide(team.app, team["val"], 1, "approved")
    assert POLICY.show(team.app, team["dev"]).version == 0


@pytest.mark.parametrize("role", ["viewer", "operator", "auditor"])
def test_only_development_and_security_propose(team: Team, role: str) -> None:
    with pytest.raises(Denied, match="policy.propose"):
        POLICY.propose(team.app, team.add(role, role), NOTED)
    assert POLICY.show(team.app, team[role]).version == 0, "everybody may read it"


@pytest.mark.requirement("MCP-06")
def test_another_workspace_sees_and_changes_nothing(team: Team) -> None:
    POLICY.propose(team.app, team["dev"], VIEWERS_PREDICT)
    other = new_team(team.app)
    assert POLICY.versions(other.app, other["root"]) == []
    with pytest.raises(NotFound):
        POLICY.decide(other.app, other["root"], 1, "approved")
    with pytest.raises(Denied, match="another workspace"):
        other.app.gatekeeper.require(other["root"], "policy.decide", f"policy:{team.workspace}@1")
    POLICY.decide(team.app, team["val"], 1, "approved")
    assert POLICY.show(other.app, other["root"]).version == 0


def test_a_decision_whose_process_died_right_after_the_write_has_taken_effect(team: Team) -> None:
    made = POLICY.propose(team.app, team["dev"], VIEWERS_PREDICT)
    live = replace(made, state="live", approver=team["val"].name, revision=1)
    team.app.store.policies.change(live)
    with open_app(team.app.settings, team.clock) as again:
        assert POLICY.show(again, team["dev"]).version == 1
        assert POLICY.versions(again, team["dev"]) == [live]


def test_examples_are_put_to_the_test_of_the_text_in_force_or_of_another(team: Team) -> None:
    tested = try_examples(team.app, team["dev"])
    assert (tested.version, tested.failed) == (0, [])
    assert tested.examples > 20
    text = '// example: allow person ann () predict project:x\n@id("a") forbid (principal, action, resource);'
    wrong = try_examples(team.app, team["dev"], text)
    assert [(f.line, f.rules) for f in wrong.failed] == [(1, ("a",))]
