"""The token endpoint, as OAuth libraries and hostile clients meet it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import jwt
import pytest

from headrace.access.tokens import MAX_TTL_S
from headrace.app import credentials
from headrace.app.token_exchange import OUTSIDE_TYPES, TOKEN_EXCHANGE
from headrace.core.identity import Principal
from tests.access.provider import Provider, providing
from tests.web.conftest import Site
from tests.web.making import AUTHOR

PATH = "/api/v1/tokens"
URL = f"http://testserver{PATH}"


class ThroughSite(httpx2.BaseTransport):
    """Carries an unchanged library's requests to the site in memory; Authlib's speak by httpx2."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it on as it is."""
        answer = self._site.client.request(
            request.method, str(request.url), headers=dict(request.headers), content=request.read()
        )
        headers = list(answer.headers.items())
        return httpx2.Response(answer.status_code, headers=headers, content=answer.content)


@pytest.fixture(scope="module")
def service(site: Site) -> Principal:
    return site.app.identities.add(
        "billing", ["operator"], actor="root", kind="service", owner=AUTHOR, purpose="tests"
    )


@pytest.fixture
def secret(site: Site, service: Principal) -> Iterator[str]:
    me = site.app.identities.resolve(AUTHOR)
    made = credentials.new_secret(site.app, me, service.name)
    yield made.text
    credentials.revoke_credential(site.app, me, service.name, made.record.id)


def _ask(site: Site, form: Any = None, *, path: str = PATH, **more: Any) -> httpx.Response:
    return site.client.request("POST", path, data=form, **more)


def _said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def _client(site: Site, **more: Any) -> Any:
    from authlib.integrations.httpx_client import OAuth2Client  # type: ignore[import-untyped]

    return OAuth2Client(transport=ThroughSite(site), token_endpoint=URL, **more)


@pytest.mark.requirement("MCP-03")
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_an_unchanged_oauth_client_gets_tokens_by_its_secret(site: Site, secret: str, method: str) -> None:
    with _client(
        site,
        client_id="billing",
        client_secret=secret,
        token_endpoint_auth_method=method,
        grant_type="client_credentials",
    ) as client:
        token = client.fetch_token(URL)
        assert token["token_type"] == "Bearer"
        assert 0 < token["expires_in"] <= MAX_TTL_S
        assert "refresh_token" not in token
        assert client.get("http://testserver/api/v1/projects").status_code == 200
        client.token = token | {"expires_at": int(time.time()) - 1}
        assert client.get("http://testserver/api/v1/projects").status_code == 200, "it fetched another"
        assert client.token["access_token"] != token["access_token"]


@pytest.mark.requirement("MCP-04")
def test_an_unchanged_oauth_client_refreshes_and_a_thief_ends_it(site: Site) -> None:
    issued, begun = credentials.issue_refresh_token(site.app, site.app.identities.resolve(AUTHOR))
    held = {"access_token": issued.text, "refresh_token": begun.text, "token_type": "Bearer"}
    with _client(site, client_id=AUTHOR, token=held, token_endpoint_auth_method="none") as client:
        for _ in range(2):
            refreshed = client.refresh_token(URL)
            assert client.get("http://testserver/api/v1/projects").status_code == 200
        thief = _ask(site, {"grant_type": "refresh_token", "refresh_token": begun.text})
        assert _said(thief) == (400, "invalid_grant")
        assert client.get("http://testserver/api/v1/projects").status_code == 401
        again = _ask(site, {"grant_type": "refresh_token", "refresh_token": refreshed["refresh_token"]})
        assert _said(again) == (400, "invalid_grant")
    kinds = [incident.kind for incident in site.app.store.incidents.list(subject=AUTHOR)]
    assert kinds == ["token_reuse"]


@pytest.mark.requirement("MCP-04")
def test_an_unchanged_oauth_client_gives_back_what_it_does_not_need(site: Site, secret: str) -> None:
    with _client(site, client_id="billing", client_secret=secret, grant_type="client_credentials") as client:
        token = client.fetch_token(URL)
        assert client.get("http://testserver/api/v1/projects").status_code == 200
        for _ in range(2):
            assert client.revoke_token(f"{URL}/revoke", token["access_token"]).status_code == 200
        assert client.get("http://testserver/api/v1/projects").status_code == 401
    issued, begun = credentials.issue_refresh_token(site.app, site.app.identities.resolve(AUTHOR))
    before = len(site.app.store.incidents.list())
    assert _ask(site, {"token": begun.text}, path=f"{PATH}/revoke").status_code == 200
    answer = site.get("/api/v1/projects", by=None, headers={"authorization": f"Bearer {issued.text}"})
    assert answer.status_code == 401
    refused = _ask(site, {"grant_type": "refresh_token", "refresh_token": begun.text})
    assert _said(refused) == (400, "invalid_grant")
    assert len(site.app.store.incidents.list()) == before
    assert _ask(site, {"token": "no token"}, path=f"{PATH}/revoke").status_code == 200
    assert _said(_ask(site, content=b"{}", path=f"{PATH}/revoke")) == (400, "invalid_request")


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with providing() as provider:
        yield provider


