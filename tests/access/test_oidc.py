"""What an OpenID provider may say, and everything that it may not."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from headrace.access.oidc import LEEWAY_S, Attempt, Person, Provider
from headrace.access.providers import AGAIN_S
from headrace.core.errors import InvalidInput, Unauthenticated, Unavailable
from headrace.core.settings import ProviderSettings, is_safe_address, read_settings
from headrace.testing import FakeClock

ISSUER, CLIENT, SECRET = "https://login.example", "headrace", "s3cret-of-the-client"
BACK = "https://headrace.example/signin/oidc/callback"
KEY, OTHER = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))


def _jwk(key: rsa.RSAPrivateKey, kid: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return made | {"kid": kid}


class FakeProvider:
    """An OpenID provider that says what a test wants it to."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.about: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
        }
        self.keys = {"keys": [_jwk(KEY, "one")]}
        self.changes: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any]], str] = lambda claims: jwt.encode(
            claims, KEY, "RS256", headers={"kid": "one"}
        )
        self.nonce = ""
        self.asked: list[httpx.Request] = []
        self.answer: httpx.Response | None = None
        self.settings = ProviderSettings(issuer=ISSUER, client_id=CLIENT, client_secret=SECRET)

    def provider(self) -> Provider:
        return Provider(self.settings, self.clock, httpx.MockTransport(self._handle))

    def sign_in(self, provider: Provider | None = None) -> Person:
        """From the first redirect to the end."""
        provider = provider or self.provider()
        _, attempt = provider.begin(BACK)
        self.nonce = attempt.nonce
        return provider.finish(attempt, attempt.state, "the-code")

    def claims(self) -> dict[str, Any]:
        now_s = int(self.clock.now().timestamp())
        said = {"iss": ISSUER, "sub": "00u1", "aud": CLIENT, "iat": now_s, "exp": now_s + 300}
        wanted = said | {"nonce": self.nonce} | self.changes
        return {name: value for name, value in wanted.items() if value is not None}

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        match request.url.path:
            case "/.well-known/openid-configuration":
                return httpx.Response(200, json=self.about)
            case "/keys":
                return httpx.Response(200, json=self.keys)
        if self.answer is not None:
            return self.answer
        return httpx.Response(200, json={"access_token": "a", "id_token": self.sign(self.claims())})


@pytest.fixture
def fake() -> FakeProvider:
    return FakeProvider()


def test_the_browser_is_sent_with_state_nonce_and_pkce(fake: FakeProvider) -> None:
    address, attempt = fake.provider().begin(BACK)
    sent = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    challenge = base64.urlsafe_b64encode(sha256(attempt.verifier.encode()).digest()).rstrip(b"=").decode()
    assert address.startswith(f"{ISSUER}/authorize?")
    assert sent == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": BACK,
        "scope": "openid",
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    assert len({attempt.state, attempt.nonce, attempt.verifier}) == 3
    assert attempt.verifier not in address


def test_a_good_answer_says_who_it_is(fake: FakeProvider) -> None:
    assert fake.sign_in() == Person(ISSUER, "00u1")
    exchange = fake.asked[-1]
    sent = parse_qs(exchange.content.decode())
    assert sent["grant_type"] == ["authorization_code"]
    assert sent["code"] == ["the-code"]
    assert len(sent["code_verifier"][0]) >= 43
    assert exchange.headers["authorization"].startswith("Basic ")
    assert SECRET not in exchange.content.decode()


def test_the_provider_is_described_once_an_hour(fake: FakeProvider) -> None:
    provider = fake.provider()
    for _ in range(3):
        fake.sign_in(provider)
    assert len(fake.asked) == 2 + 3
    fake.clock.advance(3600)
    fake.sign_in(provider)
    assert len(fake.asked) == 2 + 3 + 2 + 1


