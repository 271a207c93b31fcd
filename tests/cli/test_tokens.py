"""Commands about tokens and keys."""

from __future__ import annotations

import jwt
import pytest

from headrace.access.tickets import Tickets
from headrace.app.composition import open_app
from headrace.testing import make_settings
from tests.cli.conftest import Cli


@pytest.fixture
def staffed(cli: Cli) -> Cli:
    """A home with a person and an agent beside its first identity."""
    with open_app(make_settings(cli.home, user=cli.user)) as app:
        app.me()
        app.identities.add("grace", ["validator"], actor=cli.user)
        app.identities.add("scout", ["viewer"], actor=cli.user, kind="agent", owner="grace", purpose="tests")
        app.identities.add(
            "billing", ["viewer"], actor=cli.user, kind="service", owner="grace", purpose="tests"
        )
    return cli


def test_an_agents_token_is_bound_to_its_run_and_tools(staffed: Cli) -> None:
    said = staffed(
        "access", "token", "--as", "scout", "--run", "r7", "--tool", "search", "--tool", "read",
        "--minutes", "5", "--json",
    ).json  # fmt: skip
    claims = jwt.decode(said["token"], options={"verify_signature": False})
    assert (claims["sub"], claims["run"], claims["tools"]) == ("scout", "r7", ["search", "read"])
    assert claims["jti"] == said["id"]
    assert said["ttl_s"] == 300
    bare = jwt.decode(
        staffed("access", "token", "--as", "scout", "--run", "r7").out.strip(),
        options={"verify_signature": False},
    )
    assert bare["tools"] == []
    unbound = staffed("access", "token", "--as", "scout")
    assert unbound.code == 2
    assert "--run ID --tool" in unbound.error


def test_revoking_says_what_ended(staffed: Cli) -> None:
    said = staffed("access", "token", "--as", "grace", "--json").json
    assert f"Token {said['id']} of grace" in staffed("access", "revoke", "grace", "--token", said["id"]).out
    assert "The tokens of run r7 of scout" in staffed("access", "revoke", "scout", "--run", "r7").out
    assert "Every token so far of grace" in staffed("access", "revoke", "grace").out
    assert staffed("access", "revoke", "grace", "--json").json["principal"] == "grace"
    assert staffed("access", "revoke", "nobody").code == 2
    refused = staffed("access", "revoke", staffed.user, "--as", "grace")
    assert refused.code == 2
    assert "access.write" in refused.error


def test_keys_are_rotated_and_listed(staffed: Cli) -> None:
    (before,) = staffed("access", "keys", "ls", "--json").json["verify"]
    after = staffed("access", "keys", "rotate", "--json").json["signs"]
    assert staffed("access", "keys", "ls", "--json").json == {"signs": after, "verify": [after, before]}
    assert "signs from now on" in staffed("access", "keys", "rotate").out
    assert staffed("access", "keys", "ls").out.count("verifies") == 2


def test_secrets_and_outside_identities_are_made_listed_and_ended(staffed: Cli) -> None:
    assert "None yet" in staffed("access", "secret", "ls", "billing").out
    made = staffed("access", "secret", "new", "billing", "--days", "7", "--json").json
    assert made["client_id"] == "billing"
    assert made["client_secret"].startswith("hrs_")
    assert "not shown again" in staffed("access", "secret", "new", "billing").out
    third = staffed("access", "secret", "new", "billing")
    assert third.code == 2
    assert f"access secret revoke billing {made['id']}" in third.error
    outside = ("--issuer", "https://ci.example", "--audience", "headrace", "--subject", "repo:team/cars")
    said = staffed("access", "secret", "trust", "billing", *outside).out
    assert "repo:team/cars of https://ci.example is billing here" in said
    listed = staffed("access", "secret", "ls", "billing").out
    assert made["client_secret"] not in listed
    assert "https://ci.example headrace repo:team/cars" in listed
    assert "nothing from now on" in staffed("access", "secret", "revoke", "billing", made["id"]).out
    states = [one["state"] for one in staffed("access", "secret", "ls", "billing", "--json").json]
    assert states == ["revoked", "live", "live"]
    assert staffed("access", "secret", "new", "grace").code == 2


def test_a_refresh_token_comes_as_oauth_libraries_take_it(staffed: Cli) -> None:
    said = staffed("access", "token", "--as", "grace", "--refresh").json
    assert set(said) == {"access_token", "token_type", "expires_at", "refresh_token"}
    assert staffed("access", "token", "--as", "billing", "--refresh").code == 2


def test_a_link_signs_a_person_in_at_the_server_that_is_up(staffed: Cli) -> None:
    ended = staffed("access", "sign-in")
    assert f"No server is up in {staffed.home}" in ended.error
    assert "demo" not in ended.error
    (staffed.home / "demo/20260101-000000").mkdir(parents=True)
    (staffed.home / "demo/20260102-000000").mkdir()
    newest = f"HEADRACE_HOME={staffed.home}/demo/20260102-000000 headrace access sign-in --as demo-author"
    assert newest in staffed("access", "sign-in").error
    with open_app(make_settings(staffed.home)) as app:
        app.store.executors.register("e1", "server", "http://127.0.0.1:8123")
        said = staffed("access", "sign-in", "--as", "grace", "--json").json
        assert said["sign_in"].startswith("http://127.0.0.1:8123/signin?ticket=")
        tickets = Tickets(app.store.expiring, app.clock)
        assert tickets.redeem(said["sign_in"].partition("=")[2]) == "grace"
        assert staffed("access", "sign-in").out.startswith("http://127.0.0.1:8123/signin?ticket=")
        assert (
            "'billing' is a service. Only people sign in"
            in staffed("access", "sign-in", "--as", "billing").error
        )
        issued = [one for one in app.store.audit.list() if one.action == "session.issue"]
        assert [one.actor for one in issued] == ["grace", "ada"]
