"""``/v1/messages``: Anthropic's Messages API, for its clients; whatever model a release names answers."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.anthropic.answered import error_body, error_text, message_of
from headrace.gateway.llm.anthropic.asked import chat_of
from headrace.gateway.llm.anthropic.streamed import Events
from headrace.gateway.llm.chat import chat_request
from headrace.web.llm import Request


class Messages:
    """The surface.

    Example::

        anthropic.Anthropic(base_url="http://127.0.0.1:8000", api_key=token).messages.create(
            model="support-answers",
            max_tokens=300,
            messages=[{"role": "user", "content": "May I return it?"}],
        )
    """

    def read(self, body: bytes) -> Request:
        """Read a request; raises as :func:`chat_of` does."""
        return Request(chat_request(chat_of(body), len(body)), _Said())

    def refused(self, status: int, body: bytes) -> bytes:
        """A provider's words in the form of the API."""
        return error_body(status, error_text(body))

    def error(self, status: int, message: str, code: str | None = None) -> bytes:  # noqa: ARG002  has no codes
        """As the API says errors."""
        return error_body(status, message)


class _Said:
    """One answer."""

    def __init__(self) -> None:
        self._events = Events()

    def whole(self, body: bytes, answer_id: str) -> bytes:  # noqa: ARG002  as every form does
        try:
            return msgspec.json.encode(message_of(msgspec.json.decode(body)))
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"It is no chat completion ({type(error).__name__}).") from error

    def piece(self, data: bytes, answer_id: str) -> Iterable[bytes]:  # noqa: ARG002
        return self._events.add(data)

    def end(self) -> Iterable[bytes]:
        return self._events.end()

    def broken(self, status: int, message: str, code: str | None) -> bytes:  # noqa: ARG002
        return b"event: error\ndata: %b\n\n" % error_body(status, message)