def test_a_new_key_of_the_provider_is_fetched(fake: FakeProvider) -> None:
    provider = fake.provider()
    fake.sign_in(provider)
    fake.keys = {"keys": [_jwk(KEY, "one"), _jwk(OTHER, "two")]}
    fake.sign = lambda claims: jwt.encode(claims, OTHER, "RS256", headers={"kid": "two"})
    with pytest.raises(Unauthenticated, match="unknown key"):
        fake.sign_in(provider)  # whoever sends tokens must not make us ask the provider each time
    fake.clock.advance(AGAIN_S)
    assert fake.sign_in(provider).subject == "00u1"


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"aud": None},
        {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"azp": "another"},
        {"iss": "https://evil.example"},
        {"iss": f"{ISSUER}/"},
        {"iss": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"exp": None},
        {"exp": "soon"},
        {"iat": None},
        {"at_hash": "x"},
    ],
    ids=str,
)
def test_wrong_claims_are_refused(fake: FakeProvider, changes: dict[str, Any]) -> None:
    fake.changes = changes
    with pytest.raises(Unauthenticated, match="not good here|names nobody"):
        fake.sign_in()


@pytest.mark.parametrize(("moved_s", "good"), [(-LEEWAY_S + 5, True), (-LEEWAY_S - 5, False)])
def test_an_expired_token_is_refused(fake: FakeProvider, moved_s: int, good: bool) -> None:
    fake.changes = {"exp": int(fake.clock.now().timestamp()) + moved_s}
    if good:
        fake.sign_in()
        return
    with pytest.raises(Unauthenticated, match="not good here"):
        fake.sign_in()


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_of_the_future_is_refused(fake: FakeProvider, name: str) -> None:
    fake.changes = {name: int(fake.clock.now().timestamp()) + LEEWAY_S + 60}
    with pytest.raises(Unauthenticated, match="not good here"):
        fake.sign_in()


def _public_pem() -> bytes:
    return KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _with_shared_secret(claims: dict[str, Any]) -> str:
    """Signed with our public key as if it were a shared secret."""
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "HS256", "kid": "one"}, claims)
    )
    mac = hmac.new(_public_pem(), f"{head}.{body}".encode(), "sha256").digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    "sign",
    [
        lambda claims: jwt.encode(claims, OTHER, "RS256", headers={"kid": "one"}),
        lambda claims: jwt.encode(claims, OTHER, "RS256", headers={"kid": "unknown"}),
        lambda claims: jwt.encode(claims, "", "none", headers={"kid": "one"}),
        lambda claims: jwt.encode(claims, SECRET * 4, "HS256", headers={"kid": "one"}),
        lambda claims: jwt.encode(
            claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": "one"}
        ),
        _with_shared_secret,
        lambda claims: jwt.encode(claims, KEY, "RS256", headers={"kid": "one"})[:-8],
        lambda claims: "not.a.token",
        lambda claims: "",
    ],
)
def test_a_token_that_the_provider_did_not_sign_is_refused(
    fake: FakeProvider, sign: Callable[[dict[str, Any]], str]
) -> None:
    fake.sign = sign
    with pytest.raises(Unauthenticated, match="identity token"):
        fake.sign_in()


def test_an_answer_to_another_sign_in_is_refused(fake: FakeProvider) -> None:
    provider = fake.provider()
    _, attempt = provider.begin(BACK)
    with pytest.raises(Unauthenticated, match="another sign-in"):
        provider.finish(attempt, "another-state", "the-code")
    with pytest.raises(Unauthenticated, match="another provider"):
        provider.finish(attempt, attempt.state, "the-code", "https://evil.example")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(400, json={"error": "invalid_grant"}), Unauthenticated),
        (httpx.Response(200, json={"access_token": "a"}), Unauthenticated),
        (httpx.Response(200, json=["a"]), Unavailable),
        (httpx.Response(500, json={}), Unavailable),
        (httpx.Response(302, headers={"location": "https://evil.example"}), Unavailable),
        (httpx.Response(200, text="<html>"), Unavailable),
    ],
)
def test_a_provider_that_does_not_answer_as_expected(
    fake: FakeProvider, answer: httpx.Response, kind: type[Exception]
) -> None:
    fake.answer = answer
    with pytest.raises(kind):
        fake.sign_in()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"issuer": "https://evil.example"}, "says that it is"),
        ({"issuer": None}, "says that it is"),
        ({"token_endpoint": "http://login.example/token"}, "token_endpoint is no https address"),
        ({"jwks_uri": None}, "jwks_uri is no https address"),
    ],
)
def test_a_provider_that_describes_itself_wrongly(
    fake: FakeProvider, changes: dict[str, Any], why: str
) -> None:
    fake.about |= changes
    with pytest.raises(Unavailable, match=why):
        fake.provider().begin(BACK)


