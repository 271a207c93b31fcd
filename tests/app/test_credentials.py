"""Who may hand out and end tokens, and what is written down about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.app.composition import App, open_app
from headrace.app.credentials import (
    credentials_of,
    issue_refresh_token,
    issue_token,
    key_names,
    new_secret,
    revoke_credential,
    revoke_tokens,
    revoke_unneeded,
    rotate_keys,
    trust,
)
from headrace.core.errors import Denied, InvalidInput, NotFound, Unauthenticated
from headrace.core.identity import Kind, Principal
from headrace.testing import FakeClock, make_settings


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with open_app(make_settings(tmp_path_factory.mktemp("home")), FakeClock()) as app:
        yield app


@pytest.fixture
def app(shared: App) -> App:
    """One home for the module; every test has people of its own."""
    return shared


class Cast:
    """People, a service and an agent with names of this test's own."""

    def __init__(self, app: App, prefix: str) -> None:
        self._app = app
        self._prefix = prefix
        self.admin = self.make("admin", "admin")
        self.owner = self.make("owner", "developer")
        self.service = self.make("service", "viewer", kind="service")
        self.agent = self.make("agent", "viewer", kind="agent")

    def make(
        self,
        name: str,
        role: str,
        *,
        kind: Kind = "person",
        workspace: str = "main",
        owner: str | None = None,
    ) -> Principal:
        """Make somebody known; a machine in whose name nobody else is given belongs to this test's owner."""
        made = self._app.identities.add(
            f"{self._prefix}-{name}",
            [role],
            actor="root",
            kind=kind,
            workspace=workspace,
            owner=None if kind == "person" else self.owner.name,
            purpose="" if kind == "person" else "tests",
        )
        if owner is not None:
            made = replace(made, owner=owner)
            self._app.store.principals.save(made)
            self._app.store.epoch.advance()
        return made

    def written(self, action: str) -> list[dict[str, object]]:
        """Details of the audit entries about this cast."""
        return [
            {"by": entry.actor, "on": entry.resource, **entry.detail}
            for entry in self._app.store.audit.list(limit=10_000)
            if entry.action == action and entry.resource.startswith(f"principal:{self._prefix}")
        ]


@pytest.fixture
def cast(app: App, request: pytest.FixtureRequest) -> Cast:
    digits = "".join(c if c.isalnum() else "-" for c in request.node.name.lower())
    return Cast(app, f"c{digits[-40:]}".strip("-"))


def test_everybody_gets_their_own_and_it_is_written_down(app: App, cast: Cast) -> None:
    issued = issue_token(app, cast.owner, cast.owner.name, ttl_s=60)
    assert app.tokens.verify(issued.text).name == cast.owner.name
    (entry,) = cast.written("token.issue")
    assert (entry["by"], entry["token"]) == (cast.owner.name, issued.id)
    assert issued.text not in str(entry)


def test_nobody_gets_another_persons(app: App, cast: Cast) -> None:
    with pytest.raises(Denied, match="access.write"):
        issue_token(app, cast.owner, cast.admin.name)
    assert cast.written("token.issue") == []


@pytest.mark.requirement("IDN-04")
def test_the_owner_and_an_admin_issue_an_agents_token(app: App, cast: Cast) -> None:
    for person in (cast.owner, cast.admin):
        issued = issue_token(app, person, cast.agent.name, run="r7", tools=("search",), ttl_s=300)
        assert app.tokens.verify(issued.text).session.run == "r7"
    assert [(entry["by"], entry["run"], entry["tools"]) for entry in cast.written("token.issue")] == [
        (cast.owner.name, "r7", ["search"]),
        (cast.admin.name, "r7", ["search"]),
    ]


@pytest.mark.requirement("IDN-04")
def test_nobody_else_does(app: App, cast: Cast) -> None:
    elsewhere = cast.make("elsewhere", "admin", workspace="lab")
    other = cast.make("other", "developer")
    robot = cast.make("robot", "admin", kind="service")
    for asking in (elsewhere, other, robot, cast.service, cast.agent):
        with pytest.raises(Denied):
            issue_token(app, asking, cast.agent.name, run="r7", tools=("search",))


def test_an_owner_in_another_workspace_is_nobody_there(app: App, cast: Cast) -> None:
    owner = cast.make("away", "admin", workspace="lab")
    agent = cast.make("left-behind", "viewer", kind="agent", owner=owner.name)  # as after a move
    with pytest.raises(Denied, match="another workspace"):
        issue_token(app, owner, agent.name, run="r7", tools=())


def test_a_service_gets_none_by_name(app: App, cast: Cast) -> None:
    with pytest.raises(Denied):
        issue_token(app, cast.service, cast.service.name)
    assert app.tokens.verify(issue_token(app, cast.admin, cast.service.name).text).name == cast.service.name


def test_nobody_unknown_gets_one(app: App, cast: Cast) -> None:
    with pytest.raises(NotFound):
        issue_token(app, cast.admin, "nobody-of-that-name")


def test_people_end_their_own_tokens_and_those_of_their_agents(app: App, cast: Cast) -> None:
    own = issue_token(app, cast.owner, cast.owner.name)
    agents = issue_token(app, cast.owner, cast.agent.name, run="r7", tools=())
    revoke_tokens(app, cast.owner, cast.agent.name)
    revoke_tokens(app, cast.owner, cast.owner.name, token=own.id)
    for issued in (own, agents):
        with pytest.raises(Unauthenticated, match="revoked"):
            app.tokens.verify(issued.text)


