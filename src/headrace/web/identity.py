"""Who is asking: a bearer token, or the session cookie of a browser. Nothing else gets past."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from headrace.access.activity import SEEN
from headrace.access.networks import network_of
from headrace.app.composition import App
from headrace.core.errors import Denied, HeadraceError, NotFound, Unauthenticated
from headrace.core.identity import Principal
from headrace.serving.wire import BRIEF_S
from headrace.web.problems import problem_of
from headrace.web.sessions import MAX_AGE_S, Sessions, Signed

COOKIE = "headrace_session"
SAFE_METHODS = frozenset({"GET", "HEAD"})
_KEY = "headrace.principal"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Refuse = Callable[[Scope, HeadraceError], Response]


class SessionEnded(Unauthenticated):
    """Somebody was signed in whose identity is frozen, over or gone by now."""


class Identified:
    """ASGI wrapper: finds out who asks before anything of the request is read or routed.

    A request that changes something needs, when a cookie speaks for it, to come from our own pages.

    Args:
        open_paths: answered for anybody; a path ending in ``/`` stands for everything below it.
        cookie_writes: whether a cookie may speak for requests that change something.
        refuse: makes the answer for those who are not let in.
    """

    def __init__(
        self,
        inner: Asgi,
        app: App,
        sessions: Sessions,
        *,
        open_paths: tuple[str, ...] = (),
        cookie_writes: bool,
        refuse: Refuse | None = None,
    ) -> None:
        self._inner = inner
        self._app = app
        self._sessions = sessions
        self._open = open_paths
        self._cookie_writes = cookie_writes
        self._refuse = refuse or self._problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let an identified request through with its principal in the scope, or answer 401 or 403."""
        try:
            scope[_KEY] = await run_in_threadpool(self._who, scope)
        except HeadraceError as error:
            if self._is_open(scope["path"]) and isinstance(error, Unauthenticated):
                scope[_KEY] = None
            else:
                await self._refuse(scope, error)(scope, receive, send)
                return
        await self._inner(scope, self._looking_again(scope, receive), send)

    def _looking_again(self, scope: Scope, receive: Receive) -> Receive:
        """What gives the body, and finds out anew who asks where that has taken long."""
        since_s = self._app.clock.monotonic_s()

        async def next_part() -> Message:
            message = await receive()
            is_last = message["type"] == "http.request" and not message.get("more_body", False)
            if is_last and scope[_KEY] is not None and self._app.clock.monotonic_s() - since_s > BRIEF_S:
                try:
                    scope[_KEY] = await run_in_threadpool(self._who, scope)
                except HeadraceError as error:
                    scope[_KEY] = error  # raised where it is asked who this is
            return message

        return next_part

    def _who(self, scope: Scope) -> Principal:
        authorization = header(scope, b"authorization")
        signed = None if authorization else self._session(scope)
        if signed is None:
            return self._app.gatekeeper.authenticate(authorization, network_of(scope.get("client")))
        if scope["method"] not in SAFE_METHODS:
            if not self._cookie_writes:
                raise Unauthenticated(
                    "A browser session cannot change anything here. Send 'Authorization: Bearer TOKEN'; "
                    "headrace access token --as NAME prints a token."
                )
            require_same_origin(scope)
        try:
            principal = self._app.identities.resolve(signed.name)
        except (NotFound, Unauthenticated) as error:
            self._sessions.close_all(signed.name)
            raise SessionEnded(f"Your session has ended. {error}") from error
        if self._is_revoked(signed):
            self._sessions.close(cookie(scope))
            raise SessionEnded("Your session has been revoked. Sign in again.")
        session = replace(signed.session, network=network_of(scope.get("client")))
        here = replace(principal, session=session)
        self._app.access.activity.note(here, SEEN, here.name)
        return here

    def _is_revoked(self, signed: Signed) -> bool:
        """Whether the session was ended, or the token that it began with."""
        began_at, reaches = signed.session.began_at, self._app.access.revocations.reaches
        began_s = 0.0 if began_at is None else began_at.timestamp()
        return any(
            reaches(signed.name, began_s, signed.generation, **names)
            for names in ({"token": signed.session.token}, signed.origin)
        )

    def _session(self, scope: Scope) -> Signed | None:
        awake = header(scope, b"x-headrace-refresh") is None
        return self._sessions.find(cookie(scope), awake=awake)

    def _is_open(self, path: str) -> bool:
        return any(path == one or (one.endswith("/") and path.startswith(one)) for one in self._open)

    def _problem(self, scope: Scope, error: HeadraceError) -> Response:
        return problem_of(error, instance=scope["path"], now=self._app.clock.now())


def principal_of(scope: Scope) -> Principal:
    """Who asks, on a path that is not open."""
    principal = scope[_KEY]
    if isinstance(principal, HeadraceError):
        raise principal
    if not isinstance(principal, Principal):
        raise Unauthenticated("This address needs an identity. Sign in at /signin.")
    return principal


def find_principal(scope: Scope) -> Principal | None:
    """Who asks, if anybody that is known."""
    found = scope.get(_KEY)
    return found if isinstance(found, Principal) else None


def header(scope: Scope, name: bytes) -> str | None:
    """A request header by its lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


def cookie(scope: Scope) -> str | None:
    """The value of our session cookie."""
    try:
        found = SimpleCookie(header(scope, b"cookie") or "").get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value


def require_same_origin(scope: Scope) -> None:
    """Refuse a change that another site's page asks for.

    Browsers say where a request comes from, and pages cannot forge it: in ``Sec-Fetch-Site`` over HTTPS and
    on the loopback, else in ``Origin``.

    Raises:
        Denied: it comes from elsewhere, or does not say.
    """
    site, origin = header(scope, b"sec-fetch-site"), header(scope, b"origin")
    host = header(scope, b"host") or ""
    if site == "same-origin" or (site is None and origin and origin.partition("://")[2] == host):
        return
    if site is None and origin is None:
        raise Denied("The request does not say which page it comes from. Use a bearer token instead.")
    asked = "A page of another site" if origin is None else f"The page at {origin[:100]!r}"
    raise Denied(f"{asked} asked for this. Do it on Headrace's own pages.")


def set_session(response: Response, value: str, *, secure: bool) -> None:
    """Hand the browser its session."""
    response.set_cookie(
        COOKIE, value, max_age=int(MAX_AGE_S), path="/", httponly=True, samesite="strict", secure=secure
    )


def end_session(response: Response) -> None:
    """Tell the browser to forget its session."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
