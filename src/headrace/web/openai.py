"""``/v1``: the OpenAI API. ``model`` names a project, whose live or canary release answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from headrace.app.llm.batch_run import LineAnswer
from headrace.app.llm.drafts import given
from headrace.core.errors import HeadraceError, InvalidInput
from headrace.core.identity import Principal
from headrace.core.ports import Clock
from headrace.gateway.llm.chat import chat_request, read_chat
from headrace.gateway.llm.embeddings import read_embeddings
from headrace.gateway.llm.handler import LlmHandler
from headrace.gateway.llm.moderations import read_moderations
from headrace.gateway.llm.naming import pointed
from headrace.gateway.llm.responses.answered import Responding
from headrace.gateway.llm.responses.asked import chat_of
from headrace.serving.telling import told
from headrace.serving.wire import (
    Answer,
    Headers,
    Pieces,
    Receive,
    Refused,
    Scope,
    Send,
    only,
    serve,
    status_of,
)
from headrace.web import llm_batches as batches
from headrace.web import llm_files as files
from headrace.web.anthropic import Messages
from headrace.web.llm import LlmDoor, Request, Surface, identified
from headrace.web.llm_batches import answer_batches
from headrace.web.llm_files import answer_files
from headrace.web.parts import Parts

PREFIX = "/v1"
_MODELS = "/v1/models"
_KEPT = "/v1/chat/completions/"
"""Before the id of an answer that waits for a person, or has."""
_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
    404: "not_found_error", 409: "conflict_error", 429: "rate_limit_error",
}  # fmt: skip


class OpenAiDoor:
    """ASGI application: a door for each kind of call; errors have the form of the protocol.

    Example::

        openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key=token).chat.completions.create(
            model="support-answers", messages=[{"role": "user", "content": "May I return it?"}]
        )
    """

    def __init__(self, parts: Parts, handler: LlmHandler) -> None:
        self._parts = parts
        self._handler = handler
        surfaces: dict[str, Surface] = {
            "/v1/chat/completions": Chat(),
            "/v1/embeddings": Embeddings(),
            "/v1/moderations": Moderations(),
            "/v1/responses": Responses(parts.app.clock),
            "/v1/messages": Messages(),
        }
        self._files: dict[str, Callable[..., Awaitable[Answer | Pieces]]] = {
            files.PREFIX: answer_files,
            batches.PREFIX: answer_batches,
        }
        self._doors = {path: LlmDoor(parts, handler, surface) for path, surface in surfaces.items()}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        door = self._doors.get(scope["path"])
        return serve(self, scope, receive, send) if door is None else door(scope, receive, send)

    def error(self, status: int, message: str) -> bytes:
        """As the API says errors."""
        return _error(status, message)

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer | Pieces:
        """Answer what is no call; whatever it raises is answered by :meth:`error`."""
        path = scope["path"]
        me = identified(self._parts, scope, headers)
        if path == _MODELS or path.startswith(f"{_MODELS}/"):
            only(scope, "GET")
            return self._models(me, path[len(_MODELS) + 1 :])
        if path.startswith(_KEPT):
            only(scope, "GET")
            body = await asyncio.to_thread(given, self._parts.app, me, path[len(_KEPT) :])
            return Answer(200, body)
        for prefix, kept in self._files.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                return await kept(self._parts.app, me, scope, headers, receive)
        known = ", ".join((*self._doors, *self._files))
        raise Refused(404, f"There is nothing at {path[:100]!r}. Expected {known} or {_MODELS}.")

    async def ask(self, name: str, path: str, body: bytes) -> LineAnswer:
        """What a request of somebody to an address is answered; their rights are those of now."""
        door = self._doors[path]
        try:
            me = await asyncio.to_thread(self._parts.app.identities.resolve, name)
        except HeadraceError as error:
            status = status_of(type(error))
            return LineAnswer(status, door.error(status, told(error)), "")
        answer = await door.one(me, body)
        named = (value.decode() for key, value in answer.headers if key == b"headrace-answer")
        return LineAnswer(answer.status, answer.body, next(named, ""))

    def _models(self, me: Principal, name: str) -> Answer:
        """What ``me`` may ask; of one that is not there, or not theirs, alike."""
        listed = [_model(project) for project in self._handler.projects(me)]
        if not name:
            ends = {"first_id": listed[0]["id"], "last_id": listed[-1]["id"]} if listed else {}
            about = {"object": "list", "has_more": False, "first_id": None, "last_id": None, **ends}
            return Answer(200, msgspec.json.encode(about | {"data": listed}))
        for one in listed:
            if one["id"] == name:
                return Answer(200, msgspec.json.encode(one))
        hint = pointed(name[:100], [str(one["id"]) for one in listed])
        raise Refused(404, f"There is no project {name[:100]!r} whose answers you may ask for. {hint}")


class Chat:
    """``/v1/chat/completions``: bytes go through as they come."""

    def read(self, body: bytes) -> Request:
        """Read a request; raises as :func:`read_chat` does."""
        return Request(read_chat(body), _AS_IT_IS)

    def refused(self, status: int, body: bytes) -> bytes:  # noqa: ARG002  as every surface does
        """A provider's own words."""
        return body

    def error(self, status: int, message: str, code: str | None = None) -> bytes:
        """As the API says errors."""
        return _error(status, message, code)


