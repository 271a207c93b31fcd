from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from headrace.access.policy import DEFAULT
from headrace.app import policies
from headrace.app.composition import App, open_app
from headrace.core.errors import Conflict, Denied, GateFailed, HeadraceError, InvalidInput, NotFound
from headrace.core.identity import PolicyText
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


@pytest.mark.requirement("MCP-13")
@pytest.mark.requirement("GOV-16")
def test_a_policy_proposed_by_one_and_approved_by_another_holds_at_once(team: Team) -> None:
    app, vera = team.app, team.add("vera", "viewer")
    predict = (vera, "predict", f"project:{team.project}")
    proposed = policies.propose(app, team["dev"], VIEWERS_PREDICT, "viewers may predict")
    assert (proposed.version, proposed.state) == (1, "waiting")
    assert not app.gatekeeper.allows(*predict), "what waits changes nothing"
    assert '+@id("viewers-predict")' in policies.difference(app, team["val"], 1)
    decided = policies.decide(app, team["val"], 1, "approved", "as agreed")
    assert (decided.state, decided.approver) == ("live", team["val"].name)
    decision = app.gatekeeper.decide(*predict)
    assert (decision.allowed, decision.rules) == (True, ("viewers-predict",))
    entries = [e for e in app.store.audit.list(limit=1000) if e.resource == f"policy:{team.workspace}@1"]
    assert [(e.actor, e.action) for e in entries] == [
        (team["dev"].name, "policy.propose"),
        (team["val"].name, "policy.decide"),
    ]
    assert entries[1].detail["digest"] == proposed.digest


@pytest.mark.requirement("GOV-16")
def test_every_version_is_kept_and_the_former_one_comes_back_by_the_same_way(team: Team) -> None:
    app = team.app
    for text in (NOTED, VIEWERS_PREDICT):
        made = policies.propose(app, team["dev"], text)
        policies.decide(app, team["val"], made.version, "approved")
    back = policies.revert(app, team["root"])
    assert (back.text, back.comment, back.state) == (NOTED, "back to version 1", "waiting")
    policies.decide(app, team["val"], back.version, "approved")
    assert policies.show(app, team["dev"]).text == NOTED
    assert [t.state for t in policies.versions(app, team["dev"])] == ["superseded", "superseded", "live"]
    first = policies.revert(app, team["root"])
    assert first.text == VIEWERS_PREDICT
    rejected = policies.decide(app, team["val"], first.version, "rejected", "not that one")
    assert rejected.state == "refused"
    assert policies.show(app, team["dev"]).version == 3


def test_the_default_is_what_the_first_version_goes_back_to(team: Team) -> None:
    with pytest.raises(NotFound, match="The default policy is in force"):
        policies.revert(team.app, team["root"])
    assert policies.show(team.app, team["dev"]).text == DEFAULT
    policies.propose(team.app, team["dev"], NOTED)
    policies.decide(team.app, team["val"], 1, "approved")
    assert policies.revert(team.app, team["root"]).text == DEFAULT


@pytest.mark.requirement("GOV-02")
def test_nobody_decides_about_their_own_text_whatever_their_roles(team: Team) -> None:
    every = team.add("every", "viewer", "developer", "validator", "operator", "auditor", "admin")
    policies.propose(team.app, every, NOTED)
    for decision in ("approved", "rejected"):
        with pytest.raises(Denied, match="Nobody can decide on their own work"):
            policies.decide(team.app, every, 1, decision)
    assert policies.decide(team.app, team["val"], 1, "approved").state == "live"


def test_whoever_asked_before_it_was_there_is_still_its_author(team: Team) -> None:
    every = team.add("every", "developer", "validator")
    with pytest.raises(NotFound):
        policies.decide(team.app, every, 1, "approved")
    policies.propose(team.app, every, NOTED)
    with pytest.raises(Denied):
        policies.decide(team.app, every, 1, "approved")


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
        policies.propose(team.app, team["dev"], text)
    assert policies.versions(team.app, team["dev"]) == []


