"""An answer in pieces is ended whatever happens to it, also where it never began."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from typing import Any

import pytest

from headrace.serving.caller import CALLER, Caller
from headrace.serving.wire import Answer, Headers, Pieces, Receive, Scope, serve


class _Streaming:
    """Answers in two pieces; says how often it was closed."""

    def __init__(self) -> None:
        self.n_closed = 0

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer | Pieces:
        async def source() -> AsyncGenerator[bytes, None]:
            yield b"one"
            yield b"two"

        return Pieces(source(), b"text/plain", close=self._close)

    def error(self, status: int, message: str) -> bytes:
        return message.encode()

    async def _close(self) -> None:
        self.n_closed += 1


async def _never() -> MutableMapping[str, Any]:
    await asyncio.Event().wait()
    return {}


def _scope(**state: Any) -> Scope:
    return {"type": "http", "method": "POST", "path": "/", "headers": [], "state": state}


def test_it_is_ended_at_its_end() -> None:
    streaming, sent = _Streaming(), []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message.get("body"))

    asyncio.run(serve(streaming, _scope(), _never, send))
    assert (sent, streaming.n_closed) == ([None, b"one", b"two", b""], 1)


def test_it_is_ended_where_its_caller_has_gone_before_it_began() -> None:
    streaming, caller, sent = _Streaming(), Caller(lambda: None), []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)
        caller.go()

    asyncio.run(serve(streaming, _scope(**{CALLER: caller}), _never, send))
    assert (len(sent), streaming.n_closed) == (1, 1)


def test_it_is_ended_where_its_head_cannot_be_sent() -> None:
    streaming = _Streaming()

    async def send(message: MutableMapping[str, Any]) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(serve(streaming, _scope(), _never, send))
    assert streaming.n_closed == 1
