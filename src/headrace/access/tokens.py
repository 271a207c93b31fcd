"""Bearer tokens: EdDSA-signed JWTs that live minutes (RFC 7519, RFC 8037, advice of RFC 8725)."""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.access.keys import signing_key
from headrace.core.errors import InvalidInput, Unauthenticated
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.core.ports import Clock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

AUDIENCE = "headrace"
MAX_TTL_S = 900
MAX_TOKEN_CHARS = 8192
_ISSUER = "headrace"
_AGAIN = "Get a new one: headrace access token --as NAME."


class _Verified(NamedTuple):
    name: str
    expires_s: float


class Tokens:
    """Issues and verifies tokens with the key in ``keys``.

    Args:
        keys: folder of the signing key; the key is made on first use.
        max_cached: how many verified tokens are remembered, so that a repeat costs no signature check.

    Example::

        tokens = Tokens(home / "keys", clock)
        tokens.verify(tokens.issue(principal))  # the principal's name
    """

    def __init__(self, keys: Path, clock: Clock, *, max_cached: int = 10_000) -> None:
        self._keys = keys
        self._clock = clock
        self._max_cached = max_cached
        self._lock = threading.Lock()
        self._verified: dict[str, _Verified] = {}

    @cached_property
    def _key(self) -> Ed25519PrivateKey:
        return signing_key(self._keys)

    @cached_property
    def _public_key(self) -> Ed25519PublicKey:
        return self._key.public_key()

    def issue(self, principal: Principal, *, ttl_s: int = MAX_TTL_S, audience: str = AUDIENCE) -> str:
        """A token that says who ``principal`` is, for ``ttl_s`` seconds; roles are looked up when used.

        Raises:
            InvalidInput: ``ttl_s`` is not between 1 and 900.
        """
        import jwt

        if not 1 <= ttl_s <= MAX_TTL_S:
            raise InvalidInput(
                f"A token cannot live {ttl_s} s. Expected 1 to {MAX_TTL_S} s; ask for a new one when it ends."
            )
        now = self._clock.now()
        now_s = int(now.timestamp())
        claims = {
            "iss": _ISSUER,
            "sub": principal.name,
            "aud": audience,
            "iat": now_s,
            "nbf": now_s,
            "exp": now_s + ttl_s,
            "jti": new_id(now),
        }
        return jwt.encode(claims, self._key, algorithm="EdDSA")

    def verify(self, token: str) -> str:
        """The name of the principal that ``token`` was issued to. A repeat costs no signature check.

        Raises:
            Unauthenticated: the token is not ours, not for us, altered, too long, or not valid now.
        """
        now_s = self._clock.now().timestamp()
        known = self._verified.get(token)
        if known is None:
            known = self._check(token, now_s)
            self._remember(token, known, now_s)
        if now_s >= known.expires_s:
            raise Unauthenticated(f"The token has expired; tokens live {MAX_TTL_S} s at most. {_AGAIN}")
        return known.name

    def _check(self, token: str, now_s: float) -> _Verified:
        """Everything but expiry, which :meth:`verify` checks for known and new tokens alike."""
        import jwt

        if len(token) > MAX_TOKEN_CHARS:
            raise Unauthenticated(
                f"The token has {len(token)} characters. Expected at most {MAX_TOKEN_CHARS}. {_AGAIN}"
            )
        try:
            claims = jwt.decode(
                token,
                self._public_key,
                algorithms=["EdDSA"],
                audience=AUDIENCE,
                issuer=_ISSUER,
                # The times are held against our own clock below.
                options={
                    "strict_aud": True,
                    "require": ["iss", "sub", "aud", "iat", "nbf", "exp", "jti"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"The token is not valid here ({error}). {_AGAIN}") from error
        not_before_s, issued_s, expires_s = (_number(claims, name) for name in ("nbf", "iat", "exp"))
        if not_before_s > now_s or issued_s > now_s:
            raise Unauthenticated(f"The token is not valid yet. Check this machine's clock. {_AGAIN}")
        if expires_s - issued_s > MAX_TTL_S:
            raise Unauthenticated(f"The token would live longer than {MAX_TTL_S} s. {_AGAIN}")
        return _Verified(claims["sub"], expires_s)

    def _remember(self, token: str, verified: _Verified, now_s: float) -> None:
        with self._lock:
            if len(self._verified) >= self._max_cached:
                live = {text: known for text, known in self._verified.items() if known.expires_s > now_s}
                self._verified = live if len(live) < self._max_cached else {}
            self._verified[token] = verified


def _number(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unauthenticated(f"The token's {name!r} is no number. {_AGAIN}")
    return float(value)
