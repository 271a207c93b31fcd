"""What OpenID providers say about themselves, and their keys: fetched when needed, kept for an hour."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from headrace.core.errors import InvalidInput, NotFound, Unavailable
from headrace.core.ports import Clock
from headrace.core.settings import is_safe_address

if TYPE_CHECKING:
    import httpx
    from jwt import PyJWK

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""Signatures by a key pair; with a shared secret, or none, anybody who knows us could sign."""
FRESH_S = 3_600.0
AGAIN_S = 60.0
"""How soon the keys are fetched again for the sake of a key that is not among them."""
TIMEOUT_S = 5.0
_MAX_ANSWER_BYTES = 256 << 10
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_WELL_KNOWN = "/.well-known/openid-configuration"


class _Fetched(NamedTuple):
    about: dict[str, Any]
    keys: list[PyJWK]
    at_s: float


class Providers:
    """Documents and keys by issuer, as the issuers publish them (OpenID Connect Discovery 1.0).

    Args:
        transport: how they are reached; for tests.
    """

    def __init__(self, clock: Clock, transport: httpx.BaseTransport | None = None) -> None:
        self._clock = clock
        self._transport = transport
        self._lock = threading.Lock()
        self._known: dict[str, _Fetched] = {}

    def endpoint(self, issuer: str, name: str) -> str:
        """One of the addresses that ``issuer`` names, such as its ``token_endpoint``.

        Raises:
            Unavailable: it does not answer, or not as a provider does.
        """
        with self._lock:
            return _address(self._fresh(issuer).about, issuer, name)

    def said(self, issuer: str, name: str) -> tuple[str, ...]:
        """A list that ``issuer`` publishes about itself; empty if it does not."""
        with self._lock:
            found = self._fresh(issuer).about.get(name)
        return tuple(map(str, found)) if isinstance(found, list) else ()

    def find(self, issuer: str, kid: str | None) -> PyJWK:
        """The key of ``issuer`` that is called ``kid``; its only one if ``kid`` is None.

        Raises:
            NotFound: it has no such key.
            Unavailable: it does not answer, or not as a provider does.
        """
        with self._lock:  # of many requests at once, one fetches
            known = self._fresh(issuer)
            key = _named(known.keys, kid)
            if key is None and self._clock.monotonic_s() - known.at_s >= AGAIN_S:
                key = _named(self._fetch(issuer).keys, kid)
        if key is None:
            raise NotFound(f"{issuer} has no key {str(kid)[:80]!r} for {', '.join(ALGORITHMS)}.")
        return key

    def _fresh(self, issuer: str) -> _Fetched:
        known = self._known.get(issuer)
        if known is None or self._clock.monotonic_s() - known.at_s >= FRESH_S:
            known = self._fetch(issuer)
        return known

    def _fetch(self, issuer: str) -> _Fetched:
        import jwt

        document = self._get(check_address(issuer.rstrip("/") + _WELL_KNOWN))
        if document.get("issuer") != issuer:
            raise Unavailable(
                f"{issuer} says that it is {str(document.get('issuer'))[:200]!r}. "
                "Name it so, exactly, slashes included: where it is trusted, or in HEADRACE_OIDC_ISSUER."
            )
        address = _address(document, issuer, "jwks_uri")
        if _is_loopback(address) and not _is_loopback(issuer):
            raise Unavailable(f"{issuer} keeps its keys at {address[:200]!r}, which is this machine.")
        try:
            keys = jwt.PyJWKSet.from_dict(self._get(address)).keys
        except (jwt.PyJWTError, TypeError, AttributeError, KeyError) as error:
            raise Unavailable(f"{issuer} has no keys that can be used ({error}).") from error
        usable = [key for key in keys if key.algorithm_name in ALGORITHMS]
        fetched = self._known[issuer] = _Fetched(document, usable, self._clock.monotonic_s())
        return fetched

    def _get(self, url: str) -> dict[str, Any]:
        """A JSON document; redirects are not followed, and it is not read beyond 256 KiB."""
        import httpx

        data = b""
        try:
            with (
                httpx.Client(
                    timeout=TIMEOUT_S, trust_env=not _is_loopback(url), transport=self._transport
                ) as http,
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
            raise Unavailable(
                f"{url} does not answer as expected ({type(error).__name__}: {error}). Try again."
            ) from error


def check_address(url: str) -> str:
    """``url``, if secrets and keys may come from there: https, or http on this machine.

    Raises:
        InvalidInput: they may not.
    """
    if not is_safe_address(url):
        raise InvalidInput(
            f"{url[:200]!r} is no address of a provider. Expected https://HOST/... (http only for 127.0.0.1)."
        )
    return url


def _address(about: dict[str, Any], issuer: str, name: str) -> str:
    address = str(about.get(name))
    if not is_safe_address(address):
        raise Unavailable(f"The {name} is no https address. Ask whoever runs {issuer}.")
    return address


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


def _named(keys: list[PyJWK], kid: str | None) -> PyJWK | None:
    found = [key for key in keys if kid is None or key.key_id == kid]
    return found[0] if len(found) == 1 else None
