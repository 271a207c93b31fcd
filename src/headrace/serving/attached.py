"""One line around an application that already answers: what it is asked and answers is sent to the record.

The application goes on as it was. Whatever fails here is counted and never reaches its callers; what does
not fit into the buffer is dropped and counted; and sending happens in a thread of its own.
"""

from __future__ import annotations

import atexit
import inspect
import io
import json
import logging
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.core.clock import SystemClock
from headrace.core.ids import new_id

if TYPE_CHECKING:
    from ssl import SSLContext

_log = logging.getLogger(__name__)
MAX_BYTES = 64 << 10
"""Longer requests and answers are not looked at."""
_AT_ONCE = 200
_EVERY_S = 1.0
_LONGEST_WAIT_S = 60.0
_PATIENCE_S = 5.0
_AT_EXIT_S = 2.0

Rows = list[dict[str, Any]]
"""Each with ``columns`` (input to value) and ``prediction``, and perhaps ``probability`` and ``key``."""
Read = Callable[[Any, Any], Rows]
"""Makes rows of the JSON of a request and of its answer."""


class Exchange(NamedTuple):
    """A request and its answer, as bytes."""

    id: str
    at: datetime
    request: bytes
    answer: bytes


@dataclass(kw_only=True)
class Counts:
    """What became of exchanges: each taken one is sent, dropped, unread, refused or lost, or waits."""

    taken: int = 0
    sent: int = 0
    dropped: int = 0
    unread: int = 0
    refused: int = 0
    lost: int = 0
    broken: int = 0


class Outbox:
    """Takes exchanges without waiting, and hands them to ``post`` in a thread of its own.

    Args:
        post: sends rows; says whether they were taken. ``ConnectionError``: later, ``TimeoutError``: nobody
            knows, so they are not sent twice.
        max_waiting: exchanges that may wait; more are dropped.

    Attributes:
        counts: so far, in this process.
    """

    def __init__(
        self,
        post: Callable[[Rows], bool],
        read: Read,
        *,
        max_waiting: int = 10_000,
        every_s: float = _EVERY_S,
    ) -> None:
        self.counts = Counts()
        self._post = post
        self._read = read
        self._max_waiting = max_waiting
        self._every_s = every_s
        self._waiting: deque[Exchange] = deque()
        self._stopping = threading.Event()
        self._process = 0

    def put(self, exchange: Exchange) -> None:
        """Take one; returns at once."""
        self.counts.taken += 1
        if len(self._waiting) >= self._max_waiting:
            self.counts.dropped += 1
            return
        self._waiting.append(exchange)
        if self._process != os.getpid():
            # Servers fork after the application was made, and threads do not come along.
            self._process = os.getpid()
            self._stopping = threading.Event()
            self._thread = threading.Thread(target=self._run, name="headrace-attached", daemon=True)
            self._thread.start()
            atexit.register(self.close, _AT_EXIT_S)

    def close(self, patience_s: float = _PATIENCE_S) -> None:
        """Send what waits, for so long at most."""
        self._stopping.set()
        if self._process == os.getpid():
            self._thread.join(patience_s)

    def _run(self) -> None:
        wait_s = self._every_s
        while True:
            is_last = self._stopping.wait(wait_s)
            wait_s = self._every_s
            while self._waiting:
                if not self._send():
                    wait_s = min(max(2 * wait_s, self._every_s), _LONGEST_WAIT_S)
                    break
            if is_last:
                return

    def _send(self) -> bool:
        """Send the oldest; False: nobody takes them now."""
        part = [self._waiting.popleft() for _ in range(min(len(self._waiting), _AT_ONCE))]
        rows = [row for exchange in part for row in self._rows(exchange)]
        try:
            taken = not rows or self._post(rows)
        except ConnectionError:
            self._waiting.extendleft(reversed(part[: max(self._max_waiting - len(self._waiting), 0)]))
            return False
        except Exception:  # noqa: BLE001
            # Boundary: whatever is wrong with sending must not end the thread.
            _log.warning("%d answers could not be sent to Headrace", len(rows), exc_info=True)
            self.counts.lost += len(part)
            return True
        if taken:
            self.counts.sent += len(part)
        else:
            self.counts.refused += len(part)
        return True

    def _rows(self, exchange: Exchange) -> Rows:
        try:
            rows = self._read(json.loads(exchange.request), json.loads(exchange.answer))
            named = {"at": exchange.at.isoformat()}
            return [row | named | {"id": f"{exchange.id}:{number}"} for number, row in enumerate(rows)]
        except Exception:  # noqa: BLE001
            # Boundary: the application speaks as it likes, and the reader may be the user's.
            self.counts.unread += 1
            return []


