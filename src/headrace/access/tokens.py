"""Bearer tokens: EdDSA-signed JWTs that live minutes (RFC 7519, RFC 8037, advice of RFC 8725).

The form is fixed, so it is not negotiated: a token's first part must be, byte for byte, what we write for
one of our keys. No header field is read, and whatever names another algorithm, key or type is refused.
"""

from __future__ import annotations

import math
import re
import threading
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, TypedDict, Unpack

import msgspec

from headrace.access.keys import Keys, KeySet
from headrace.access.memory import Memory
from headrace.access.revocations import Revocations
from headrace.core.errors import InvalidInput, Unauthenticated
from headrace.core.identity import Principal, Proof, Session
from headrace.core.ids import new_id
from headrace.core.ports import Clock, Epoch

IsSigned = Callable[[bytes, bytes], bool]
AUDIENCE = "headrace"
MAX_TTL_S = 900
MAX_SKEW_S = 30
"""How far ahead the clock of whoever issued a token may be. A token's end is never stretched."""
MAX_TOKEN_CHARS = 8192
_ISSUER = "headrace"
_STANDARD = bytes.maketrans(b"-_", b"+/")
_SIGNATURE = re.compile(r"[A-Za-z0-9_-]{85}[AQgw]").fullmatch
"""The one spelling of 64 bytes: of its last character, four bits say nothing and are 0."""
_AGAIN = "Get a new one: headrace access token --as NAME."


