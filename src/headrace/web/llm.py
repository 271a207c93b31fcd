"""One kind of call to a language model over HTTP, in the form of one API: identity, then the one handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterable
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple, Protocol

from headrace.access.networks import network_of
from headrace.access.privacy.redacting import without_secrets
from headrace.core.errors import HeadraceError, InvalidInput, Unauthenticated, Unavailable
from headrace.core.identity import Principal
from headrace.gateway.budgets import OverBudget
from headrace.gateway.llm.calls import Asked
from headrace.gateway.llm.chat import ChatRequest
from headrace.gateway.llm.drafting import DraftStream
from headrace.gateway.llm.guarding import Blocked
from headrace.gateway.llm.handler import LlmHandler, LlmStream, Replied
from headrace.gateway.llm.retrying import AGAIN
from headrace.gateway.llm.steps import Parent
from headrace.gateway.llm.upstream import UpstreamRefused
from headrace.serving.caller import caller_of
from headrace.serving.telling import told
from headrace.serving.trace_context import PARENT
from headrace.serving.wire import (
    INLINE_BYTES,
    JSON,
    Answer,
    HeaderList,
    Headers,
    Pieces,
    Receive,
    Scope,
    Send,
    broke,
    only,
    read_body_from,
    serve,
    status_of,
)
from headrace.web.parts import Parts

MAX_BODY_BYTES = 8 << 20
_NO_RETRY = (b"x-should-retry", b"false")
"""What official clients obey: a budget is not there again in a second."""
_EVENTS = b"text/event-stream; charset=utf-8"
_DONE = b"[DONE]"


class Said(Protocol):
    """One answer, as its caller's API gives it."""

    def whole(self, body: bytes, answer_id: str) -> bytes:
        """A whole answer of a provider."""

    def piece(self, data: bytes, answer_id: str) -> Iterable[bytes]:
        """The events that a chunk of an answer is."""

    def end(self) -> Iterable[bytes]:
        """The events after its last one."""

    def broken(self, status: int, message: str, code: str | None) -> bytes:
        """The event by which an answer breaks off."""


class Request(NamedTuple):
    """What a caller wants, and how they are answered."""

    asked: Asked
    said: Said


class Surface(Protocol):
    """One kind of call, as one API has it."""

    def read(self, body: bytes) -> Request:
        """Read a request. Raises InvalidInput: it is none."""

    def refused(self, status: int, body: bytes) -> bytes:
        """A provider's refusal, as the API says it."""

    def error(self, status: int, message: str, code: str | None = None) -> bytes:
        """As the API says errors."""


