"""A language model on a real socket whose every answer, and every fault, was written down before."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from types import TracebackType
from typing import Any, Literal, cast

import httptools
import msgspec

from headrace.testing.scripted_answers import (
    MODEL,
    Answer,
    Closes,
    Raw,
    Refusal,
    Scripted,
    Wanted,
    chat_body,
    chat_events,
    embeddings_body,
    message_body,
    message_events,
    models_body,
    moderations_body,
    refusal_body,
)

CHAT, EMBEDDINGS, MODELS, MESSAGES = "/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/messages"
MODERATIONS = "/v1/moderations"
_HELLO = Answer()
_KEPT = 10_000
_wanted = msgspec.json.Decoder(Wanted)


@dataclass(kw_only=True, eq=False)
class Asked:
    """A request as it came; header names are in lower case.

    Attributes:
        ended: ``answered`` in full, ``cut`` by the script, or ``gone`` (the client went before its end).
        over: set as soon as it has ended.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    ended: Literal["open", "answered", "cut", "gone"] = "open"
    over: threading.Event = field(default_factory=threading.Event, repr=False)

    @cached_property
    def json(self) -> Any:
        """The body, read."""
        return msgspec.json.decode(self.body)

    def end(self, how: Literal["answered", "cut", "gone"]) -> None:
        """Note how it ended; the first time counts."""
        if not self.over.is_set():
            self.ended = how
            self.over.set()


Script = Scripted | Sequence[Scripted] | Callable[[Asked], Scripted]


