"""Tokens between processes: a server that runs, and commands beside it."""

from __future__ import annotations

import httpx
import pytest

from tests.journeys.conftest import Shell
from tests.journeys.server import client_of, serving

pytestmark = pytest.mark.journey


def _status(client: httpx.Client) -> int:
    return client.get("/api/v1/projects").status_code


@pytest.mark.requirement("MCP-03")
@pytest.mark.requirement("MCP-04")
def test_a_running_server_follows_rotation_and_revocation_at_once(shell: Shell) -> None:
    shell("access", "user", "add", "bob", "--role", "viewer")
    with serving(shell) as url, client_of(shell, url, "bob") as old, client_of(shell, url, "ann") as ann:
        assert _status(old) == 200
        before = {key["kid"] for key in old.get("/.well-known/jwks.json").json()["keys"]}
        made = shell("access", "keys", "rotate", "--json").json["signs"]
        after = {key["kid"] for key in old.get("/.well-known/jwks.json").json()["keys"]}
        assert after == before | {made}
        with client_of(shell, url, "bob") as new:
            assert (_status(old), _status(new)) == (200, 200)
            assert shell("access", "revoke", "bob").code == 0
            assert (_status(old), _status(new), _status(ann)) == (401, 401, 200)
        with client_of(shell, url, "bob") as again:
            assert _status(again) == 200
            assert shell("access", "user", "freeze", "bob", "--why", "looked odd").code == 0
            assert (_status(again), _status(ann)) == (401, 200)