@pytest.mark.requirement("MCP-04")
def test_an_admin_ends_tokens_and_others_do_not(app: App, cast: Cast) -> None:
    issued = issue_token(app, cast.admin, cast.agent.name, run="r7", tools=())
    other = issue_token(app, cast.admin, cast.agent.name, run="r8", tools=())
    for stranger in (cast.make("other", "developer"), cast.service):
        with pytest.raises(Denied):
            revoke_tokens(app, stranger, cast.agent.name)
    revoke_tokens(app, cast.admin, cast.agent.name, run="r7")
    with pytest.raises(Unauthenticated, match="revoked"):
        app.tokens.verify(issued.text)
    assert app.tokens.verify(other.text).name == cast.agent.name
    revoke_tokens(app, cast.admin, cast.agent.name, token=other.id)
    with pytest.raises(Unauthenticated, match="revoked"):
        app.tokens.verify(other.text)
    last = issue_token(app, cast.admin, cast.agent.name, run="r9", tools=())
    revoke_tokens(app, cast.admin, cast.agent.name)
    with pytest.raises(Unauthenticated, match="revoked"):
        app.tokens.verify(last.text)
    assert [set(entry) - {"by", "on"} for entry in cast.written("token.revoke")] == [
        {"run"},
        {"token"},
        set(),
    ]


def test_one_thing_is_ended_at_a_time(app: App, cast: Cast) -> None:
    with pytest.raises(InvalidInput, match="one of them"):
        revoke_tokens(app, cast.admin, cast.agent.name, token="t", run="r")


def test_keys_are_changed_by_an_admin_of_main(app: App, cast: Cast) -> None:
    token = app.tokens.issue(cast.owner)
    for stranger in (cast.owner, cast.make("elsewhere", "admin", workspace="lab")):
        with pytest.raises(Denied):
            rotate_keys(app, stranger)
    (before, *_) = key_names(app, cast.admin)
    after = rotate_keys(app, cast.admin)
    assert key_names(app, cast.admin)[:2] == [after, before]
    assert app.tokens.verify(token).name == cast.owner.name


def test_a_person_gets_their_own_whatever_the_policy_says(tmp_path: Path) -> None:
    with open_app(make_settings(tmp_path / "home")) as app:
        me = app.me()
        app.identities.add("grace", ["admin"], actor=me.name)
        viewer = app.identities.add(me.name, ["viewer"], actor="grace")
        assert app.tokens.verify(issue_token(app, viewer, me.name).text).name == me.name


@pytest.mark.requirement("MCP-04")
def test_secrets_that_nobody_uses_are_revoked_and_it_is_written_down(tmp_path: Path) -> None:
    clock = FakeClock()
    with open_app(make_settings(tmp_path / "home"), clock) as app:
        cast = Cast(app, "c")
        used, unused = (new_secret(app, cast.admin, cast.service.name) for _ in range(2))
        clock.advance(31 * 86_400)
        app.access.secrets.check(cast.service.name, used.text)
        assert [one.id for one in revoke_unneeded(app)] == [unused.record.id]
        assert revoke_unneeded(app) == []
        (entry,) = cast.written("secret.revoke")
        assert entry["reason"] == "unused for 30 days"
        assert app.access.secrets.check(cast.service.name, used.text).state == "live"


def test_secrets_are_for_admins_to_make_and_end_and_told_once(app: App, cast: Cast) -> None:
    for stranger in (cast.owner, cast.service, cast.make("away", "admin", workspace="lab")):
        with pytest.raises(Denied):
            new_secret(app, stranger, cast.service.name)
        with pytest.raises(Denied):
            trust(app, stranger, cast.service.name, issuer="https://x.example", audience="a", subject="s")
        with pytest.raises(Denied):
            revoke_credential(app, stranger, cast.service.name, "any")
    for stranger in (cast.owner, cast.make("off", "admin", workspace="lab")):
        with pytest.raises(Denied):
            credentials_of(app, stranger, cast.service.name)
    made = new_secret(app, cast.admin, cast.service.name, days=7)
    name, issuer = cast.service.name, "https://ci.example"
    trusted = trust(app, cast.admin, name, issuer=issuer, audience="a", subject=name)
    shown = credentials_of(app, cast.admin, cast.service.name)
    assert [one.kind for one in shown] == ["secret", "external"]
    assert shown[1].about == {"issuer": issuer, "audience": "a", "subject": name}
    assert "argon2" not in str(shown)
    for credential_id in (made.record.id, trusted.id):
        assert revoke_credential(app, cast.admin, cast.service.name, credential_id).state == "revoked"
    assert made.text not in str(app.store.audit.list(limit=10_000))
    assert [entry["on"] for entry in cast.written("secret.new")] == [f"principal:{cast.service.name}"]
    assert cast.written("secret.trust")[0]["issuer"] == "https://ci.example"
    with pytest.raises(InvalidInput, match="Expected a service"):
        new_secret(app, cast.admin, cast.agent.name)


def test_only_people_get_refresh_tokens_for_themselves(app: App, cast: Cast) -> None:
    issued, begun = issue_refresh_token(app, cast.owner)
    assert app.tokens.verify(issued.text).session.family == begun.family
    assert app.access.refreshing.use(begun.text, cast.owner.name).name == cast.owner.name
    for machine in (cast.service, cast.agent):
        with pytest.raises(Denied):
            issue_refresh_token(app, machine)


@pytest.mark.requirement("MCP-03")
def test_tokens_leave_by_one_door_which_writes_them_down(project_root: Path) -> None:
    source = project_root / "src/headrace"
    callers = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if re.search(r"tokens\.(issue|mint)\(", path.read_text(encoding="utf-8"))
    }
    assert callers == {"access/tokens.py", "app/credentials.py"}, "Use hand_out: it is in the audit log."
