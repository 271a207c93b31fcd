"""Asking models that speak as Anthropic's do: what goes there and what comes back is a chat to all others."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.anthropic.answered import ERRORS, completion_of, error_text
from headrace.gateway.llm.anthropic.asked import request_of
from headrace.gateway.llm.anthropic.streamed import Chunks
from headrace.gateway.llm.connections import Connections, Reply, Stream
from headrace.gateway.llm.endpoints import Endpoint, Target
from headrace.gateway.llm.http_client import Answer
from headrace.gateway.llm.sse import UpstreamBroken

_CHAT, _MESSAGES = "/chat/completions", "/messages"


class Translated:
    """Connections to endpoints, whatever they speak; close it in each event loop.

    What an endpoint has no counterpart for is a refusal of status 400, as if it had refused it itself.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.forget_key = connections.forget_key
        self.close = connections.close

    async def whole(
        self, endpoint: Endpoint, target: Target, path: str, body: bytes, sent: Callable[[], None]
    ) -> Reply:
        """Ask once, and wait for all of the answer; raises as :meth:`Connections.whole` does."""
        if endpoint.api == "openai":
            return await self._connections.whole(endpoint, target, path, body, sent)
        try:
            asked = _request(target, path, body)
        except InvalidInput as error:
            return _refusal(target, error)
        return _completed(await self._connections.whole(endpoint, target, _MESSAGES, asked, sent))

    async def stream(
        self, endpoint: Endpoint, target: Target, path: str, body: bytes, sent: Callable[[], None]
    ) -> Stream | Reply:
        """Ask once, and wait for the first event; raises as :meth:`Connections.stream` does."""
        if endpoint.api == "openai":
            return await self._connections.stream(endpoint, target, path, body, sent)
        try:
            asked = _request(target, path, body)
        except InvalidInput as error:
            return _refusal(target, error)
        found = await self._connections.stream(endpoint, target, _MESSAGES, asked, sent, _MessageStream)
        return _completed(found) if isinstance(found, Reply) else found


class _MessageStream(Stream):
    """The events of a message, as the chunks that they are."""

    def __init__(self, answer: Answer, target: Target, endpoint: Endpoint) -> None:
        super().__init__(answer, target, endpoint)
        self._chunks = Chunks()
        self._broken: UpstreamBroken | None = None

    async def more(self) -> list[bytes]:
        """As of any stream; what came before something that cannot be read is given first."""
        made: list[bytes] = []
        while not made and self._broken is None and (arrived := await super().more()):
            try:
                for data in arrived:
                    made += self._chunks.add(data)
            except InvalidInput as error:
                self._broken = UpstreamBroken(f"{self.target} sent what cannot be read. {error}")
                self._broken.__cause__ = error
        if not made and self._broken is not None:
            raise self._broken
        return made


def _request(target: Target, path: str, body: bytes) -> bytes:
    if path != _CHAT:
        raise InvalidInput(
            f"{target} speaks as Anthropic does, which has no {path!r}. Name a model of another."
        )
    return msgspec.json.encode(request_of(msgspec.json.decode(body)))


def _completed(reply: Reply) -> Reply:
    """The reply as a chat completion; what is no message stays, for who reads it to say so."""
    if reply.status != 200:
        return reply._replace(body=_error(reply.status, error_text(reply.body)))
    try:
        return reply._replace(body=msgspec.json.encode(completion_of(msgspec.json.decode(reply.body))))
    except (msgspec.MsgspecError, RecursionError, InvalidInput, KeyError, TypeError, AttributeError):
        return reply


def _refusal(target: Target, error: InvalidInput) -> Reply:
    return Reply(400, {}, _error(400, str(error)), target)


def _error(status: int, message: str) -> bytes:
    kind = ERRORS.get(status, "api_error")
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": None}})