def test_a_provider_that_is_away(fake: FakeProvider) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("slow", request=request)

    provider = Provider(fake.settings, fake.clock, httpx.MockTransport(away))
    with pytest.raises(Unavailable, match="ConnectTimeout"):
        provider.begin(BACK)


@pytest.mark.parametrize("keys", [{}, {"keys": []}, {"keys": 3}, {"keys": [{"kty": "odd"}]}, {"keys": [3]}])
def test_keys_that_cannot_be_read(fake: FakeProvider, keys: dict[str, Any]) -> None:
    fake.keys = keys
    with pytest.raises(Unavailable, match="no keys that can be used"):
        fake.sign_in()


def test_without_a_secret_the_verifier_alone_protects_the_exchange(fake: FakeProvider) -> None:
    fake.settings = ProviderSettings(issuer=ISSUER, client_id=CLIENT)
    fake.sign_in()
    assert parse_qs(fake.asked[-1].content.decode())["client_id"] == [CLIENT]
    assert "authorization" not in fake.asked[-1].headers


def test_a_provider_that_wants_the_secret_in_the_body_gets_it_there(fake: FakeProvider) -> None:
    fake.about["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    fake.sign_in()
    assert parse_qs(fake.asked[-1].content.decode())["client_secret"] == [SECRET]


def test_nothing_shows_the_secret(fake: FakeProvider) -> None:
    fake.answer = httpx.Response(401, json={"error": "invalid_client", "secret": SECRET})
    with pytest.raises(Unauthenticated) as refused:
        fake.sign_in()
    assert SECRET not in f"{refused.value} {fake.settings!r} {fake.provider()!r}"
    assert Attempt("s", "n", "v", BACK).redirect_uri == BACK


@pytest.mark.parametrize(
    ("address", "safe"),
    [
        ("https://login.example", True),
        ("https://login.example:8443/realms/a", True),
        ("http://localhost:9000", True),
        ("http://127.0.0.1:9000/", True),
        ("http://[::1]:9000", True),
        ("http://login.example", False),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1@evil.example", False),
        ("https://user:secret@login.example", False),
        ("https://login.example?x=1", False),
        ("https://login.example/#x", False),
        ("https://", False),
        ("https://a b", False),
        ("https://a\\b", False),
        ("https://a\u202eb", False),
        ("javascript:alert(1)", False),
        ("None", False),
        ("", False),
    ],
)
def test_an_address_is_safe_over_https_or_on_this_machine(address: str, safe: bool) -> None:
    assert is_safe_address(address) == safe


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"HEADRACE_OIDC_ISSUER": "http://login.example", "HEADRACE_OIDC_CLIENT_ID": "a"}, "Expected https"),
        ({"HEADRACE_OIDC_ISSUER": ISSUER}, "HEADRACE_OIDC_CLIENT_ID is not"),
    ],
)
def test_half_a_provider_is_refused(environment: dict[str, str], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        read_settings({"HEADRACE_HOME": "/nowhere", **environment})


def test_the_settings_name_a_provider_and_show_no_secret() -> None:
    environment = {
        "HEADRACE_HOME": "/nowhere",
        "HEADRACE_OIDC_ISSUER": ISSUER,
        "HEADRACE_OIDC_CLIENT_ID": CLIENT,
        "HEADRACE_OIDC_CLIENT_SECRET": SECRET,
        "HEADRACE_CODE": "123456",
    }
    settings = read_settings(environment)
    assert settings.provider == ProviderSettings(issuer=ISSUER, client_id=CLIENT, client_secret=SECRET)
    assert SECRET not in repr(settings)
    assert "123456" not in repr(settings)
    assert read_settings({"HEADRACE_HOME": "/nowhere"}).provider is None