def test_a_text_that_has_come_to_lock_everybody_out_is_not_put_into_force(team: Team) -> None:
    two = team.add("second", "admin")
    one = '@id("one") forbid (principal, action == Action::"access.write", resource)'
    one += f' unless {{ principal.name == "{two.name}" }};'
    policies.propose(team.app, team["dev"], RULES + one)
    team.app.identities.freeze(two.name, "left", actor="test")
    with pytest.raises(Conflict, match=rf"Today {team['root'].name} can"):
        policies.decide(team.app, team["val"], 1, "approved")
    assert policies.show(team.app, team["dev"]).version == 0


@pytest.mark.parametrize("role", ["viewer", "operator", "auditor"])
def test_only_development_and_security_propose(team: Team, role: str) -> None:
    with pytest.raises(Denied, match="policy.propose"):
        policies.propose(team.app, team.add(role, role), NOTED)
    assert policies.show(team.app, team[role]).version == 0, "everybody may read it"


def test_a_text_older_than_the_one_in_force_is_not_approved_any_more(team: Team) -> None:
    policies.propose(team.app, team["dev"], NOTED)
    policies.propose(team.app, team["dev"], VIEWERS_PREDICT)
    policies.decide(team.app, team["val"], 2, "approved")
    with pytest.raises(Conflict, match="Version 2 came into force after version 1"):
        policies.decide(team.app, team["val"], 1, "approved")


def test_of_two_decisions_at_the_same_instant_one_is_made(team: Team) -> None:
    deciders = [team.add(f"val{number}", "validator") for number in range(4)]
    policies.propose(team.app, team["dev"], NOTED)

    def decide(number: int) -> str:
        try:
            decision = "approved" if number % 2 else "rejected"
            return policies.decide(team.app, deciders[number], 1, decision).approver or ""  # type: ignore[arg-type]
        except Conflict:
            return "too late"

    with ThreadPoolExecutor(4) as threads:
        ended = list(threads.map(decide, range(4)))
    assert ended.count("too late") == 3
    (kept,) = policies.versions(team.app, team["dev"])
    assert kept.approver in ended


def test_two_proposals_at_the_same_instant_get_two_numbers(team: Team) -> None:
    def propose(number: int) -> PolicyText:
        return policies.propose(team.app, team["dev"], f"{NOTED}// {number}\n")

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(propose, range(4)))
    assert sorted(text.version for text in made) == [1, 2, 3, 4]


@pytest.mark.requirement("MCP-06")
def test_another_workspace_sees_and_changes_nothing(team: Team) -> None:
    policies.propose(team.app, team["dev"], VIEWERS_PREDICT)
    other = new_team(team.app)
    assert policies.versions(other.app, other["root"]) == []
    with pytest.raises(NotFound):
        policies.decide(other.app, other["root"], 1, "approved")
    with pytest.raises(Denied, match="another workspace"):
        other.app.gatekeeper.require(other["root"], "policy.decide", f"policy:{team.workspace}@1")
    policies.decide(team.app, team["val"], 1, "approved")
    assert policies.show(other.app, other["root"]).version == 0


def test_a_decision_whose_process_died_right_after_the_write_has_taken_effect(team: Team) -> None:
    made = policies.propose(team.app, team["dev"], VIEWERS_PREDICT)
    live = replace(made, state="live", approver=team["val"].name, revision=1)
    team.app.store.policies.change(live)
    with open_app(team.app.settings, team.clock) as again:
        assert policies.show(again, team["dev"]).version == 1
        assert policies.versions(again, team["dev"]) == [live]


def test_examples_are_put_to_the_test_of_the_text_in_force_or_of_another(team: Team) -> None:
    tested = policies.try_examples(team.app, team["dev"])
    assert (tested.version, tested.failed) == (0, [])
    assert tested.examples > 20
    text = '// example: allow person ann () predict project:x\n@id("a") forbid (principal, action, resource);'
    wrong = policies.try_examples(team.app, team["dev"], text)
    assert [(f.line, f.rules) for f in wrong.failed] == [(1, ("a",))]
