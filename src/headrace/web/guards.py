"""What every answer carries and no request may exceed: security headers, and a limit for bodies."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException

from headrace.web.identity import Asgi, Message, Receive, Scope, Send, header
from headrace.web.problems import problem

MAX_BODY_BYTES = 8 << 20
NONE_LARGER: Mapping[str, int] = {}
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_ALWAYS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",  # none at all would make browsers hide the origin of our own forms
    b"cross-origin-resource-policy": b"same-origin",
}
_PAGES = {
    b"content-security-policy": CONTENT_POLICY.encode(),
    b"x-frame-options": b"DENY",
    b"cross-origin-opener-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
}
SECURE_HEADERS = tuple((_ALWAYS | _PAGES | {b"cache-control": b"no-store"}).items())
"""What :class:`SecureHeaders` adds."""


class SecureHeaders:
    """ASGI wrapper: adds what tells browsers to trust nothing but us. What a route sets itself stands."""

    def __init__(self, inner: Asgi) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the headers added."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                added = [(name, value) for name, value in SECURE_HEADERS if name not in present]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._inner(scope, receive, guarded)


class BodyLimit:
    """ASGI wrapper: a body longer than ``max_bytes`` is refused with 413, also one that hides its length."""

    def __init__(
        self, inner: Asgi, max_bytes: int = MAX_BODY_BYTES, larger: Mapping[str, int] = NONE_LARGER
    ) -> None:
        self._inner = inner
        self._max_bytes = max_bytes
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless the body is too long."""
        max_bytes = self._larger.get(scope["path"], self._max_bytes)
        detail = f"The body is longer than {max_bytes} bytes. Send it in several requests."
        declared = header(scope, b"content-length") or "0"
        if declared.isdigit() and int(declared) > max_bytes:
            refusal = problem(413, detail, instance=scope["path"], headers={"connection": "close"})
            await refusal(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > max_bytes:
                raise HTTPException(413, detail, {"connection": "close"})
            return message

        await self._inner(scope, counted, send)