def read_rows(request: Any, answer: Any) -> Rows:
    """Rows of the usual forms: an object of inputs, or a list of them, alone or as ``record``, ``records``,
    ``instances`` or ``dataframe_records``; answered by a value or a list, alone or as ``prediction`` or
    ``predictions``.

    >>> read_rows({"records": [{"x": 1}, {"x": 2}]}, {"predictions": [0.5, 0.7]})[1]
    {'columns': {'x': 2}, 'prediction': 0.7}

    Raises:
        ValueError: it is another form, or answers and rows are not as many.
    """
    for name in ("record", "records", "instances", "dataframe_records"):
        if isinstance(request, Mapping) and isinstance(request.get(name), list | dict):
            request = request[name]
    for name in ("prediction", "predictions"):
        if isinstance(answer, Mapping) and name in answer:
            answer = answer[name]
    records = request if isinstance(request, list) else [request]
    answers = answer if isinstance(answer, list) else [answer]
    if len(records) != len(answers) or not all(isinstance(record, Mapping) for record in records):
        raise ValueError("the request is in no form that is known")
    return [
        {"columns": dict(record), "prediction": value} for record, value in zip(records, answers, strict=True)
    ]


def attach(
    app: Any,
    *,
    project: str,
    version: str,
    client_id: str,
    client_secret: str,
    url: str = "http://127.0.0.1:8000",
    path: str = "/predict",
    read: Read = read_rows,
    max_waiting: int = 10_000,
) -> Any:
    """Record what an ASGI or WSGI application answers at ``path`` (POST, JSON), without changing it.

    Args:
        app: the application, such as FastAPI's or Flask's.
        project, version: as attached by ``headrace model attach``.
        client_id, client_secret: of a service that may predict with the project.
        url: of the Headrace server.
        read: makes rows of a request and its answer, where they have a form of their own.
        max_waiting: exchanges that may wait to be sent; more are dropped and counted.

    Returns:
        An application of the same kind; its ``outbox.counts`` say what became of what it saw.

    Example::

        app = headrace.attach(app, project="prices", version="v7", client_id="prices", client_secret=secret)
    """
    outbox = Outbox(
        Server(url, project, version, client_id, client_secret).post, read, max_waiting=max_waiting
    )
    call = app if inspect.isfunction(app) else type(app).__call__
    is_asgi = inspect.iscoroutinefunction(call)
    return AttachedAsgi(app, path, outbox) if is_asgi else AttachedWsgi(app, path, outbox)


