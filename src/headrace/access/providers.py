"""The public keys of outside OpenID providers: fetched when needed, kept for an hour."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from headrace.core.errors import InvalidInput, NotFound, Unavailable
from headrace.core.ports import Clock

if TYPE_CHECKING:
    from jwt import PyJWK

ALGORITHMS = ("RS256", "ES256", "EdDSA")
FRESH_S = 3_600.0
AGAIN_S = 60.0
"""How soon the keys are fetched again for the sake of a key that is not among them."""
_TIMEOUT_S = 5.0
_MAX_ANSWER_BYTES = 256 << 10
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_WELL_KNOWN = "/.well-known/openid-configuration"


class _Fetched(NamedTuple):
    keys: list[PyJWK]
    at_s: float


class ProviderKeys:
    """Keys by issuer, as the issuers' own documents name them (OpenID Connect Discovery 1.0)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Fetched] = {}

    def find(self, issuer: str, kid: str | None) -> PyJWK:
        """The key of ``issuer`` that is called ``kid``; its only one if ``kid`` is None.

        Raises:
            NotFound: it has no such key.
            Unavailable: it does not answer, or not as a provider does.
        """
        with self._lock:  # of many requests at once, one fetches
            known, now_s = self._known.get(issuer), self._clock.monotonic_s()
            if known is None or now_s - known.at_s >= FRESH_S:
                known = self._fetch(issuer)
            key = _named(known.keys, kid)
            if key is None and now_s - known.at_s >= AGAIN_S:
                key = _named(self._fetch(issuer).keys, kid)
        if key is None:
            raise NotFound(f"{issuer} has no key {str(kid)[:80]!r} for {', '.join(ALGORITHMS)}.")
        return key

    def _fetch(self, issuer: str) -> _Fetched:
        import jwt

        document = _get(check_address(issuer.rstrip("/") + _WELL_KNOWN))
        if document.get("issuer") != issuer:
            raise Unavailable(
                f"{issuer} says that it is {str(document.get('issuer'))[:200]!r}. "
                "Trust it under that name, exactly, slashes included."
            )
        address = str(document.get("jwks_uri"))
        if _is_loopback(address) and not _is_loopback(issuer):
            raise Unavailable(f"{issuer} keeps its keys at {address[:200]!r}, which is this machine.")
        try:
            keys = jwt.PyJWKSet.from_dict(_get(check_address(address))).keys
        except (jwt.PyJWTError, InvalidInput) as error:
            raise Unavailable(f"{issuer} has no keys that can be used ({error}).") from error
        usable = [key for key in keys if key.algorithm_name in ALGORITHMS]
        fetched = self._known[issuer] = _Fetched(usable, self._clock.monotonic_s())
        return fetched


def check_address(url: str) -> str:
    """``url``, if secrets and keys may come from there: https, or http on this machine.

    Raises:
        InvalidInput: they may not.
    """
    try:
        parts = urlsplit(url)
        plain = parts.hostname is not None and not parts.username and not parts.query and not parts.fragment
    except ValueError:
        plain = False
    if not plain or not (parts.scheme == "https" or _is_loopback(url)):
        raise InvalidInput(
            f"{url[:200]!r} is no address of a provider. Expected https://HOST/... (http only for 127.0.0.1)."
        )
    return url


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


def _named(keys: list[PyJWK], kid: str | None) -> PyJWK | None:
    if kid is None:
        return keys[0] if len(keys) == 1 else None
    return next((key for key in keys if key.key_id == kid), None)


def _get(url: str) -> dict[str, Any]:
    """A JSON document; redirects are not followed, and it is not read beyond 256 KiB."""
    import httpx

    data = b""
    try:
        with (
            httpx.Client(timeout=_TIMEOUT_S, trust_env=not _is_loopback(url)) as http,
            http.stream("GET", url, headers={"accept": "application/json"}) as answer,
        ):
            for chunk in answer.iter_bytes():
                data += chunk
                if len(data) > _MAX_ANSWER_BYTES:
                    raise Unavailable(f"{url} answers more than {_MAX_ANSWER_BYTES} bytes.")
        if answer.status_code != 200:
            raise Unavailable(f"{url} answered {answer.status_code}. Expected a JSON document.")
        return msgspec.json.decode(data, type=dict[str, Any])
    except (httpx.HTTPError, msgspec.MsgspecError) as error:
        raise Unavailable(f"{url} cannot be read ({type(error).__name__}: {error}). Try again.") from error
