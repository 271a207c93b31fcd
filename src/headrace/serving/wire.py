"""HTTP as the serving protocols share it: requests with a bound, answers, and one table of statuses."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Protocol

from headrace.core.errors import (
    Conflict,
    Denied,
    HeadraceError,
    InternalError,
    InvalidInput,
    NotFound,
    Unauthenticated,
    Unavailable,
    UserError,
)
from headrace.core.identity import Principal
from headrace.core.text import printable
from headrace.serving.caller import Caller, Gone, caller_of
from headrace.serving.telling import told

_log = logging.getLogger(__name__)
MAX_BODY_BYTES = 8 << 20
INLINE_BYTES = 64 << 10
BRIEF_S = 0.2
"""A body may take longer than this to come, and whoever sends it may have been shut out meanwhile."""
JSON = b"application/json"
_COMPRESSED_FROM_BYTES = 1024
_WINDOW_BITS = {"gzip": 31, "deflate": 15}  # what zlib calls the two formats; HTTP's deflate is zlib's

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
HeaderList = tuple[tuple[bytes, bytes], ...]

STATUS: tuple[tuple[type[HeadraceError], int], ...] = (
    (InvalidInput, 400),
    (Unauthenticated, 401),
    (Denied, 403),
    (NotFound, 404),
    (Conflict, 409),
    (UserError, 400),
    (Unavailable, 503),
    (InternalError, 500),
)
"""First match wins."""
_EXTRA: dict[int, HeaderList] = {
    401: ((b"www-authenticate", b"Bearer"),),
    413: ((b"connection", b"close"),),
    503: ((b"retry-after", b"1"),),
}


class Refused(Exception):
    """A request that HTTP itself has a status for."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class Answer(NamedTuple):
    """What is sent back."""

    status: int
    body: bytes
    media_type: bytes = JSON
    headers: HeaderList = ()


class Pieces(NamedTuple):
    """An answer that is sent as it comes; its ``source`` is closed at its end, and when the caller has gone.

    ``close`` is called then as well: what a source does at its end it does not do where it has not begun.
    """

    source: AsyncGenerator[bytes, None]
    media_type: bytes
    headers: HeaderList = ()
    close: Callable[[], Awaitable[None]] | None = None

    async def aclose(self) -> None:
        """End it, wherever it is."""
        await self.source.aclose()
        if self.close is not None:
            await self.close()


class Headers(NamedTuple):
    """What a request's headers say; ``header_length``: how much of the body is JSON when tensors follow."""

    authorization: str | None
    length: str
    encoding: str
    accepted: str
    media_type: str
    header_length: str | None


class Adapter(Protocol):
    """One protocol on HTTP."""

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer | Pieces:
        """Answer one request; whatever it raises is answered by :meth:`error`."""

    def error(self, status: int, message: str) -> bytes:
        """The protocol's own form of an error."""


def broke(what: str) -> str:
    """Log the exception that is being handled, and return what may be said of it."""
    _log.exception("%s failed", what)
    return "Headrace failed to answer; its log says why. Please report it."


