"""Tokens that let a browser say something about one answer, and do nothing else (RFC 7519, RFC 8037)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from headrace.access.keys import Keys
from headrace.core.errors import InvalidInput, Unauthenticated
from headrace.core.ports import Clock

TTL_S, MAX_TTL_S = 3_600, 86_400
_AUDIENCE, _TYPE = "headrace-feedback", "feedback+jwt"
_MAX_CHARS = 2_048
_CLAIMS = ["aud", "sub", "exp", "iat", "prj", "row", "rel"]


class AnswerToken(NamedTuple):
    """What such a token stands for.

    Attributes:
        principal: who asked for it, and in whose name is stored what it brings.
        subject: row id of the answer; ``release_id``: who gave it.
    """

    project: str
    subject: str
    release_id: str
    principal: str
    ends_at: datetime


class AnswerTokens:
    """Makes and reads them. They are no bearer tokens: nothing else takes them.

    Example::

        tokens.read(tokens.make("support", row_id, release_id, "shop")).subject
    """

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def make(self, project: str, subject: str, release_id: str, principal: str, *, ttl_s: int = TTL_S) -> str:
        """A token for one answered row.

        Raises:
            InvalidInput: ``ttl_s`` is not between 1 and 86,400.
        """
        import jwt

        if not 1 <= ttl_s <= MAX_TTL_S:
            raise InvalidInput(f"A token for feedback cannot live {ttl_s} s. Expected 1 to {MAX_TTL_S} s.")
        now_s, keys = int(self._clock.now().timestamp()), self._keys.now()
        claims = {
            "aud": _AUDIENCE,
            "sub": principal,
            "iat": now_s,
            "exp": now_s + ttl_s,
            "prj": project,
            "row": subject,
            "rel": release_id,
        }
        return jwt.encode(claims, keys.private, "EdDSA", headers={"kid": keys.kid, "typ": _TYPE})

    def read(self, token: str) -> AnswerToken:
        """What it stands for.

        Raises:
            Unauthenticated: it is not ours, was altered, is of another kind, or has ended.
        """
        import jwt

        try:
            if len(token) > _MAX_CHARS:
                raise jwt.InvalidTokenError(f"it has {len(token)} characters")
            header: dict[str, Any] = jwt.get_unverified_header(token)
            key = self._keys.now().public.get(str(header.get("kid")))
            if key is None or header.get("typ") != _TYPE:
                raise jwt.InvalidTokenError("no key of ours has signed it as such")
            # Whether it has ended is judged by our clock below; a library reads the machine's.
            judged = {"require": _CLAIMS, "verify_exp": False, "verify_iat": False}
            said = jwt.decode(token, key, algorithms=["EdDSA"], audience=_AUDIENCE, options=judged)  # type: ignore[arg-type]
            project, subject, release_id, principal = (said[name] for name in ("prj", "row", "rel", "sub"))
            if not all(isinstance(name, str) for name in (project, subject, release_id, principal)):
                raise jwt.InvalidTokenError("it names nothing")
            ends_at = datetime.fromtimestamp(int(said["exp"]), UTC)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise Unauthenticated(f"This is no token for feedback ({error}). Load the page again.") from error
        if self._clock.now() >= ends_at:
            raise Unauthenticated("The token for feedback has ended. Load the page again.")
        return AnswerToken(project, subject, release_id, principal, ends_at)
