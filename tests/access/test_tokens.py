from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.keys import Keys, kid_of, signing_key
from headrace.access.revocations import Revocations
from headrace.access.tokens import MAX_SKEW_S, Tokens
from headrace.core.errors import InvalidInput, Unauthenticated
from headrace.core.identity import Credential, Principal
from headrace.testing import START, FakeClock, MemoryEpoch, MemoryRecords, make_tokens

ANN = Principal(name="ann", kind="person", roles=("viewer",), created_at=START)
AGENT = Principal(name="scout", kind="agent", roles=("viewer",), created_at=START)
NOW_S = int(START.timestamp())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def tokens(keys: Path, clock: FakeClock) -> Tokens:
    return make_tokens(keys, clock)


def _claims(**changes: Any) -> dict[str, Any]:
    """What a token says, with claims changed, or left out where None."""
    claims = {
        "iss": "headrace",
        "sub": "ann",
        "aud": "headrace",
        "iat": NOW_S,
        "nbf": NOW_S,
        "exp": NOW_S + 900,
        "jti": "1",
        "wsp": "main",
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def _signed(keys: Path, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token signed with our own key."""
    key = signing_key(keys)
    ours = {"alg": "EdDSA", "kid": kid_of(key.public_key()), "typ": "JWT"}
    body = f"{_part(ours if header is None else ours | header)}.{_part(_claims(**changes))}"
    return f"{body}.{_text(key.sign(body.encode()))}"


def _part(content: dict[str, Any]) -> str:
    return _text(json.dumps(content, separators=(",", ":")).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_token_names_its_principal_and_workspace(tokens: Tokens) -> None:
    verified = tokens.verify(tokens.issue(replace(ANN, workspace="lab")))
    assert (verified.name, verified.workspace) == ("ann", "lab")


def test_another_process_with_the_same_keys_verifies_it(tokens: Tokens, keys: Path, clock: FakeClock) -> None:
    assert make_tokens(keys, clock).verify(tokens.issue(ANN)).name == "ann"


def test_it_says_nothing_about_roles(tokens: Tokens) -> None:
    claims = jwt.decode(tokens.issue(ANN), options={"verify_signature": False})
    assert set(claims) == {"iss", "sub", "aud", "iat", "nbf", "exp", "jti", "wsp"}


def test_a_stock_library_verifies_it_with_the_published_keys(keys: Path, clock: FakeClock) -> None:
    epoch = MemoryEpoch()
    published = jwt.PyJWKSet.from_dict(Keys(keys, epoch, clock).jwks())
    token = make_tokens(keys, clock).issue(ANN, run="r7", tools=("search",))
    key = published[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token,
        key,
        algorithms=["EdDSA"],
        audience="headrace",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert (claims["sub"], claims["run"], claims["tools"]) == ("ann", "r7", ["search"])


def test_what_it_is_bound_to_comes_back_as_a_session(tokens: Tokens) -> None:
    proved_until = START + timedelta(minutes=5)
    token = tokens.issue(AGENT, run="r7", tools=("search", "read"), proved_until=proved_until, family="f1")
    verified = tokens.verify(token)
    assert verified.session.run == "r7"
    assert verified.session.tools == ("search", "read")
    assert verified.session.proved_until == proved_until
    assert verified.session.family == "f1"
    assert verified.session.token == jwt.decode(token, options={"verify_signature": False})["jti"]


@pytest.mark.requirement("IDN-04")
@pytest.mark.parametrize(
    "bound", [{}, {"run": "r7"}, {"tools": ("search",)}, {"run": "", "tools": ()}], ids=str
)
def test_an_agents_token_is_bound_to_a_run_and_tools(tokens: Tokens, bound: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="--run ID --tool"):
        tokens.issue(AGENT, **bound)


def test_more_tools_than_a_token_holds_are_refused_when_it_is_issued(tokens: Tokens) -> None:
    with pytest.raises(InvalidInput, match="fewer tools"):
        tokens.issue(AGENT, run="r7", tools=tuple(f"tool-{number:06}" for number in range(1000)))


@pytest.mark.requirement("MCP-03")
@pytest.mark.parametrize("ttl_s", [-1, 0, 901, 86_400])
def test_a_long_life_is_refused(tokens: Tokens, ttl_s: int) -> None:
    with pytest.raises(InvalidInput, match="1 to 900 s"):
        tokens.issue(ANN, ttl_s=ttl_s)


def test_it_ends_on_time_also_when_remembered(tokens: Tokens, clock: FakeClock) -> None:
    token = tokens.issue(ANN, ttl_s=60)
    clock.advance(59)
    assert tokens.verify(token).name == "ann"
    clock.advance(1)
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.verify(token)


def test_an_expired_token_that_was_never_seen_is_refused(tokens: Tokens, clock: FakeClock) -> None:
    token = tokens.issue(ANN, ttl_s=60)
    clock.advance(3600)
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.verify(token)


@pytest.mark.requirement("MCP-03")
@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another-server"},
        {"aud": None},
        {"aud": ["headrace"]},
        {"aud": ["headrace", "other"]},
        {"nbf": NOW_S + MAX_SKEW_S + 1},
        {"iat": NOW_S + MAX_SKEW_S + 1, "exp": NOW_S + 120},
        {"exp": NOW_S - 1},
        {"exp": NOW_S + 901},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"nbf": None},
        {"iat": None},
        {"jti": None},
        {"sub": None},
        {"sub": 7},
        {"iss": "elsewhere"},
        {"iss": None},
        {"wsp": None},
        {"wsp": ["main"]},
        {"tools": "search"},
        {"run": 7},
        {"roles": ["admin"]},
    ],
    ids=str,
)
def test_claims_that_are_not_ours_are_refused(tokens: Tokens, keys: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        tokens.verify(_signed(keys, **changes))


def test_the_token_that_the_others_are_changed_from_is_valid(tokens: Tokens, keys: Path) -> None:
    assert tokens.verify(_signed(keys)).name == "ann"


def test_a_clock_that_is_a_little_ahead_is_forgiven_but_no_end_is_stretched(
    tokens: Tokens, keys: Path, clock: FakeClock
) -> None:
    ahead_s = NOW_S + MAX_SKEW_S
    assert tokens.verify(_signed(keys, iat=ahead_s, nbf=ahead_s)).name == "ann"
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.verify(_signed(keys, exp=NOW_S, jti="2"))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": ""},
        {"alg": "HS256"},
        {"alg": "ES256"},
        {"alg": "eddsa"},
        {"alg": ["EdDSA"]},
        {"kid": "another"},
        {"kid": "../../etc/passwd"},
        {"kid": None},
        {"typ": "at+jwt"},
        {"crit": ["exp"]},
        {"jku": "https://evil.example/keys"},
        {"jwk": {"kty": "OKP"}},
    ],
    ids=str,
)
def test_a_header_that_is_not_ours_is_refused_though_the_signature_is_good(
    tokens: Tokens, keys: Path, header: dict[str, Any]
) -> None:
    with pytest.raises(Unauthenticated):
        tokens.verify(_signed(keys, header))


def test_no_signature_is_refused(tokens: Tokens, keys: Path) -> None:
    header, payload, signature = _signed(keys).split(".")
    unsigned = _part({"alg": "none", "typ": "JWT"})
    for token in (
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{unsigned}.{payload}.",
        f"{header}..{signature}",
    ):
        with pytest.raises(Unauthenticated):
            tokens.verify(token)


def test_the_public_key_is_no_shared_secret(tokens: Tokens, keys: Path) -> None:
    secret = signing_key(keys).public_key().public_bytes_raw()
    with pytest.raises(Unauthenticated):
        tokens.verify(jwt.encode(_claims(), secret, algorithm="HS256"))


def test_another_key_is_refused(tokens: Tokens, keys: Path) -> None:
    body = _signed(keys).rpartition(".")[0]
    with pytest.raises(Unauthenticated):
        tokens.verify(f"{body}.{_text(Ed25519PrivateKey.generate().sign(body.encode()))}")


def test_more_than_8_kib_is_refused_unread(tokens: Tokens, keys: Path) -> None:
    token = _signed(keys, note="x" * 8192)
    assert len(token) > 8192
    with pytest.raises(Unauthenticated, match="at most 8192"):
        tokens.verify(token)


@pytest.mark.requirement("MCP-04")
@given(data=st.data())
def test_no_altered_or_shortened_token_is_accepted(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    tokens, token = _shared(tmp_path_factory)
    place = data.draw(st.integers(0, len(token) - 1))
    if data.draw(st.booleans()):
        other = data.draw(st.sampled_from("ABCabc019-_.=~+/ \n\0é"))
        changed = token[:place] + other + token[place + data.draw(st.integers(0, 1)) :]
    else:
        changed = token[:place]
    if changed == token:
        return
    with pytest.raises(Unauthenticated):
        tokens.verify(changed)


@given(st.text(max_size=200))
def test_any_other_text_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    tokens, _ = _shared(tmp_path_factory)
    with pytest.raises(Unauthenticated):
        tokens.verify(text)


def _shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokens, str]:
    """Tokens over a key that all examples share, and a good one."""
    tokens = make_tokens(tmp_path_factory.getbasetemp() / "shared-keys", FakeClock())
    return tokens, tokens.issue(ANN)


def test_a_full_memory_of_verified_tokens_changes_no_answer(keys: Path, clock: FakeClock) -> None:
    epoch = MemoryEpoch()
    revocations = Revocations(MemoryRecords[Credential](), epoch, clock)
    tokens = Tokens(Keys(keys, epoch, clock), revocations, epoch, clock, max_cached=8)
    first = tokens.issue(ANN, ttl_s=10)
    tokens.verify(first)
    for _ in range(30):
        assert tokens.verify(tokens.issue(ANN)).name == "ann"
    clock.advance(11)
    with pytest.raises(Unauthenticated):
        tokens.verify(first)


def test_a_token_that_another_process_has_issued_is_good_here_and_altered_it_is_not(
    keys: Path, clock: FakeClock
) -> None:
    issuing, verifying = make_tokens(keys, clock), make_tokens(keys, clock)
    token = issuing.issue(ANN)
    assert verifying.verify(token) == issuing.verify(token)
    header, _, signature = token.split(".")
    other = issuing.issue(replace(ANN, name="bob")).split(".")[1]
    with pytest.raises(Unauthenticated, match="altered"):
        make_tokens(keys, clock).verify(f"{header}.{other}.{signature}")
    with pytest.raises(Unauthenticated, match="altered"):
        issuing.verify(f"{header}.{other}.{signature}")


def test_what_was_issued_here_for_somebody_else_is_not_taken_for_ours(tokens: Tokens) -> None:
    with pytest.raises(Unauthenticated, match="somebody else"):
        tokens.verify(tokens.issue(ANN, audience="another"))