class Embeddings(Chat):
    """``/v1/embeddings``: likewise."""

    def read(self, body: bytes) -> Request:
        """Read a request; raises as :func:`read_embeddings` does."""
        return Request(read_embeddings(body), _AS_IT_IS)


class Moderations(Chat):
    """``/v1/moderations``: likewise."""

    def read(self, body: bytes) -> Request:
        """Read a request; raises as :func:`read_moderations` does."""
        return Request(read_moderations(body), _AS_IT_IS)


class Responses(Chat):
    """``/v1/responses``, as far as nothing has to be stored for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def read(self, body: bytes) -> Request:
        """Read a request; raises as :func:`chat_of` does."""
        chat, repeated = chat_of(body)
        response = Responding(repeated, int(self._clock.now().timestamp()))
        return Request(chat_request(chat, len(body)), _AsResponse(response))


class _AsResponse:
    """One answer as a response."""

    def __init__(self, response: Responding) -> None:
        self._response = response

    def whole(self, body: bytes, answer_id: str) -> bytes:
        try:
            return msgspec.json.encode(self._response.whole(msgspec.json.decode(body), answer_id))
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"It is no chat completion ({type(error).__name__}).") from error

    def piece(self, data: bytes, answer_id: str) -> Iterable[bytes]:
        return self._response.add(data, answer_id)

    def end(self) -> Iterable[bytes]:
        return self._response.end()

    def broken(self, status: int, message: str, code: str | None) -> bytes:  # noqa: ARG002  as every form does
        return self._response.broken(message, code)


class _AsItIs:
    """What a provider says is what its caller gets."""

    def whole(self, body: bytes, answer_id: str) -> bytes:  # noqa: ARG002  as every form does
        return body

    def piece(self, data: bytes, answer_id: str) -> Iterable[bytes]:  # noqa: ARG002
        return (b"data: %b\n\n" % data,)

    def end(self) -> Iterable[bytes]:
        return (b"data: [DONE]\n\n",)

    def broken(self, status: int, message: str, code: str | None) -> bytes:
        return b"data: %b\n\n" % _error(status, message, code)


_AS_IT_IS = _AsItIs()


def _model(project: str) -> dict[str, object]:
    """A project in the forms of both APIs, whose clients each read their own fields."""
    openai = {"id": project, "object": "model", "created": 0, "owned_by": "headrace"}
    return openai | {"type": "model", "display_name": project, "created_at": "1970-01-01T00:00:00Z"}


def _error(status: int, message: str, code: str | None = None) -> bytes:
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})
