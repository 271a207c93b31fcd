"""``/v1``: the OpenAI API. ``model`` names a project, whose live or canary release answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import msgspec

from headrace.access.networks import network_of
from headrace.core.errors import HeadraceError
from headrace.core.identity import Principal
from headrace.gateway.budgets import OverBudget
from headrace.gateway.llm.chat import ChatRequest, read_chat
from headrace.gateway.llm.embeddings import EmbeddingsRequest, read_embeddings
from headrace.gateway.llm.guarding import Blocked
from headrace.gateway.llm.handler import LlmHandler, LlmStream
from headrace.gateway.llm.steps import Parent
from headrace.gateway.llm.upstream import UpstreamRefused
from headrace.serving.trace_context import PARENT
from headrace.serving.wire import (
    INLINE_BYTES,
    JSON,
    Answer,
    HeaderList,
    Headers,
    Pieces,
    Receive,
    Refused,
    Scope,
    Send,
    only,
    read_body,
    serve,
    status_of,
)
from headrace.web.parts import Parts

PREFIX = "/v1"
MAX_BODY_BYTES = 8 << 20
_CHAT, _EMBEDDINGS, _MODELS = "/v1/chat/completions", "/v1/embeddings", "/v1/models"
_READ: dict[str, Callable[[bytes], ChatRequest | EmbeddingsRequest]] = {
    _CHAT: read_chat,
    _EMBEDDINGS: read_embeddings,
}
_NO_RETRY = (b"x-should-retry", b"false")
"""What official clients obey: a budget is not there again in a second."""
_EVENTS = b"text/event-stream; charset=utf-8"
_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
    404: "not_found_error", 409: "conflict_error", 429: "rate_limit_error",
}  # fmt: skip


class OpenAiDoor:
    """ASGI application: identity, then one handler; errors have the form of the protocol.

    Example::

        openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key=token).chat.completions.create(
            model="support-answers", messages=[{"role": "user", "content": "May I return it?"}]
        )
    """

    def __init__(self, parts: Parts, handler: LlmHandler) -> None:
        self._parts = parts
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await serve(self, scope, receive, send)

    def error(self, status: int, message: str) -> bytes:
        """As the API says errors."""
        return _error(status, message)

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer | Pieces:
        """Answer one request; whatever it raises is answered by :meth:`error`."""
        path = scope["path"]
        me = self._parts.app.gatekeeper.authenticate(headers.authorization, network_of(scope.get("client")))
        if (read := _READ.get(path)) is not None:
            only(scope, "POST")
            body = await read_body(headers, receive, MAX_BODY_BYTES)
            return await self._ask(
                me, read(body) if len(body) <= INLINE_BYTES else await asyncio.to_thread(read, body)
            )
        if path == _MODELS or path.startswith(f"{_MODELS}/"):
            only(scope, "GET")
            return self._models(me, path[len(_MODELS) + 1 :])
        raise Refused(404, f"There is nothing at {path[:100]!r}. Expected {', '.join(_READ)} or {_MODELS}.")

    async def _ask(self, me: Principal, asked: ChatRequest | EmbeddingsRequest) -> Answer | Pieces:
        named = PARENT.get()
        parent = None if named is None else Parent(named.trace_id, named.span_id)
        try:
            if isinstance(asked, ChatRequest) and asked.stream:
                stream = await self._handler.stream(me, asked, parent)
                return Pieces(_events(stream), _EVENTS, _named(stream.answer_id, stream.release_id))
            replied = await self._handler.answer(me, asked, parent)
        except Blocked as error:
            return Answer(400, _error(400, str(error), "blocked"))
        except OverBudget as error:
            return Answer(429, _error(429, str(error), "insufficient_quota"), JSON, (_NO_RETRY,))
        except UpstreamRefused as refused:
            return Answer(refused.reply.status, refused.reply.body)
        return Answer(replied.status, replied.body, JSON, _named(replied.answer_id, replied.release_id))

    def _models(self, me: Principal, name: str) -> Answer:
        """What ``me`` may ask; of one that is not there, or not theirs, alike."""
        listed = [
            {"id": project, "object": "model", "created": 0, "owned_by": "headrace"}
            for project in self._handler.projects(me)
        ]
        if not name:
            return Answer(200, msgspec.json.encode({"object": "list", "data": listed}))
        for one in listed:
            if one["id"] == name:
                return Answer(200, msgspec.json.encode(one))
        raise Refused(404, f"There is no project {name[:100]!r} whose answers you may ask for.")


async def _events(stream: LlmStream) -> AsyncGenerator[bytes, None]:
    broken: Exception | None = None
    try:
        async for data in stream.events():
            yield b"data: %b\n\n" % data
    except HeadraceError as error:
        broken = error
        code = "blocked" if isinstance(error, Blocked) else None
        yield b"data: %b\n\n" % _error(status_of(type(error)), str(error), code)
    except Exception as error:
        broken = error
        raise
    finally:
        await stream.close(broken)


def _named(answer_id: str, release_id: str) -> HeaderList:
    """By which feedback finds the answer, and whose it is."""
    return ((b"headrace-answer", answer_id.encode()), (b"headrace-release", release_id.encode()))


def _error(status: int, message: str, code: str | None = None) -> bytes:
    kind = _TYPES.get(status, "server_error")
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})