@pytest.mark.filterwarnings("ignore")  # the provider's own
@pytest.mark.requirement("IDN-04")
def test_a_token_of_another_provider_becomes_one_of_ours(
    site: Site, service: Principal, provider: Provider
) -> None:
    me = site.app.identities.resolve(AUTHOR)
    outside = {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": provider.token("repo:team/cars", "headrace"),
        "subject_token_type": OUTSIDE_TYPES[0],
    }
    assert _said(_ask(site, outside)) == (400, "invalid_grant")
    trusted = credentials.trust(
        site.app,
        me,
        service.name,
        issuer=provider.issuer,
        audience="headrace",
        subject="repo:team/cars",
    )
    answer = _ask(site, outside | {"scope": "offline_access", "client_id": "billing"}).json()
    assert answer["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert site.app.tokens.verify(answer["access_token"]).name == "billing"
    assert "refresh_token" not in _ask(site, outside).json()
    refresh = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    refreshed = _ask(site, refresh).json()
    assert site.app.tokens.verify(refreshed["access_token"]).name == "billing"
    assert _said(_ask(site, outside | {"client_id": "other"})) == (400, "invalid_grant")
    credentials.revoke_credential(site.app, me, service.name, trusted.id)
    assert _said(_ask(site, outside)) == (400, "invalid_grant")
    refresh["refresh_token"] = refreshed["refresh_token"]
    assert _said(_ask(site, refresh)) == (400, "invalid_grant")


def test_every_token_that_leaves_is_in_the_audit_log(site: Site, secret: str) -> None:
    before = len(site.app.store.audit.list(limit=100_000))
    answer = _ask(site, {"grant_type": "client_credentials"}, auth=("billing", secret))
    jti = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})["jti"]
    entries = site.app.store.audit.list(after=before, limit=100)
    issued = [(entry.actor, entry.detail["token"]) for entry in entries if entry.action == "token.issue"]
    assert issued == [("billing", jti)]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({}, (400, "unsupported_grant_type")),
        ({"grant_type": "password", "username": "a", "password": "b"}, (400, "unsupported_grant_type")),
        ({"grant_type": "client_credentials"}, (401, "invalid_client")),
        ({"grant_type": "client_credentials", "client_id": "billing"}, (401, "invalid_client")),
        (
            {"grant_type": "client_credentials", "client_id": "nobody", "client_secret": "x"},
            (401, "invalid_client"),
        ),
        ({"grant_type": "refresh_token"}, (400, "invalid_request")),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, (400, "invalid_grant")),
        ({"grant_type": TOKEN_EXCHANGE}, (400, "invalid_request")),
        (
            {"grant_type": TOKEN_EXCHANGE, "subject_token": "x", "subject_token_type": "y"},
            (400, "invalid_request"),
        ),
        (
            {"grant_type": TOKEN_EXCHANGE, "subject_token": "x", "subject_token_type": OUTSIDE_TYPES[0]},
            (400, "invalid_grant"),
        ),
    ],
    ids=str,
)
def test_errors_have_the_protocols_shape(site: Site, form: dict[str, str], expected: tuple[int, str]) -> None:
    answer = _ask(site, form, headers={"content-type": "application/x-www-form-urlencoded"})
    assert _said(answer) == expected
    assert set(answer.json()) == {"error", "error_description"}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"grant_type": "client_credentials"}', "application/json"),
        (b"", ""),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"grant_type=refresh_token&grant_type=password", "application/x-www-form-urlencoded"),
        (b"a=1&" * 100, "application/x-www-form-urlencoded"),
    ],
    ids=str,
)
def test_what_is_no_form_is_refused(site: Site, content: bytes, kind: str) -> None:
    answer = _ask(site, content=content, headers={"content-type": kind})
    assert _said(answer) == (400, "invalid_request")


@pytest.mark.parametrize(
    "authorization",
    ["Bearer x.y.z", "Basic", "Basic !!!", "Basic " + base64.b64encode(b"\xff:x").decode(), "Basic Og=="],
)
def test_a_header_that_names_no_client_is_refused(site: Site, authorization: str) -> None:
    answer = _ask(site, {"grant_type": "client_credentials"}, headers={"authorization": authorization})
    assert answer.status_code in (400, 401)
    assert answer.json()["error"] in ("invalid_request", "invalid_client")


def test_a_client_says_who_it_is_once(site: Site, secret: str) -> None:
    for more in ({"client_secret": secret}, {"client_id": "other"}):
        answer = _ask(site, {"grant_type": "client_credentials", **more}, auth=("billing", secret))
        assert _said(answer) == (400, "invalid_request")
    wrong = _ask(site, {"grant_type": "client_credentials"}, auth=("billing", "x"))
    assert _said(wrong) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic")


@pytest.mark.requirement("MCP-04")
def test_guessing_ends_in_429_also_for_the_right_secret(site: Site) -> None:
    me = site.app.identities.resolve(AUTHOR)
    site.app.identities.add(
        "guessed", ["viewer"], actor="root", kind="service", owner=AUTHOR, purpose="tests"
    )
    secret = credentials.new_secret(site.app, me, "guessed").text
    form = {"grant_type": "client_credentials"}
    assert _ask(site, form, auth=("guessed", secret)).status_code == 200
    for _ in range(10):
        assert _said(_ask(site, form, auth=("guessed", "hrs_guess"))) == (401, "invalid_client")
    stopped = _ask(site, form, auth=("guessed", secret))
    assert _said(stopped) == (429, "slow_down")
    assert 0 < int(stopped.headers["retry-after"]) <= 300
    (incident,) = site.app.store.incidents.list(subject="guessed")
    assert incident.kind == "secret_guessing"


def test_a_frozen_service_gets_nothing(site: Site) -> None:
    me = site.app.identities.resolve(AUTHOR)
    site.app.identities.add("cold", ["viewer"], actor="root", kind="service", owner=AUTHOR, purpose="tests")
    secret = credentials.new_secret(site.app, me, "cold").text
    site.app.identities.freeze("cold", "looked odd", actor=AUTHOR)
    answer = _ask(site, {"grant_type": "client_credentials"}, auth=("cold", secret))
    assert _said(answer) == (400, "invalid_grant")
    assert "frozen" in answer.json()["error_description"]
