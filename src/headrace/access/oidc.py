"""Signing in at an OpenID provider: the authorization code flow with PKCE, state and nonce."""

from __future__ import annotations

import hmac
import secrets
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.core.errors import HeadraceError, InvalidInput, Unauthenticated, Unavailable
from headrace.core.ports import Clock
from headrace.core.settings import ProviderSettings, is_safe_address

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 5.0
LEEWAY_S = 60
_KEPT_S = 3_600.0
_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
"""Signatures by a key pair; with a shared secret, or none, anybody who knows us could sign."""
_AGAIN = "Start over at /signin."


class Attempt(NamedTuple):
    """A sign-in under way at the provider; ``state`` names it, the rest is known to us alone."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str


class Person(NamedTuple):
    """Somebody as the provider knows them: ``subject`` stays the same, an e-mail address may not."""

    issuer: str
    subject: str


class _Known(NamedTuple):
    """The provider's own description and keys, and until when they are believed."""

    about: dict[str, Any]
    keys: dict[str, Any]
    until_s: float


class Provider:
    """The OpenID provider that the settings name. Nothing is asked of it before somebody signs in.

    Args:
        transport: how it is reached; for tests.

    Example::

        address, attempt = provider.begin("https://headrace.example/signin/oidc/callback")
        provider.finish(attempt, state, code)  # after the browser has come back with both
    """

    def __init__(
        self, settings: ProviderSettings, clock: Clock, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._transport = transport
        self._lock = threading.Lock()
        self._known: _Known | None = None

    @property
    def issuer(self) -> str:
        """The provider's address."""
        return self._settings.issuer

    def begin(self, redirect_uri: str) -> tuple[str, Attempt]:
        """Where to send the browser, and what to keep until it comes back to ``redirect_uri``.

        Raises:
            Unavailable: the provider does not answer.
            InvalidInput: the extra ``oidc`` is not installed.
        """
        oauth2 = _library()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        attempt = Attempt(state, nonce, verifier, redirect_uri)
        client = oauth2.OAuth2Client(
            None, client_id=self._settings.client_id, scope="openid", code_challenge_method="S256"
        )
        address, _ = client.create_authorization_url(
            self._look().about["authorization_endpoint"],
            state=attempt.state,
            code_verifier=attempt.verifier,
            redirect_uri=redirect_uri,
            nonce=attempt.nonce,
        )
        return str(address), attempt

    def finish(self, attempt: Attempt, state: str, code: str, issuer: str = "") -> Person:
        """Who signed in, once the browser is back with ``state`` and ``code``.

        Args:
            issuer: the ``iss`` that some providers add to the address (RFC 9207).

        Raises:
            Unauthenticated: any of it is not what was begun, or the provider's word is not good.
            Unavailable: the provider does not answer.
        """
        if not hmac.compare_digest(state.encode(), attempt.state.encode()):
            raise Unauthenticated(f"The answer belongs to another sign-in. {_AGAIN}")
        if issuer and issuer != self.issuer:
            raise Unauthenticated(f"The answer came from another provider. {_AGAIN}")
        said = self._exchange(attempt, code)
        token, access = said.get("id_token"), said.get("access_token")
        if not isinstance(token, str):
            raise Unauthenticated(f"The provider sent no identity token. {_AGAIN}")
        claims = self._claims(token, attempt.nonce, access if isinstance(access, str) else None)
        return Person(self.issuer, claims["sub"])

    def _exchange(self, attempt: Attempt, code: str) -> dict[str, Any]:
        """What the provider gives for a code; it wants our secret, and the PKCE verifier."""
        from authlib.oauth2.rfc6749.parameters import prepare_token_request  # type: ignore[import-untyped]

        about, oauth2 = self._look().about, _library()
        body = prepare_token_request(
            "authorization_code",
            code=code,
            redirect_uri=attempt.redirect_uri,
            code_verifier=attempt.verifier,
        )
        auth = oauth2.ClientAuth(self._settings.client_id, self._settings.client_secret, self._method(about))
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        address, headers, body = auth.prepare("POST", about["token_endpoint"], headers, body)
        return self._ask("POST", str(address), content=str(body).encode(), headers=headers)

    def _method(self, about: dict[str, Any]) -> str:
        if not self._settings.client_secret:
            return "none"
        known = about.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return "client_secret_basic" if "client_secret_basic" in known else "client_secret_post"

    def _claims(self, token: str, nonce: str, access_token: str | None) -> dict[str, Any]:
        """The token's claims: signed by the provider, for us, for this attempt, and in time."""
        import jwt
        from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]
        from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
        from joserfc.errors import JoseError

        # The claims themselves are judged below, by our clock.
        unjudged = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, self._key(header), algorithms=_ALGORITHMS, options=unjudged)  # type: ignore[arg-type]
            judged = CodeIDToken(
                claims,
                header,
                options={
                    "iss": {"essential": True, "value": self.issuer},
                    "aud": {"essential": True, "value": self._settings.client_id},
                    "sub": {"essential": True, "allow_blank": False},
                },
                params={
                    "nonce": nonce, "client_id": self._settings.client_id, "access_token": access_token
                },
            )  # fmt: skip
            judged.validate(now=int(self._clock.now().timestamp()), leeway=LEEWAY_S)
        except (jwt.PyJWTError, JoseError, AuthlibBaseError, TypeError, ValueError) as error:
            raise Unauthenticated(
                f"The provider's identity token is not good here ({str(error)[:200]}). {_AGAIN}"
            ) from error
        if not isinstance(claims["sub"], str):
            raise Unauthenticated(f"The provider's identity token names nobody. {_AGAIN}")
        return claims

    def _key(self, header: dict[str, Any]) -> Any:
        """The provider's key that a token names; keys that it has made since are fetched, once."""
        found = _named_key(self._look().keys, header)
        if found is None:
            found = _named_key(self._look(again=True).keys, header)
        if found is None:
            raise Unauthenticated(f"The provider's identity token is signed by an unknown key. {_AGAIN}")
        return found

    def _look(self, *, again: bool = False) -> _Known:
        """What the provider says about itself, for an hour at most."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self._known is None or again or now_s >= self._known.until_s:
                about = self._ask("GET", f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
                if about.get("issuer") != self.issuer:
                    raise Unavailable(
                        f"The provider calls itself {str(about.get('issuer'))[:200]!r}, the settings "
                        f"{self.issuer!r}. Correct HEADRACE_OIDC_ISSUER: both have to be the same."
                    )
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                    if not is_safe_address(str(about.get(name))):
                        raise Unavailable(f"The provider's {name} is no https address. Ask whoever runs it.")
                self._known = _Known(about, self._ask("GET", about["jwks_uri"]), now_s + _KEPT_S)
            return self._known

    def _ask(self, method: str, address: str, **more: Any) -> dict[str, Any]:
        """One request. An answer that is no JSON object is the provider's fault, a refused code ours."""
        import httpx

        try:
            with httpx.Client(timeout=TIMEOUT_S, transport=self._transport) as client:
                response = client.request(method, address, **more)
            said = response.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unavailable(
                f"The provider {self.issuer} does not answer as expected ({type(error).__name__}). Try "
                "again, or sign in with a link or a token."
            ) from error
        refused: HeadraceError | None = None
        if method == "POST" and response.is_client_error:
            why = said.get("error") if isinstance(said, dict) else response.status_code
            refused = Unauthenticated(f"The provider refuses the sign-in ({str(why)[:100]}). {_AGAIN}")
        elif not response.is_success or not isinstance(said, dict):
            refused = Unavailable(f"The provider {self.issuer} answers {response.status_code}. Try again.")
        if refused is not None:
            raise refused
        return dict(said)


def _named_key(keys: dict[str, Any], header: dict[str, Any]) -> Any:
    import jwt

    try:
        usable = jwt.PyJWKSet.from_dict(keys).keys
    except (jwt.PyJWTError, TypeError, AttributeError, KeyError):
        return None
    kid = header.get("kid")
    found = [key for key in usable if kid is None or key.key_id == kid]
    return found[0] if len(found) == 1 else None


def _library() -> Any:
    try:
        from authlib import oauth2  # type: ignore[import-untyped]
    except ImportError as error:
        raise InvalidInput(
            "Signing in at a provider needs a library: pip install 'headrace[oidc]'."
        ) from error
    return oauth2
