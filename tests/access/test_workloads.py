from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from headrace.access.credentials import GrantRefused
from headrace.access.providers import AGAIN_S, check_address
from headrace.access.workloads import MAX_AGE_S
from headrace.core.errors import Conflict, InvalidInput, Unavailable
from headrace.core.identity import Credential
from headrace.testing import START
from tests.access.people import Door
from tests.access.provider import Provider, providing

NOW_S = int(START.timestamp())
SUBJECT = "repo:team/cars"
KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "RS512": rsa.generate_private_key(65537, 2048),
}
_FORMS = {"RS256": "RSA", "RS512": "RSA", "ES256": "EC", "EdDSA": "OKP"}


@dataclass
class Host:
    """A provider whose every answer a test decides; counts how often its keys were asked for."""

    issuer: str = ""
    documents: dict[str, Any] = field(default_factory=dict)
    n_asked: int = 0

    def publish(self, *names: str) -> None:
        """Publish these keys and no others."""
        keys = []
        for name in names:
            algorithm = jwt.get_algorithm_by_name(name)
            public = json.loads(algorithm.to_jwk(KEYS[name].public_key()))
            keys.append(public | {"kid": name, "alg": name, "use": "sig"})
        self.documents = {
            "/.well-known/openid-configuration": {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"},
            "/keys": {"keys": keys},
        }

    def token(self, name: str = "RS256", kid: str | None = None, **changes: Any) -> str:
        """A token signed with the key of this name, with claims changed, or left out where None."""
        claims = {
            "iss": self.issuer,
            "aud": "headrace",
            "sub": SUBJECT,
            "iat": NOW_S,
            "exp": NOW_S + 600,
        } | changes
        present = {key: value for key, value in claims.items() if value is not None}
        return jwt.encode(present, KEYS[name], algorithm=name, headers={"kid": kid or name})


@pytest.fixture(scope="module")
def listening() -> Iterator[Host]:
    host = Host()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.n_asked += self.path == "/keys"
            document = host.documents.get(self.path)
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(404 if document is None else 200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    host.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield host
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def host(listening: Host) -> Host:
    listening.publish("RS256", "ES256", "EdDSA", "RS512")
    listening.n_asked = 0
    return listening


@pytest.fixture
def trusted(door: Door, host: Host) -> Credential:
    return door.access.workloads.trust(
        door.service("builds"), issuer=host.issuer, audience="headrace", subject=SUBJECT
    )


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with providing() as provider:
        yield provider


def _refused(door: Door, token: str) -> bool:
    try:
        door.access.workloads.check(token)
    except GrantRefused:
        return True
    return False


@pytest.mark.filterwarnings("ignore")  # the provider's own
@pytest.mark.requirement("IDN-04")
def test_a_token_of_a_real_provider_speaks_for_its_service(door: Door, provider: Provider) -> None:
    token = provider.token(SUBJECT, "headrace")
    claims = jwt.decode(token, options={"verify_signature": False})
    door.clock.advance(claims["iat"] - NOW_S)
    assert _refused(door, token), "nobody trusts it yet"
    trusted = door.access.workloads.trust(
        door.service("builds"), issuer=provider.issuer, audience="headrace", subject=SUBJECT
    )
    assert door.access.workloads.check(token) == trusted
    for other in (provider.token("repo:other/cars", "headrace"), provider.token(SUBJECT, "elsewhere")):
        assert _refused(door, other)
    door.clock.advance(claims["exp"] - claims["iat"])
    assert _refused(door, token), "its time is over"


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_three_algorithms_are_accepted(door: Door, host: Host, trusted: Credential, name: str) -> None:
    assert door.access.workloads.check(host.token(name)) == trusted
    assert door.access.workloads.check(host.token(name, aud=["other", "headrace"])) == trusted


def test_others_are_not_though_the_provider_has_keys_for_them(
    door: Door, host: Host, trusted: Credential
) -> None:
    assert trusted.state == "live"
    assert _refused(door, host.token("RS512"))
    assert _refused(door, host.token("RS512", kid="RS256"))
    assert _refused(door, host.token("ES256", kid="RS256"))
    unsigned = jwt.encode({"iss": host.issuer, "aud": "headrace", "sub": SUBJECT}, "", algorithm="none")
    assert _refused(door, unsigned)
    public = host.documents["/keys"]["keys"][0]["n"].encode()
    secret = jwt.encode(
        jwt.decode(host.token(), options={"verify_signature": False}),
        public,
        algorithm="HS256",
        headers={"kid": "RS256"},
    )
    assert _refused(door, secret)


@pytest.mark.requirement("MCP-03")
@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": NOW_S},
        {"exp": NOW_S + MAX_AGE_S + 1},
        {"exp": "never"},
        {"iat": None},
        {"iat": NOW_S + 31},
        {"nbf": NOW_S + 31},
        {"iss": "https://evil.example"},
        {"aud": "elsewhere"},
        {"aud": ["elsewhere"]},
        {"aud": None},
        {"aud": 7},
        {"sub": "repo:team/other"},
        {"sub": None},
        {"sub": ["repo:team/cars"]},
    ],
    ids=str,
)
def test_what_is_not_exactly_trusted_or_lives_too_long_is_refused(
    door: Door, host: Host, trusted: Credential, changes: dict[str, Any]
) -> None:
    assert trusted.state == "live"
    assert _refused(door, host.token(**changes))