class ScriptedLLM:
    """An HTTP server on 127.0.0.1 that speaks as OpenAI and Anthropic do and says what its script says.

    It answers ``/v1/chat/completions``, ``/v1/embeddings``, ``/v1/moderations``, ``/v1/models`` and
    ``/v1/messages``; there is no model behind it. ``with`` runs it in a thread of its own, ``async with``
    on the running event loop.

    Args:
        script: the answer to everything; answers in turn, the last one for good; or a function of what was
            asked.
        key: the only API key that it takes; any unless said.
        models: the models that it lists.

    Attributes:
        asked: the latest 10,000 requests, the oldest first.
        connections: those that are open; ``n_connected`` counts all that ever were.

    >>> import httpx
    >>> with ScriptedLLM(Answer(text="Hello.")) as llm:
    ...     body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    ...     answer = httpx.post(f"{llm.url}/v1/chat/completions", json=body).json()
    >>> answer["choices"][0]["message"]["content"], llm.asked[0].json["model"]
    ('Hello.', 'm')
    """

    def __init__(
        self, script: Script = _HELLO, *, key: str | None = None, models: Sequence[str] = (MODEL,)
    ) -> None:
        self.script = script
        self.key = key
        self.models = models
        self.asked: deque[Asked] = deque(maxlen=_KEPT)
        self.connections: set[_Connection] = set()
        self.n_connected = 0
        self._turn = 0
        self._bodies: dict[tuple[Answer, str, Wanted], bytes] = {}

    @property
    def url(self) -> str:
        """Where it listens, without ``/v1``."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> ScriptedLLM:
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="scripted-llm", daemon=True)
        self._thread.start()
        self._loop, self._told = started.result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._told.set)
        self._thread.join(10)

    def _serve(self, started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        import uvloop

        async def until_told() -> None:
            told = asyncio.Event()
            async with self:
                started.set_result((asyncio.get_running_loop(), told))
                await told.wait()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(until_told())

    async def __aenter__(self) -> ScriptedLLM:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=4096)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        left = [connection.leave() for connection in self.connections]
        await asyncio.gather(*(over.wait() for over in left))
        await self._server.wait_closed()

    def answer(self, asked: Asked) -> Scripted:
        """What the script says to a request."""
        if self.key is not None and self.key not in (
            asked.headers.get("authorization", "").removeprefix("Bearer "),
            asked.headers.get("x-api-key"),
        ):
            return Refusal(status=401, message="Incorrect API key provided.")
        if asked.path == MODELS:
            return Raw(body=models_body(self.models))
        if asked.path not in (CHAT, EMBEDDINGS, MODERATIONS, MESSAGES):
            return Refusal(status=404, message=f"Unknown address {asked.path}.")
        if callable(self.script):
            return self.script(asked)
        if not isinstance(self.script, Sequence):
            return self.script
        self._turn += 1
        return self.script[min(self._turn, len(self.script)) - 1]

    def body(self, answer: Answer, path: str, wanted: Wanted) -> bytes:
        """A whole answer with its head; encoded once for all requests that are alike."""
        if path == EMBEDDINGS:
            return _whole(embeddings_body(wanted))
        if path == MODERATIONS:
            return _whole(moderations_body(wanted))
        key = (answer, path, wanted)
        found = self._bodies.get(key)
        if found is None:
            made = (message_body if path == MESSAGES else chat_body)(answer, wanted)
            found = self._bodies[key] = _whole(made)
        return found


class _Connection(asyncio.Protocol):
    """One client; requests that it sends ahead wait for their turn."""

    def __init__(self, llm: ScriptedLLM) -> None:
        self._llm = llm
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Asked] = deque()
        self._now: Asked | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # which uvloop's are in all but name
        self._llm.connections.add(self)
        self._llm.n_connected += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._llm.connections.discard(self)
        self._over.set()
        if self._now is not None:
            self._now.end("gone")
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.write(_head(400, "text/plain", 0))
            self._transport.close()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        asked = Asked(
            method=self._parser.get_method().decode(),
            path=self._url.decode("latin-1").partition("?")[0],
            headers=self._headers,
            body=b"".join(self._parts),
        )
        self._begin()
        self._llm.asked.append(asked)
        if self._now is None:
            self._answer(asked)
        else:
            self._waiting.append(asked)

    def leave(self) -> asyncio.Event:
        """Close the connection at once; what is set when it is."""
        self._transport.abort()
        return self._over

    def _answer(self, asked: Asked) -> None:
        self._now = asked
        try:
            said = self._llm.answer(asked)
        except Exception as error:
            said = Refusal(status=500, message=f"The script raised {error!r}.")
            logging.getLogger(__name__).exception("The script of a ScriptedLLM raised")
        anthropic = asked.path == MESSAGES
        if isinstance(said, Answer):
            try:
                wanted = _wanted.decode(asked.body)
            except msgspec.MsgspecError as error:
                said = Refusal(status=400, message=str(error))
            else:
                if not wanted.stream and said.delay_s == 0 and said.cut_after is said.stall_after is None:
                    self._send(asked, self._llm.body(said, asked.path, wanted))  # at the least cost
                else:
                    self._later(self._say(asked, said, wanted))
                return
        if isinstance(said, Closes):
            asked.end("cut")
            self._transport.close()
            return
        if isinstance(said, Refusal):
            body, kind, retry = refusal_body(said, anthropic=anthropic), "application/json", said.retry_after
        else:
            body, kind, retry = said.body, said.content_type, None
        cut = isinstance(said, Raw) and said.cut
        head = _head(said.status, kind, len(body) + cut, retry)
        self._later(self._send_after(said.delay_s, asked, head, body, cut=cut))

    def _later(self, work: Any) -> None:
        self._task = asyncio.get_running_loop().create_task(work)

    async def _send_after(self, delay_s: float, asked: Asked, *parts: bytes, cut: bool) -> None:
        await asyncio.sleep(delay_s)
        if cut:
            self._transport.write(b"".join(parts))
            asked.end("cut")
            self._transport.close()
        else:
            self._send(asked, b"".join(parts))

    def _send(self, asked: Asked, answer: bytes) -> None:
        self._transport.write(answer)
        self._finish(asked)

    def _finish(self, asked: Asked) -> None:
        asked.end("answered")
        self._now = None
        if self._waiting:
            self._answer(self._waiting.popleft())

    async def _say(self, asked: Asked, answer: Answer, wanted: Wanted) -> None:
        await asyncio.sleep(answer.delay_s)
        if wanted.stream and asked.path not in (EMBEDDINGS, MODERATIONS):
            make = message_events if asked.path == MESSAGES else chat_events
            self._transport.write(_head(200, "text/event-stream", None))
            events: Iterator[bytes] = map(_chunk, make(answer, wanted))
            end = b"0\r\n\r\n"
        else:
            whole = self._llm.body(answer, asked.path, wanted)
            events, end = iter((whole[: len(whole) // 2], whole[len(whole) // 2 :])), b""
        limits = [limit for limit in (answer.cut_after, answer.stall_after) if limit is not None]
        for event in islice(events, min(limits, default=None)):
            await self._may_write.wait()
            self._transport.write(event)
            await asyncio.sleep(answer.pause_s)
        if answer.cut_after is not None:
            asked.end("cut")
            self._transport.close()
        elif answer.stall_after is not None:
            await asyncio.Event().wait()
        else:
            self._send(asked, end)


def _whole(body: bytes) -> bytes:
    return _head(200, "application/json", len(body)) + body


def _chunk(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


def _head(status: int, kind: str, length: int | None, retry_after: str | None = None) -> bytes:
    size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    retry = "" if retry_after is None else f"retry-after: {retry_after}\r\n"
    text = (
        f"HTTP/1.1 {status} Scripted\r\ncontent-type: {kind}\r\n{size}\r\n{retry}x-request-id: scripted\r\n"
    )
    return f"{text}\r\n".encode("latin-1")