class _Claims(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a token says; times in epoch seconds. A list of audiences is not of this form."""

    iss: str
    sub: str
    aud: str
    iat: float
    nbf: int
    exp: int
    jti: str
    wsp: str
    run: str | None = None
    tools: tuple[str, ...] | None = None
    proved: int | None = None
    proof: Proof | None = None
    fam: str | None = None
    gen: int = 0


_decoder = msgspec.json.Decoder(_Claims)


class Verified(NamedTuple):
    """What a valid token says.

    Attributes:
        expires_s: when it ends, in epoch seconds.
    """

    name: str
    workspace: str
    session: Session
    expires_s: int


class Issued(NamedTuple):
    """A new token; ``id`` is what it is revoked by."""

    text: str
    id: str
    expires_at: datetime


class Bound(TypedDict, total=False):
    """What a token is bound to beside its principal.

    Attributes:
        ttl_s: how long it lives, in seconds; 900 at most.
        run: the run that it is bound to; an agent's always is.
        tools: the only tools that it may call; an agent's names them, if only ``()``.
        proved_until: until when a second factor counts as fresh, and
        proof: which kind it was.
        family: the sign-in or secret that it comes of, and ends with.
    """

    ttl_s: int
    audience: str
    run: str | None
    tools: tuple[str, ...] | None
    proved_until: datetime | None
    proof: Proof | None
    family: str | None


class Tokens:
    """Issues and verifies tokens with the keys of this home.

    Args:
        max_cached: how many good signatures are remembered, those of its own tokens from the start, so that
            a repeat costs no signature check.
            Whether the token has been ended is asked again whenever anybody's rights have changed.

    Example::

        tokens = Tokens(keys, revocations, store.epoch, clock)
        tokens.verify(tokens.issue(principal)).name
    """

    def __init__(
        self, keys: Keys, revocations: Revocations, epoch: Epoch, clock: Clock, *, max_cached: int = 10_000
    ) -> None:
        self._keys = keys
        self._revocations = revocations
        self._clock = clock
        self._max_cached = max_cached
        self._lock = threading.Lock()
        self._signed: dict[str, _Claims] = {}
        self._verifying: tuple[KeySet, dict[str, IsSigned]] | None = None
        self._standing = Memory(
            self._stands, epoch, clock, max_kept=max_cached, edition=self._edition, levels=1
        )

    def issue(self, principal: Principal, **bound: Unpack[Bound]) -> str:
        """A token that says who ``principal`` is; roles are looked up when it is used.

        Raises:
            InvalidInput: ``ttl_s`` is not between 1 and 900, or an agent's token is bound to nothing.
        """
        return self.mint(principal, **bound).text

    def mint(self, principal: Principal, **bound: Unpack[Bound]) -> Issued:
        """As :meth:`issue`, with what else there is to say about the token."""
        ttl_s, run, tools = bound.get("ttl_s", MAX_TTL_S), bound.get("run"), bound.get("tools")
        proved_until = bound.get("proved_until")
        if not 1 <= ttl_s <= MAX_TTL_S:
            raise InvalidInput(
                f"A token cannot live {ttl_s} s. Expected 1 to {MAX_TTL_S} s; ask for a new one when it ends."
            )
        if principal.kind == "agent" and (not run or tools is None):
            raise InvalidInput(
                f"{principal.name!r} is an agent: its token is bound to a run and to tools. "
                f"Name both: headrace access token --as {principal.name} --run ID --tool search."
            )
        now = self._clock.now()
        now_s = int(now.timestamp())
        claims = _Claims(
            iss=_ISSUER,
            sub=principal.name,
            aud=bound.get("audience", AUDIENCE),
            iat=now.timestamp(),
            nbf=now_s,
            exp=now_s + ttl_s,
            jti=new_id(now),
            wsp=principal.workspace,
            run=run,
            tools=tools,
            proved=None if proved_until is None else int(proved_until.timestamp()),
            proof=bound.get("proof"),
            fam=bound.get("family"),
            gen=self._revocations.generation(principal.name),
        )
        keys = self._keys.now()
        body = f"{_header(keys.kid)}.{_encoded(msgspec.json.encode(claims))}"
        token = f"{body}.{_encoded(keys.private.sign(body.encode()))}"
        if len(token) > MAX_TOKEN_CHARS:
            raise InvalidInput(
                f"The token would have {len(token)} characters. Expected at most {MAX_TOKEN_CHARS}: "
                "bind it to fewer tools."
            )
        if claims.aud == AUDIENCE:
            self._remember(token, claims)
        return Issued(token, claims.jti, datetime.fromtimestamp(claims.exp, UTC))

    def verify(self, token: str) -> Verified:
        """Whom ``token`` speaks for. A repeat costs no signature check.

        Raises:
            Unauthenticated: the token is not ours, not for us, altered, too long, not valid now, or ended.
        """
        verified = self._standing.get(token)
        if self._clock.now().timestamp() >= verified.expires_s:
            raise Unauthenticated(f"The token has expired; tokens live {MAX_TTL_S} s at most. {_AGAIN}")
        return verified

    def generation(self, name: str) -> int:
        """How often all tokens of ``name`` have been ended; for :meth:`require_standing`."""
        return self._revocations.generation(name)

    def require_standing(self, name: str, session: Session | None, generation: int) -> None:
        """Let what was begun in ``session`` go on, also once its token has run out.

        Args:
            generation: of the tokens of ``name`` when it began.

        Raises:
            Unauthenticated: the token has been ended meanwhile, or what it came of.
        """
        named = {}
        if session is not None:
            named = {"token": session.token, "family": session.family, "run": session.run}
        if self._revocations.reaches(name, math.inf, generation, **named):
            raise Unauthenticated(f"The token has been revoked. {_AGAIN}")

    def _edition(self) -> object:
        """Equal as long as no token was ended, and no key that signs has come or gone."""
        return self._revocations.edition(), *self._keys.now().public

    def _stands(self, token: str) -> Verified:
        """Everything but expiry, which :meth:`verify` checks for known and new tokens alike."""
        claims = self._signed.get(token)
        if claims is None or token.partition(".")[0] not in self._verifiers():
            claims = self._check(token)
            self._remember(token, claims)
        if self._revocations.reaches(
            claims.sub, claims.iat, claims.gen, token=claims.jti, family=claims.fam, run=claims.run
        ):
            raise Unauthenticated(f"The token has been revoked. {_AGAIN}")
        proved = None if claims.proved is None else datetime.fromtimestamp(claims.proved, UTC)
        session = Session(
            token=claims.jti,
            family=claims.fam,
            run=claims.run,
            tools=claims.tools,
            proved_until=proved,
            proof=claims.proof,
            expires_s=claims.exp,
        )
        return Verified(claims.sub, claims.wsp, session, claims.exp)

    def _verifiers(self) -> dict[str, IsSigned]:
        """What the first part of a token may be, and whether the key that it stands for has signed."""
        keys = self._keys.now()
        if self._verifying is None or self._verifying[0] is not keys:
            made = {_header(kid): _is_signed_by(key.public_bytes_raw()) for kid, key in keys.public.items()}
            self._verifying = (keys, made)
        return self._verifying[1]

    def _check(self, token: str) -> _Claims:
        if len(token) > MAX_TOKEN_CHARS:
            raise Unauthenticated(
                f"The token has {len(token)} characters. Expected at most {MAX_TOKEN_CHARS}. {_AGAIN}"
            )
        claims = self._read(token)
        now_s = self._clock.now().timestamp()
        if claims.iss != _ISSUER or claims.aud != AUDIENCE:
            raise Unauthenticated(f"The token is by or for somebody else. {_AGAIN}")
        if max(claims.nbf, claims.iat) > now_s + MAX_SKEW_S:
            raise Unauthenticated(f"The token is not valid yet. Check this machine's clock. {_AGAIN}")
        if claims.exp - claims.iat > MAX_TTL_S:
            raise Unauthenticated(f"The token would live longer than {MAX_TTL_S} s. {_AGAIN}")
        return claims

    def _read(self, token: str) -> _Claims:
        """The claims behind a good signature."""
        header = token.partition(".")[0]
        is_signed = self._verifiers().get(header)
        if is_signed is None:
            raise Unauthenticated(f"No key that signs here (any more) has signed the token. {_AGAIN}")
        body, _, text = token.rpartition(".")
        try:
            message = body.encode()
            if _SIGNATURE(text) and is_signed(message, _decoded(text.encode())):
                return _decoder.decode(_decoded(message[len(header) + 1 :]))
        except ValueError as error:
            raise Unauthenticated(f"The token has been altered or cut off. {_AGAIN}") from error
        raise Unauthenticated(f"The token has been altered or cut off. {_AGAIN}")

    def _remember(self, token: str, claims: _Claims) -> None:
        with self._lock:
            if len(self._signed) >= self._max_cached:
                now_s = self._clock.now().timestamp()
                live = {text: known for text, known in self._signed.items() if known.exp > now_s}
                self._signed = live if len(live) < self._max_cached else {}
            self._signed[token] = claims


@lru_cache(maxsize=64)
def _header(kid: str) -> str:
    return _encoded(b'{"alg":"EdDSA","kid":"%s","typ":"JWT"}' % kid.encode())


def _is_signed_by(public: bytes) -> IsSigned:
    """Whether a message has a signature of this key.

    libsodium's check of a signature takes half as long as OpenSSL's, and refuses more that is not in the one
    canonical form (``benchmarks/tokens.py``).
    """
    from nacl.exceptions import CryptoError
    from nacl.signing import VerifyKey

    key = VerifyKey(public)

    def is_signed(message: bytes, signature: bytes) -> bool:
        try:
            key.verify(message, signature)
        except CryptoError:
            return False
        return True

    return is_signed


def _decoded(text: bytes) -> bytes:
    return a2b_base64(text.translate(_STANDARD) + b"==")


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
