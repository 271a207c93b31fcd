from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from headrace.app.composition import App, open_app
from headrace.app.governance import identities as lifecycle
from headrace.app.governance.inventory import identities, identity, tidy, unused
from headrace.core.errors import Denied, NotFound
from headrace.core.identity import Credential
from headrace.testing import START, FakeClock, make_project, make_settings

DAY_S = 86_400.0


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """Ada administers, grace audits, and bob answers for a bot that uses cars."""
    with open_app(make_settings(tmp_path / "home"), FakeClock()) as opened:
        opened.me()
        opened.store.projects.save(make_project(), "/nowhere")
        for name, role in (("bob", "developer"), ("grace", "auditor")):
            opened.identities.add(name, [role], actor="ada")
        bot = opened.identities.add(
            "bot",
            ["viewer", "developer", "operator"],
            actor="ada",
            kind="service",
            owner="bob",
            purpose="scores",
            expires_at=START + timedelta(days=365),
        )
        opened.gatekeeper.require(bot, "predict", "project:cars")
        opened.access.uses.flush()
        yield opened


def _secret(app: App, name: str, *, days: float) -> Credential:
    secret = Credential(
        id=f"secret-{name}",
        workspace="main",
        subject=name,
        kind="secret",
        created_at=app.clock.now(),
        expires_at=app.clock.now() + timedelta(days=days),
        data={"hash": "x"},
    )
    return app.store.credentials.add(secret)


def _kinds(app: App, name: str) -> set[str]:
    return {one.kind for one in app.store.incidents.list(subject=name) if one.state != "closed"}


@pytest.mark.requirement("IDN-01")
def test_the_inventory_shows_everybody_and_what_each_can_reach(app: App) -> None:
    _secret(app, "bot", days=30)
    found = {one.principal.name: one for one in identities(app, app.identities.resolve("grace"))}
    assert {one.principal.kind for one in found.values()} == {"person", "service"}
    assert list(found) == ["ada", "bob", "grace", "bot"]
    bot = found["bot"]
    assert bot.owner_answers
    assert bot.last_used_at == START
    assert [(use.action, use.resource) for use in bot.used] == [("predict", "project:cars")]
    assert [one.kind for one in bot.credentials] == ["secret"]
    assert "hash" not in str(bot.credentials)
    reach = {one.resource: one.actions for one in bot.reach}
    principal = app.identities.resolve("bot")
    for resource, actions in reach.items():
        assert all(app.gatekeeper.allows(principal, action, resource) for action in actions)
    assert "predict" in reach["project:cars"]
    assert "release.approve" not in reach["project:cars"]
    never = {one.resource: one.actions for one in bot.never_used}
    assert set(never["project:cars"]) == set(reach["project:cars"]) - {"predict"}


@pytest.mark.requirement("IDN-01")
def test_it_is_live(app: App) -> None:
    grace = app.identities.resolve("grace")
    app.identities.freeze("bot", "odd", actor="ada")
    frozen = identity(app, grace, "bot")
    assert frozen.principal.frozen == "odd"
    assert frozen.reach == (), "who is frozen reaches nothing"
    app.identities.unfreeze("bot", actor="ada")
    app.identities.set_expiry("bob", app.clock.now(), actor="ada")
    assert [one.kind for one in identity(app, grace, "bot").concerns] == ["orphaned"]


def test_it_is_for_those_who_look_after_the_workspace(app: App) -> None:
    with pytest.raises(Denied):
        identities(app, app.identities.resolve("bob"))
    app.identities.add("zoe", ["admin"], actor="ada", workspace="lab")
    zoe = app.identities.resolve("zoe")
    assert [one.principal.name for one in identities(app, zoe)] == ["zoe"]
    with pytest.raises(NotFound):
        identity(app, zoe, "bot")


@pytest.mark.requirement("IDN-03")
def test_unused_rights_are_reported_and_gone_after_their_remedy(app: App) -> None:
    ada, bot = app.me(), app.identities.resolve("bot")
    assert unused(app, ada) == [], "nobody has been here for long"
    app.clock.sleep(100 * DAY_S)
    app.gatekeeper.require(bot, "predict", "project:cars")
    app.gatekeeper.require(ada, "access.read", "workspace:main")
    app.access.uses.flush()
    found = [(one.principal, one.role) for one in unused(app, ada)]
    assert ("bot", "operator") in found
    assert ("bot", "viewer") in found
    assert ("bot", "developer") not in found, "developer permits what it does"
    app.identities.add("eve", ["admin"], actor="ada")
    eve = app.identities.resolve("eve")
    for name, role in found:
        lifecycle.remove_role(app, eve, name, role)
    app.gatekeeper.require(app.identities.resolve("bot"), "predict", "project:cars")
    assert unused(app, ada) == []


@pytest.mark.requirement("MCP-04")
def test_a_round_ends_what_is_over_and_tells_about_the_rest(app: App) -> None:
    _secret(app, "bot", days=30)
    assert tidy(app).ended == []
    app.clock.sleep(31 * DAY_S)
    assert tidy(app).ended == ["secret-bot"]
    assert app.store.credentials.get("secret-bot").state == "revoked"
    revoked = [entry for entry in app.store.audit.list() if entry.action == "credential.revoke"]
    assert [(one.actor, one.detail["why"]) for one in revoked] == [("system:access", "it has expired")]
    assert _kinds(app, "bot") == set()
    app.clock.sleep(60 * DAY_S)
    tidy(app)
    assert _kinds(app, "bot") == {"review_overdue", "unused"}
    before = app.store.epoch.read(), len(app.store.audit.list())
    assert tidy(app).ended == []
    assert (app.store.epoch.read(), len(app.store.audit.list())) == before, "again it changes nothing"