async def serve(adapter: Adapter, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one ASGI request by ``adapter``; every error has its form."""
    if scope["type"] != "http":
        raise RuntimeError(f"Predictions are served by HTTP only, not {scope['type']}.")
    headers = read_headers(scope)
    try:
        answer = await adapter.answer(scope, headers, receive)
    except Gone:
        return
    except Refused as refused:
        answer = Answer(refused.status, adapter.error(refused.status, str(refused)), JSON, refused.headers)
    except HeadraceError as error:
        status = status_of(type(error))
        answer = Answer(status, adapter.error(status, told(error)))
    except Exception:  # noqa: BLE001
        # Boundary: whatever broke is ours, and its details are for our log only.
        answer = Answer(500, adapter.error(500, broke(f"{scope['method']} {printable(scope['path'])}")))
    if isinstance(answer, Pieces):
        with suppress(Gone):
            await _send_pieces(answer, scope, receive, send)
        return
    body, sent = answer.body, [(b"content-type", answer.media_type), *answer.headers]
    if len(body) >= _COMPRESSED_FROM_BYTES and (encoding := _chosen(headers.accepted)):
        body = await asyncio.to_thread(_compressed, body, encoding)
        sent += [(b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding")]
    sent.append((b"content-length", b"%d" % len(body)))
    if answer.status != 200:
        sent += _EXTRA.get(answer.status, ())
    await send({"type": "http.response.start", "status": answer.status, "headers": sent})
    await send({"type": "http.response.body", "body": body})


async def _send_pieces(answer: Pieces, scope: Scope, receive: Receive, send: Send) -> None:
    """Send until the source ends or the caller goes, whichever is first."""
    headers = [(b"content-type", answer.media_type), (b"cache-control", b"no-cache"), *answer.headers]
    try:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        with caller_of(scope) or _watched(receive):
            async for piece in answer.source:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except Gone:
        raise
    except Exception:  # noqa: BLE001
        # Boundary: the status has been sent. A connection that ends without its last piece says so.
        _log.exception("An answer in pieces broke off")
        return
    finally:
        await answer.aclose()
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def _watched(receive: Receive) -> Iterator[None]:
    """A caller of whom the server says that they have gone where it is asked for more of the request."""
    caller = Caller(lambda: None)
    going = asyncio.ensure_future(_gone(receive))
    going.add_done_callback(lambda task: None if task.cancelled() else caller.go())
    try:
        with caller:
            yield
    finally:
        going.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def status_of(kind: type[HeadraceError]) -> int:
    """The status of an error.

    >>> status_of(NotFound)
    404
    """
    return next(code for known, code in STATUS if issubclass(kind, known))


def read_headers(scope: Scope) -> Headers:
    """Pick the few that matter in one pass; ASGI gives names in lower case."""
    authorization: str | None = None
    header_length: str | None = None
    length = encoding = accepted = media_type = ""
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value.decode("latin-1")
        elif name == b"content-length":
            length = value.decode("latin-1")
        elif name == b"content-type":
            media_type = value.decode("latin-1").strip()
        elif name == b"content-encoding":
            encoding = value.decode("latin-1").strip().lower()
        elif name == b"accept-encoding":
            accepted = value.decode("latin-1").lower()
        elif name == b"inference-header-content-length":
            header_length = value.decode("latin-1")
    return Headers(authorization, length, encoding, accepted, media_type, header_length)


async def read_body_from(
    me: Principal, again: Callable[[], Principal], headers: Headers, receive: Receive, max_bytes: int
) -> tuple[Principal, bytes]:
    """As :func:`read_body`, with who sent it: where it took long, it is found out again, for a token may have
    been revoked meanwhile.

    Args:
        again: finds out who asks; what it raises is passed on.
    """
    now_s = asyncio.get_running_loop().time
    since_s = now_s()
    body = await read_body(headers, receive, max_bytes)
    return (again() if now_s() - since_s > BRIEF_S else me), body


async def read_body(headers: Headers, receive: Receive, max_bytes: int) -> bytes:
    """The body, uncompressed; never more than ``max_bytes`` of it are in memory.

    Raises:
        Refused: it is longer than that, compressed or not, or compressed in another way than gzip or deflate.
        InvalidInput: it does not uncompress.
    """
    encoding = headers.encoding
    if encoding not in ("", "identity", *_WINDOW_BITS):
        raise Refused(
            415,
            f"The body is compressed by {printable(encoding[:40])!r}. Expected gzip, deflate or none.",
            (b"accept-encoding", b"gzip, deflate"),
        )
    if headers.length.isdecimal() and int(headers.length) > max_bytes:
        raise too_long(max_bytes)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise too_long(max_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            break
    body = b"".join(parts) if len(parts) > 1 else parts[0]
    if encoding in _WINDOW_BITS:
        return await asyncio.to_thread(uncompressed, body, encoding, max_bytes)
    return body


def uncompressed(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo ``gzip`` or ``deflate``; what would become longer than ``max_bytes`` is given up there.

    Raises:
        Refused: it becomes longer.
        InvalidInput: it is not so compressed, or something follows it.
    """
    stream = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        plain = stream.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidInput(f"The body is not compressed by {encoding}: {error}.") from error
    if len(plain) > max_bytes:
        raise too_long(max_bytes)
    if not stream.eof or stream.unused_data:
        raise InvalidInput(
            f"The body is cut short, or goes on after its end. Expected one {encoding} stream."
        )
    return plain


def only(scope: Scope, method: str) -> None:
    """Refuse every other method."""
    if scope["method"] != method:
        raise Refused(
            405,
            f"{scope['path'][:200]!r} does not answer {scope['method']}. Expected {method}.",
            (b"allow", method.encode()),
        )


def too_long(max_bytes: int) -> Refused:
    """The refusal of a body beyond the bound."""
    return Refused(413, f"The body is longer than {max_bytes} bytes. Send the rows in several requests.")


def _chosen(accepted: str) -> str | None:
    """The compression that a client accepts, if any of ours; weights but zero do not count."""
    offered = {}
    for item in accepted.split(","):
        name, _, weight = item.strip().partition(";")
        offered[name.strip()] = weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return next((name for name in _WINDOW_BITS if offered.get(name)), None)


def _compressed(body: bytes, encoding: str) -> bytes:
    stream = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS[encoding])
    return stream.compress(body) + stream.flush()