class LlmDoor:
    """ASGI application: identity, then one handler; everything said has the form of ``surface``."""

    def __init__(self, parts: Parts, handler: LlmHandler, surface: Surface) -> None:
        self._parts = parts
        self._handler = handler
        self._surface = surface

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        return serve(self, scope, receive, send)

    def error(self, status: int, message: str) -> bytes:
        """As the API says errors."""
        return self._surface.error(status, message)

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer | Pieces:
        """Answer one request; whatever it raises is answered by :meth:`error`."""
        who = partial(identified, self._parts, scope, headers)
        me = who()
        only(scope, "POST")
        me, body = await read_body_from(me, who, headers, receive, MAX_BODY_BYTES)
        # Nobody needs what a provider says to a caller who has gone, and all of it would be billed.
        with caller_of(scope) or nullcontext():
            return await self._answered(me, body)

    async def one(self, me: Principal, body: bytes) -> Answer:
        """Answer a request that came in another way than over HTTP; whatever goes wrong is an answer too."""
        try:
            answer = await self._answered(me, body)
            if isinstance(answer, Pieces):
                await answer.aclose()
                raise InvalidInput("The request asks for a stream. Leave 'stream' out.")
        except HeadraceError as error:
            status = status_of(type(error))
            return Answer(status, self.error(status, told(error)))
        except Exception:  # noqa: BLE001
            # Boundary, as for what comes over HTTP: one line of many must not stop the others.
            return Answer(500, self.error(500, broke("A line of a batch")))
        return answer

    async def _answered(self, me: Principal, body: bytes) -> Answer | Pieces:
        read = self._surface.read
        asked, said = read(body) if len(body) <= INLINE_BYTES else await asyncio.to_thread(read, body)
        return await self._ask(me, asked, said)

    async def _ask(self, me: Principal, asked: Asked, said: Said) -> Answer | Pieces:
        named = PARENT.get()
        parent = None if named is None else Parent(named.trace_id, named.span_id)
        try:
            if isinstance(asked, ChatRequest) and asked.stream:
                stream = await self._handler.stream(me, asked, parent)
                return Pieces(_events(stream, said), _EVENTS, _about(stream), stream.close)
            replied = await self._handler.answer(me, asked, parent)
        except Blocked as error:
            return Answer(400, self._surface.error(400, str(error), "blocked"))
        except OverBudget as error:
            return Answer(429, self._surface.error(429, str(error), "insufficient_quota"), JSON, (_NO_RETRY,))
        except UpstreamRefused as refused:
            status, body, wait = (
                refused.reply.status,
                refused.reply.body,
                refused.reply.headers.get("retry-after"),
            )
            return Answer(status, self._refusal(status, body), JSON, _waiting(status, wait))
        about = _about(replied)
        if replied.status != 200:
            refusal = self._refusal(replied.status, replied.body)
            return Answer(
                replied.status, refusal, JSON, (*about, *_waiting(replied.status, replied.retry_after))
            )
        try:
            return Answer(200, said.whole(replied.body, replied.answer_id), JSON, about)
        except InvalidInput as error:
            raise Unavailable(f"The model's answer cannot be given in this form. {error}") from error

    def _refusal(self, status: int, body: bytes) -> bytes:
        """A provider's own words, unless they may be about other calls than this one."""
        if status not in AGAIN:
            # Some repeat the key that they were given.
            said = without_secrets(body.decode(errors="surrogateescape"))
            return self._surface.refused(status, said.encode(errors="surrogateescape"))
        # Such as "limit 30000, used 29831": of all callers together.
        what = "failed on the call" if status >= 500 else "takes no more calls now"
        return self._surface.error(status, f"The model's provider {what} (status {status}). Ask again later.")


def identified(parts: Parts, scope: Scope, headers: Headers) -> Principal:
    """Who asks: by a bearer token, or by the same token in the header that Anthropic's clients use.

    Raises:
        Unauthenticated: nobody who is known.
        InvalidInput: two headers say who it is.
    """
    if [name for name, _ in scope["headers"]].count(b"authorization") > 1:
        raise InvalidInput("There are two Authorization headers. Expected one: nobody can say which holds.")
    shown = headers.authorization
    if shown is None:
        keys = (value for name, value in scope["headers"] if name == b"x-api-key")
        shown = next((f"Bearer {key.decode('latin-1')}" for key in keys), None)
    try:
        return parts.app.gatekeeper.authenticate(shown, network_of(scope.get("client")))
    except Unauthenticated:
        parts.gateway.permits.shadow.key((shown or "").removeprefix("Bearer ").strip())
        raise


async def _events(stream: LlmStream | DraftStream, said: Said) -> AsyncGenerator[bytes, None]:
    broken: Exception | None = None
    answer_id = stream.answer_id
    try:
        async for arrived in stream.events():
            pieces: list[bytes] = []
            for data in arrived:
                pieces += said.end() if data == _DONE else said.piece(data, answer_id)
            if pieces:
                yield b"".join(pieces)
    except HeadraceError as error:
        broken = error
        code = "blocked" if isinstance(error, Blocked) else None
        yield said.broken(status_of(type(error)), told(error), code)
    except Exception as error:  # noqa: BLE001
        # Boundary: the status has been sent, and a client waits for the end that its API knows.
        broken = error
        yield said.broken(500, broke("An answer in pieces"), None)
    finally:
        await stream.close(broken)


def _about(answer: Replied | LlmStream | DraftStream) -> HeaderList:
    """By which feedback finds the answer, whose it is, and whether it is none yet, or was given before."""
    named = (
        (b"headrace-answer", answer.answer_id.encode()),
        (b"headrace-release", answer.release_id.encode()),
    )
    if answer.is_draft:
        return (*named, (b"headrace-draft", b"waiting"))
    if isinstance(answer, Replied) and answer.cached is not None:
        return (*named, (b"headrace-cache", b"hit" if answer.cached else b"miss"))
    return named


def _waiting(status: int, retry_after: str | None) -> HeaderList:
    """How long a provider wants its callers to wait; with status 503 we say it ourselves."""
    if retry_after is None or status == 503:
        return ()
    return ((b"retry-after", retry_after.encode("latin-1", "ignore")),)
