from __future__ import annotations

from collections.abc import Iterator

import pytest

from headrace.app.composition import App, open_app
from headrace.app.governance import grants, waivers
from headrace.app.governance.controls import RULES
from headrace.app.governance.policies import POLICY
from headrace.app.inbox import inbox
from headrace.core.identity import Principal, Role
from headrace.testing import START, FakeClock, make_project, make_release, make_settings


def _join(app: App, name: str, *roles: Role, workspace: str = "main") -> Principal:
    person = Principal(name=name, kind="person", roles=roles, created_at=START, workspace=workspace)
    app.store.principals.save(person)
    app.store.epoch.advance()
    return person


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A release, a grant and a policy wait in the main workspace."""
    with open_app(make_settings(tmp_path_factory.mktemp("inbox") / "home"), FakeClock()) as app:
        ada = _join(app, "ada", "developer", "admin")
        app.store.projects.save(make_project(), "/nowhere")
        release = make_release(author="ada")
        app.store.releases.add(release)
        app.store.releases.move(release.id, release.state, "waiting")
        grants.ask(app, ada, "operator", "project:cars", "night shift")
        waivers.ask(app, ada, "cars", "gate:model", reason="The launch.", days=7, size="medium")
        POLICY.propose(app, ada, POLICY.show(app, ada).text + "\n// nothing else\n", "a remark")
        yield app


@pytest.mark.requirement("GOV-02")
def test_ones_own_is_shown_and_not_for_oneself(app: App) -> None:
    waiting = inbox(app, app.identities.resolve("ada"))
    assert {(one.kind, one.may_decide, one.why_not) for one in waiting} == {
        ("release", False, "yours: somebody else decides"),
        ("grant", False, "yours: somebody else decides"),
        ("waiver", False, "yours: somebody else decides"),
        ("policy", False, "yours: somebody else decides"),
    }


def test_each_decides_what_their_roles_are_for(app: App) -> None:
    validator = _join(app, "grace", "validator")
    assert {one.kind for one in inbox(app, validator) if one.may_decide} == {"release", "waiver", "policy"}
    admin = _join(app, "root", "admin")
    assert {one.kind for one in inbox(app, admin) if one.may_decide} == {"grant", "policy"}
    assert [one.may_decide for one in inbox(app, admin)] == [True, True, False, False]


def test_another_workspace_has_an_inbox_of_its_own(app: App) -> None:
    stranger = _join(app, "nora", "validator", "admin", workspace="north")
    assert inbox(app, stranger) == []


def test_whoever_has_agreed_is_not_asked_again(app: App) -> None:
    validator = _join(app, "val", "validator")
    (waiver,) = [one for one in inbox(app, validator) if one.kind == "waiver"]
    waivers.decide(app, validator, waiver.id, "approved")
    (again,) = [one for one in inbox(app, validator) if one.kind == "waiver"]
    assert (again.may_decide, again.why_not) == (False, "you have agreed; somebody else is needed")


@pytest.mark.requirement("GOV-17")
def test_rules_that_wait_are_shown_until_they_are_decided(app: App) -> None:
    ada, val = app.identities.resolve("ada"), _join(app, "val", "validator")
    made = RULES.propose(app, ada, "forbidden_inputs: [gender]\n", "as decided in March")
    (one,) = (one for one in inbox(app, val) if one.kind == "rules")
    assert (one.id, one.why, one.may_decide) == (str(made.version), "as decided in March", True)
    (mine,) = (one for one in inbox(app, ada) if one.kind == "rules")
    assert mine.why_not == "yours: somebody else decides"
    RULES.decide(app, val, made.version, "rejected")
    assert all(one.kind != "rules" for one in inbox(app, val))
