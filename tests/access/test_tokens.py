from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.keys import signing_key
from headrace.access.tokens import Tokens
from headrace.core.errors import InvalidInput, Unauthenticated
from headrace.core.identity import Principal
from headrace.testing.clock import START, FakeClock
from tests.access.people import Door

ANN = Principal(name="ann", kind="person", roles=("viewer",), created_at=START)
NOW_S = int(START.timestamp())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def tokens(keys: Path, clock: FakeClock) -> Tokens:
    return Tokens(keys, clock)


def _signed(keys: Path, **changes: Any) -> str:
    """A token signed with our own key, with claims changed, or left out where None."""
    claims = {
        "iss": "headrace",
        "sub": "ann",
        "aud": "headrace",
        "iat": NOW_S,
        "nbf": NOW_S,
        "exp": NOW_S + 900,
        "jti": "1",
    } | changes
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(present, signing_key(keys), algorithm="EdDSA")


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def test_a_token_names_its_principal(tokens: Tokens) -> None:
    assert tokens.verify(tokens.issue(ANN)) == "ann"


def test_another_process_with_the_same_keys_verifies_it(tokens: Tokens, keys: Path, clock: FakeClock) -> None:
    assert Tokens(keys, clock).verify(tokens.issue(ANN)) == "ann"


def test_it_says_nothing_about_roles(tokens: Tokens) -> None:
    claims = jwt.decode(tokens.issue(ANN), options={"verify_signature": False})
    assert set(claims) == {"iss", "sub", "aud", "iat", "nbf", "exp", "jti"}


@pytest.mark.parametrize("ttl_s", [-1, 0, 901, 86_400])
def test_a_long_life_is_refused(tokens: Tokens, ttl_s: int) -> None:
    with pytest.raises(InvalidInput, match="1 to 900 s"):
        tokens.issue(ANN, ttl_s=ttl_s)


def test_it_ends_on_time_also_when_remembered(tokens: Tokens, clock: FakeClock) -> None:
    token = tokens.issue(ANN, ttl_s=60)
    clock.advance(59)
    assert tokens.verify(token) == "ann"
    clock.advance(1)
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.verify(token)


def test_an_expired_token_that_was_never_seen_is_refused(tokens: Tokens, clock: FakeClock) -> None:
    token = tokens.issue(ANN, ttl_s=60)
    clock.advance(3600)
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.verify(token)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another-server"},
        {"aud": None},
        {"aud": ["headrace"]},
        {"aud": ["headrace", "other"]},
        {"nbf": NOW_S + 60},
        {"iat": NOW_S + 60, "exp": NOW_S + 120},
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
    ],
    ids=str,
)
def test_claims_that_are_not_ours_are_refused(tokens: Tokens, keys: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        tokens.verify(_signed(keys, **changes))


def test_the_token_that_the_others_are_changed_from_is_valid(tokens: Tokens, keys: Path) -> None:
    assert tokens.verify(_signed(keys)) == "ann"


def test_no_algorithm_is_refused(tokens: Tokens, keys: Path) -> None:
    payload = _signed(keys).split(".")[1]
    for algorithm in ("none", "None", "NONE", ""):
        with pytest.raises(Unauthenticated):
            tokens.verify(f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{payload}.")


def test_the_public_key_is_no_shared_secret(tokens: Tokens, keys: Path) -> None:
    secret = signing_key(keys).public_key().public_bytes_raw()
    claims = jwt.decode(_signed(keys), options={"verify_signature": False})
    with pytest.raises(Unauthenticated):
        tokens.verify(jwt.encode(claims, secret, algorithm="HS256"))


def test_another_key_is_refused(tokens: Tokens, keys: Path) -> None:
    claims = jwt.decode(_signed(keys), options={"verify_signature": False})
    with pytest.raises(Unauthenticated):
        tokens.verify(jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA"))


def test_more_than_8_kib_is_refused_unread(tokens: Tokens, keys: Path) -> None:
    token = _signed(keys, note="x" * 8192)
    assert len(token) > 8192
    with pytest.raises(Unauthenticated, match="at most 8192"):
        tokens.verify(token)


@given(data=st.data())
def test_no_altered_or_shortened_token_is_accepted(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    tokens = Tokens(tmp_path_factory.getbasetemp() / "shared-keys", FakeClock())
    token = tokens.issue(ANN)
    place = data.draw(st.integers(0, len(token) - 1))
    if data.draw(st.booleans()):
        other = data.draw(st.sampled_from("ABCabc019-_.=~ é"))
        changed = token[:place] + other + token[place + 1 :]
    else:
        changed = token[:place]
    if _means(changed) == _means(token):
        return
    with pytest.raises(Unauthenticated):
        tokens.verify(changed)


def _means(token: str) -> list[bytes] | None:
    """What the parts decode to: the last character of a part may carry bits that mean nothing."""
    try:
        return [base64.urlsafe_b64decode(part + "==") for part in token.split(".")]
    except ValueError:
        return None


@given(st.text(max_size=200))
def test_any_other_text_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    tokens = Tokens(tmp_path_factory.getbasetemp() / "shared-keys", FakeClock())
    with pytest.raises(Unauthenticated):
        tokens.verify(text)


def test_a_removed_identity_is_turned_away(door: Door) -> None:
    header = door.enter("bob", "viewer")
    assert door.gatekeeper.authenticate(header).name == "bob"
    door.principals.forget("bob")
    door.clock.advance(1.0)
    with pytest.raises(Unauthenticated, match="no longer known"):
        door.gatekeeper.authenticate(header)


def test_a_full_memory_of_verified_tokens_changes_no_answer(keys: Path, clock: FakeClock) -> None:
    tokens = Tokens(keys, clock, max_cached=8)
    first = tokens.issue(ANN, ttl_s=10)
    tokens.verify(first)
    for _ in range(30):
        assert tokens.verify(tokens.issue(ANN)) == "ann"
    clock.advance(11)
    with pytest.raises(Unauthenticated):
        tokens.verify(first)
