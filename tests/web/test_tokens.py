"""Tokens over HTTP: fetched, published keys, and ended before their time."""

from __future__ import annotations

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