def test_altered_and_oversized_tokens_and_other_text_are_refused(
    door: Door, host: Host, trusted: Credential
) -> None:
    good = host.token()
    assert door.access.workloads.check(good) == trusted
    head, body, signature = good.split(".")
    for text in (
        "",
        "x",
        "a.b.c",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        "é",
        "x" * 9000,
    ):
        assert _refused(door, text), text[:80]


def test_keys_are_kept_for_an_hour_and_a_new_one_is_found(
    door: Door, host: Host, trusted: Credential
) -> None:
    host.publish("RS256")
    for _ in range(3):
        assert door.access.workloads.check(host.token()) == trusted
    assert host.n_asked == 1
    host.publish("ES256")
    assert _refused(door, host.token("ES256")), "not asked again so soon: nobody shall make us ask"
    door.clock.advance(AGAIN_S)
    assert door.access.workloads.check(host.token("ES256")) == trusted
    assert host.n_asked == 2
    assert _refused(door, host.token()), "the provider has taken this key back"


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/.well-known/openid-configuration", None),
        ("/.well-known/openid-configuration", {"issuer": "https://evil.example", "jwks_uri": "x"}),
        ("/.well-known/openid-configuration", b"not json"),
        ("/.well-known/openid-configuration", b"[1]"),
        ("/keys", None),
        ("/keys", {"keys": []}),
        ("/keys", {"keys": [{"kty": "oct", "k": "AAAA", "kid": "RS256"}]}),
        ("/keys", {"other": 1}),
        ("/keys", b"{" + b" " * (300 << 10) + b"}"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_provider_that_does_not_answer_as_one_is_no_fault_of_ours(
    door: Door, host: Host, trusted: Credential, path: str, document: Any
) -> None:
    assert trusted.state == "live"
    host.documents[path] = document
    with pytest.raises((Unavailable, GrantRefused)):
        door.access.workloads.check(host.token())


def test_a_provider_may_not_send_us_elsewhere_on_this_machine(door: Door, host: Host) -> None:
    for address in ("http://10.0.0.1/keys", "file:///etc/passwd", "ftp://x/keys", "https://u:p@x/keys", ""):
        door.clock.advance(3_600)
        host.documents["/.well-known/openid-configuration"]["jwks_uri"] = address
        service = door.service(f"s{door.clock.now():%H%M}")
        door.access.workloads.trust(service, issuer=host.issuer, audience=address or "none", subject="s")
        token = host.token(aud=address or "none", sub="s", iat=NOW_S, exp=NOW_S + MAX_AGE_S)
        with pytest.raises((Unavailable, InvalidInput)):
            door.access.workloads.check(token)


@pytest.mark.parametrize(
    "address",
    [
        "http://ci.example",
        "ci.example",
        "https://",
        "https://u@ci.example",
        "https://ci.example?x=1",
        "http://[::",
    ],
)
def test_only_https_is_trusted_beyond_this_machine(door: Door, address: str) -> None:
    with pytest.raises(InvalidInput, match="https://HOST"):
        door.access.workloads.trust(door.service("builds"), issuer=address, audience="a", subject="s")
    assert check_address("https://ci.example/team") == "https://ci.example/team"


def test_one_outside_identity_is_one_service(door: Door, host: Host, trusted: Credential) -> None:
    other = door.service("other")
    with pytest.raises(Conflict, match=f"secret revoke builds {trusted.id}"):
        door.access.workloads.trust(other, issuer=host.issuer, audience="headrace", subject=SUBJECT)
    door.access.secrets.revoke("builds", trusted.id)
    assert _refused(door, host.token())
    again = door.access.workloads.trust(
        other, issuer=host.issuer, audience="headrace", subject=SUBJECT, days=1
    )
    assert door.access.workloads.check(host.token()) == again
    door.clock.advance(86_400)
    assert _refused(door, host.token(iat=NOW_S + 86_000, exp=NOW_S + 87_000)), "the trust has ended"


def test_only_services_are_trusted_from_outside(door: Door, host: Host) -> None:
    for audience, subject in (("", "s"), ("a", " ")):
        with pytest.raises(InvalidInput, match="audience and a subject"):
            door.access.workloads.trust(
                door.service("builds"), issuer=host.issuer, audience=audience, subject=subject
            )
    with pytest.raises(InvalidInput, match="Expected a service"):
        door.access.workloads.trust(door.agent("scout"), issuer=host.issuer, audience="a", subject="s")
