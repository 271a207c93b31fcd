"""Signing in at an OpenID provider: the authorization code flow with PKCE, state and nonce."""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.access.providers import ALGORITHMS, TIMEOUT_S, Providers
from headrace.core.errors import HeadraceError, InvalidInput, NotFound, Unauthenticated, Unavailable
from headrace.core.ports import Clock
from headrace.core.settings import ProviderSettings

if TYPE_CHECKING:
    import httpx

LEEWAY_S = 60
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
        self._providers = Providers(clock, transport)

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
        self._endpoint("token_endpoint")  # better refused now than when the browser is back
        client = oauth2.OAuth2Client(
            None, client_id=self._settings.client_id, scope="openid", code_challenge_method="S256"
        )
        address, _ = client.create_authorization_url(
            self._endpoint("authorization_endpoint"),
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

        oauth2 = _library()
        body = prepare_token_request(
            "authorization_code",
            code=code,
            redirect_uri=attempt.redirect_uri,
            code_verifier=attempt.verifier,
        )
        auth = oauth2.ClientAuth(self._settings.client_id, self._settings.client_secret, self._method())
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        address, headers, body = auth.prepare("POST", self._endpoint("token_endpoint"), headers, body)
        return self._ask(str(address), content=str(body).encode(), headers=headers)

    def _endpoint(self, name: str) -> str:
        return self._providers.endpoint(self.issuer, name)

    def _method(self) -> str:
        if not self._settings.client_secret:
            return "none"
        known = self._providers.said(self.issuer, "token_endpoint_auth_methods_supported")
        known = known or ("client_secret_basic",)
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
            claims = jwt.decode(token, self._key(header), algorithms=list(ALGORITHMS), options=unjudged)  # type: ignore[arg-type]
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
        """The provider's key that a token names."""
        try:
            return self._providers.find(self.issuer, header.get("kid"))
        except NotFound as error:
            raise Unauthenticated(
                f"The provider's identity token is signed by an unknown key. {_AGAIN}"
            ) from error

    def _ask(self, address: str, **more: Any) -> dict[str, Any]:
        """Ask for tokens. An answer that is no JSON object is the provider's fault, a refused code ours."""
        import httpx

        try:
            with httpx.Client(timeout=TIMEOUT_S, transport=self._transport) as client:
                response = client.post(address, **more)
            said = response.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unavailable(
                f"The provider {self.issuer} does not answer as expected ({type(error).__name__}). Try "
                "again, or sign in with a link or a token."
            ) from error
        refused: HeadraceError | None = None
        if response.is_client_error:
            why = said.get("error") if isinstance(said, dict) else response.status_code
            refused = Unauthenticated(f"The provider refuses the sign-in ({str(why)[:100]}). {_AGAIN}")
        elif not response.is_success or not isinstance(said, dict):
            refused = Unavailable(f"The provider {self.issuer} answers {response.status_code}. Try again.")
        if refused is not None:
            raise refused
        return dict(said)


def _library() -> Any:
    try:
        from authlib import oauth2  # type: ignore[import-untyped]
    except ImportError as error:
        raise InvalidInput(
            "Signing in at a provider needs a library: pip install 'headrace[oidc]'."
        ) from error
    return oauth2
