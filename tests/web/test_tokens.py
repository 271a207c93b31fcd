"""Tokens over HTTP: fetched, published keys, and ended before their time."""

from __future__ import annotations

from typing import Literal

import jwt
import pytest

from tests.web.conftest import Site
from tests.web.making import AUTHOR


def test_the_public_keys_are_for_everybody(site: Site) -> None:
    answer = site.get("/.well-known/jwks.json", by=None)
    assert answer.status_code == 200
    token = site.token(AUTHOR)
    keys = jwt.PyJWKSet.from_dict(answer.json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, algorithms=["EdDSA"], audience="headrace")["sub"] == AUTHOR


@pytest.mark.requirement("MCP-04")
def test_a_revoked_token_is_refused_by_every_protocol_at_the_next_request(site: Site) -> None:
    site.app.identities.add("mallory", ["operator"], actor="root")
    token = site.token("mallory")
    headers = {"authorization": f"Bearer {token}"}
    paths = ("/api/v1/projects", "/v2/models/cars", "/metrics")
    assert [site.get(path, by=None, headers=headers).status_code for path in paths] == [200, 200, 200]
    assert site.post("/api/v1/access/revoke", by="mallory", json={"principal": AUTHOR}).status_code == 403
    answer = site.post("/api/v1/access/revoke", json={"principal": "mallory"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["principal"] == "mallory"
    assert [site.get(path, by=None, headers=headers).status_code for path in paths] == [401, 401, 401]
    assert site.post("/api/v1/access/revoke", json={"principal": "nobody"}).status_code == 404
    assert site.post("/api/v1/access/revoke", json={"principal": "mallory", "all": 1}).status_code == 422


def _signed_in(site: Site, name: str) -> dict[str, str]:
    """The cookie of somebody who has followed a sign-in link."""
    answer = site.client.request("GET", f"/signin?ticket={site.server.parts.tickets.issue(name)}")
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]}


@pytest.mark.requirement("MCP-04")
def test_revoking_all_ends_browser_sessions_too(site: Site) -> None:
    site.app.identities.add("eve", ["viewer"], actor="root")
    cookies = _signed_in(site, "eve")
    page = {"accept": "text/html"} | cookies
    assert site.client.request("GET", "/", headers=page).status_code == 200
    assert site.post("/api/v1/access/revoke", json={"principal": "eve"}).status_code == 200
    assert site.client.request("GET", "/", headers=page).status_code == 401
    again = {"accept": "text/html"} | _signed_in(site, "eve")
    assert site.client.request("GET", "/", headers=again).status_code == 200
    signed = site.server.parts.sessions.find(again["cookie"].partition("=")[2])
    assert signed is not None
    assert signed.generation == 1, "so that it ends with the next ones, whatever the clock says"


@pytest.mark.requirement("IDN-04")
@pytest.mark.parametrize("kind", ["service", "agent"])
def test_a_machines_token_does_not_become_a_session(site: Site, kind: Literal["service", "agent"]) -> None:
    machine = site.app.identities.add(
        f"m-{kind}", ["viewer"], actor="root", kind=kind, owner=AUTHOR, purpose="tests"
    )
    token = site.app.tokens.issue(machine, run="r7", tools=("search",))
    answer = site.client.request(
        "POST", "/signin", data={"token": token}, headers={"sec-fetch-site": "same-origin"}
    )
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    person = site.client.request(
        "POST", "/signin", data={"token": site.token(AUTHOR)}, headers={"sec-fetch-site": "same-origin"}
    )
    assert "set-cookie" in person.headers