class Server:
    """The Headrace server's door for answers of models elsewhere; a token is fetched when one is needed."""

    def __init__(self, url: str, project: str, version: str, client_id: str, client_secret: str) -> None:
        self._url = url.rstrip("/")
        self._project = project
        self._version = version
        self._credentials = (client_id, client_secret)
        self._token = ""

    @cached_property
    def _trusted(self) -> SSLContext:
        """Read once: to read them takes longer than to send."""
        import httpx

        return httpx.create_ssl_context(trust_env=False)

    def post(self, rows: Rows) -> bool:
        """Send rows; False: the server refuses them for good.

        Raises:
            ConnectionError: it cannot be reached, or not now.
            TimeoutError: it may have taken them.
        """
        import httpx

        try:
            with httpx.Client(
                base_url=self._url, timeout=_PATIENCE_S, trust_env=False, verify=self._trusted
            ) as http:
                answer = self._ask(http, rows) if self._token else None
                if answer is None or answer.status_code == 401:
                    self._token = self._fetch(http)
                    answer = self._ask(http, rows)
        except httpx.ReadTimeout as error:
            raise TimeoutError(str(error)) from error
        except httpx.TransportError as error:
            raise ConnectionError(str(error)) from error
        if answer.status_code == 429 or answer.status_code >= 500:
            raise ConnectionError(f"status {answer.status_code}")
        if answer.status_code >= 400:
            _log.warning("Headrace refuses answers of %s: %d", self._project, answer.status_code)
        return bool(answer.status_code < 400)

    def _fetch(self, http: Any) -> str:
        given = http.post("/api/v1/tokens", data={"grant_type": "client_credentials"}, auth=self._credentials)
        if given.status_code != 200:
            raise ConnectionError(f"no token: status {given.status_code}")
        return str(given.json()["access_token"])

    def _ask(self, http: Any, rows: Rows) -> Any:
        body = {"version": self._version, "answers": rows}
        headers = {"authorization": f"Bearer {self._token}"}
        return http.post(f"/api/v1/projects/{self._project}/answers", json=body, headers=headers)


class _Attached:
    """What both kinds share: an exchange is taken once it is complete and good."""

    def __init__(self, app: Any, path: str, outbox: Outbox) -> None:
        self.app = app
        self.outbox = outbox
        self._path = path.rstrip("/")
        self._clock = SystemClock()

    def _take(self, at: datetime, request: Sequence[bytes], answer: Sequence[bytes], status: int) -> None:
        try:
            if status == 200 and max(sum(map(len, request)), sum(map(len, answer))) <= MAX_BYTES:
                self.outbox.put(Exchange(new_id(at), at, b"".join(request), b"".join(answer)))
        except Exception:  # noqa: BLE001
            # Boundary: the application's caller has its answer, whatever happens here.
            self.outbox.counts.broken += 1


class AttachedAsgi(_Attached):
    """Around an ASGI 3 application."""

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Let the application answer, and look on."""
        watched = (
            scope["type"] == "http" and scope["method"] == "POST" and scope["path"].rstrip("/") == self._path
        )
        if not watched:
            await self.app(scope, receive, send)
            return
        at, seen, said, status = self._clock.now(), _Kept(), _Kept(), 0

        async def receiving() -> MutableMapping[str, Any]:
            message = await receive()
            seen.add(message.get("body", b""))
            return message

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            await send(message)
            status = message.get("status", status)
            said.add(message.get("body", b""))

        await self.app(scope, receiving, sending)
        self._take(at, seen.parts, said.parts, status)


class AttachedWsgi(_Attached):
    """Around a WSGI application."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Let the application answer, and look on."""
        length = environ.get("CONTENT_LENGTH") or ""
        if (
            environ.get("REQUEST_METHOD") != "POST"
            or environ.get("PATH_INFO", "").rstrip("/") != self._path
            or not length.isdecimal()
            or int(length) > MAX_BYTES
        ):
            answer: Iterable[bytes] = self.app(environ, start_response)
            return answer
        at, status = self._clock.now(), [0]
        # Frameworks read this stream in many ways; one of our own is read in all of them.
        body = environ["wsgi.input"].read(int(length))
        environ["wsgi.input"] = io.BytesIO(body)

        def starting(line: str, *more: Any, **named: Any) -> Any:
            status[0] = int(line[:3]) if line[:3].isdigit() else 0
            return start_response(line, *more, **named)

        return self._looking_on(self.app(environ, starting), at, body, status)

    def _looking_on(
        self, answer: Iterable[bytes], at: datetime, body: bytes, status: list[int]
    ) -> Iterator[bytes]:
        said = _Kept()
        try:
            for part in answer:
                said.add(part)
                yield part
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        self._take(at, [body], said.parts, status[0])


class _Kept:
    """Pieces of a body, up to what is looked at and one more, by which it is known to be too long."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        if part and self._size <= MAX_BYTES:
            self.parts.append(bytes(part))
            self._size += len(part)
