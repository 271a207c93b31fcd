"""HTTP/1.1 to one address: requests go out as bytes made before, over connections that are kept.

It knows what a call to a language model needs and no more: POST, no redirect, no proxy, no cookie, no
compression. The syntax of answers is read by llhttp (``httptools``), addresses are tried in turn by
``aiohappyeyeballs``, and TLS is Python's own. A general client costs several times as much a call.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import deque
from collections.abc import Callable
from functools import lru_cache

import httptools

KEPT_S = 60.0
"""How long a connection that nobody uses stays open."""
MOST_HEAD_BYTES = 64 << 10
_MOST_HEADERS = 256
_MOST_WAITING_BYTES = 256 << 10
"""Of an answer that is read more slowly than it comes; then its sender has to wait."""
_EYEBALLS_S = 0.25
_CLOCK_S = 0.002
"""A timer may come so much too early."""


class Disconnected(ConnectionError):
    """The other side hung up before its answer was whole, or sent what is no HTTP."""


class Pool:
    """Connections to one address, for one event loop.

    Args:
        url: up to the path, such as ``https://api.openai.com/v1``.
        most: connections at a time; further requests wait for one.
        connect_timeout_s: until one stands, TLS included.

    Example::

        pool = Pool("http://127.0.0.1:11434/v1", most=16, connect_timeout_s=5.0)
        head = pool.head("/chat/completions", {"content-type": "application/json"})
        answer = await pool.post(head, body, timeout_s=600.0)
        try:
            while part := await answer.read():
                ...
        finally:
            answer.close()
    """

    def __init__(self, url: str, *, most: int, connect_timeout_s: float) -> None:
        import httpx  # late: it takes a tenth of a short command, and most of those ask no provider

        self._loop = asyncio.get_running_loop()
        self._url = httpx.URL(url)
        self._most = most
        self._connect_timeout_s = connect_timeout_s
        self._idle: deque[_Connection] = deque()  # the one used last is the last
        self._waiting: deque[asyncio.Future[_Connection | None]] = deque()
        self._open: set[_Connection] = set()
        self._n_opening = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    def head(self, path: str, headers: dict[str, str]) -> bytes:
        """The first bytes of requests to ``path``, which is below the address; all but their length.

        Raises:
            ValueError: a header cannot be sent.
        """
        named = {"host": self._url.netloc.decode("ascii"), **headers}
        for name, value in named.items():
            if not value.isprintable() or not value.isascii():
                raise ValueError(
                    f"The header {name!r} cannot be sent: of the {len(value)} characters of its value, some "
                    "are no signs of ASCII, or end a line. Store it without them."
                )
        target = (self._url.raw_path.rstrip(b"/") + path.encode("ascii")).decode("ascii")
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        return f"POST {target} HTTP/1.1\r\n{lines}content-length: ".encode("ascii")

    async def post(
        self, head: bytes, body: bytes, *, timeout_s: float, sent: Callable[[], None] = lambda: None
    ) -> Answer:
        """Send a request and wait for the head of its answer. Close the answer, whatever happens.

        Args:
            timeout_s: until the answer has been read to its end, waiting for a connection included.
            sent: called once there is a connection: from then on the other side may be at work.

        Raises:
            TimeoutError: it took too long.
            OSError: no connection, or it broke.
        """
        ends_s = self._loop.time() + timeout_s
        connection = self._kept() or await self._another(ends_s)
        sent()
        answer = connection.ask(b"%b%d\r\n\r\n%b" % (head, len(body), body), self._loop, ends_s)
        try:
            await answer.begun()
        except BaseException:
            answer.close()
            raise
        return answer

    def close(self) -> None:
        """Close all; what is being answered breaks off, and nothing is asked any more."""
        self._is_closed = True
        for connection in list(self._open):
            connection.abort()
        while self._waiting:
            _give(self._waiting.popleft(), Disconnected("All connections are being closed."))
        if self._sweep is not None:
            self._sweep.cancel()

    def freed(self, connection: _Connection) -> None:
        """It is open and has done its work."""
        while self._waiting:
            if _give(self._waiting.popleft(), connection):
                return
        connection.idle_since_s = self._loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(KEPT_S, self._close_idle)

    def lost(self, connection: _Connection) -> None:
        """It is closed, by whichever side."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._next()

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closing:
                return connection
        return None

    async def _another(self, ends_s: float) -> _Connection:
        """A new connection, or one that comes free."""
        async with asyncio.timeout_at(ends_s):
            while len(self._open) + self._n_opening >= self._most:
                connection = await self._turn()
                if connection is not None and not connection.is_closing:
                    return connection
            self._n_opening += 1
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    return await self._connect()
            except TimeoutError as error:  # ours, or the system's own
                raise Disconnected(
                    f"No connection in time ({self._connect_timeout_s:g} s at most)."
                ) from error
            finally:
                self._n_opening -= 1
                self._next()

    async def _turn(self) -> _Connection | None:
        """Wait for a connection that comes free, or for leave to open one."""
        turn: asyncio.Future[_Connection | None] = self._loop.create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif turn.cancelled() or turn.exception() is not None or (connection := turn.result()) is None:
                self._next()
            else:
                self.freed(connection)
            raise

    async def _connect(self) -> _Connection:
        import aiohappyeyeballs

        loop, url = self._loop, self._url
        host, secure = url.raw_host.decode("ascii"), url.scheme == "https"
        port = url.port or (443 if secure else 80)
        found = await loop.getaddrinfo(host, port, type=1)
        sock = await aiohappyeyeballs.start_connection(
            found, happy_eyeballs_delay=_EYEBALLS_S, interleave=1, loop=loop
        )
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(self),
                sock=sock,
                ssl=verified() if secure else None,
                server_hostname=host if secure else None,
            )
        except BaseException:
            sock.close()
            raise
        self._open.add(connection)
        if self._is_closed:
            connection.abort()
            raise Disconnected("All connections are being closed.")
        return connection

    def _next(self) -> None:
        """Let one who waits open a connection, where one more may be open."""
        while self._waiting and len(self._open) + self._n_opening < self._most:
            if _give(self._waiting.popleft(), None):
                return

    def _close_idle(self) -> None:
        self._sweep = None
        oldest_s = self._loop.time() - KEPT_S
        while self._idle and self._idle[0].idle_since_s <= oldest_s:
            self._idle.popleft().abort()
        if self._idle:
            wait_s = self._idle[0].idle_since_s - oldest_s
            self._sweep = self._loop.call_later(max(1.0, wait_s), self._close_idle)


def _give(turn: asyncio.Future[_Connection | None], what: _Connection | Disconnected | None) -> bool:
    """Whether who waits is still there to take it."""
    if turn.done():
        return False
    if isinstance(what, Disconnected):
        turn.set_exception(what)
    else:
        turn.set_result(what)
    return True


class Answer:
    """An answer as it comes.

    Attributes:
        status: 0 until its head has come.
        headers: names in lower case; of those that come twice, the last.
        is_whole: whether all of it has come.
    """

    __slots__ = (
        "_connection",
        "_due_s",
        "_ends_s",
        "_error",
        "_loop",
        "_parts",
        "_timer",
        "_until_s",
        "_waiter",
        "headers",
        "is_whole",
        "n_waiting",
        "status",
    )

    def __init__(self, connection: _Connection, loop: asyncio.AbstractEventLoop, ends_s: float) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_whole = False
        self.n_waiting = 0
        self._connection = connection
        self._loop = loop
        self._parts: list[bytes] = []
        self._error: OSError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._ends_s = self._until_s = self._due_s = ends_s
        self._timer = loop.call_at(ends_s, self._look_at_the_clock)

    async def begun(self) -> None:
        """Wait for the head. Raises TimeoutError, OSError: it does not come."""
        while not self.status:
            await self._more()

    async def read(self, wait_s: float = math.inf) -> bytes:
        """What has come since the last time, waiting for some; nothing at the end.

        Args:
            wait_s: the longest; until the end of its time unless given.

        Raises:
            TimeoutError: it takes too long.
            OSError: it broke off.
        """
        while not self._parts:
            if self.is_whole:
                return b""
            self._until_s = min(self._ends_s, self._loop.time() + wait_s)
            if self._until_s < self._due_s:
                self._set_the_clock(self._until_s)
            await self._more()
        parts, self._parts = self._parts, []
        self.n_waiting = 0
        self._connection.was_read(self)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Stop the other side's work, unless it has ended."""
        if not self.is_whole and self._error is None:
            self.fail(Disconnected("The answer was closed before its end."))
            self._connection.abort()

    def add(self, part: bytes) -> None:
        """A part has come."""
        self._parts.append(part)
        self.n_waiting += len(part)

    def end(self) -> None:
        """All of it has come."""
        self.is_whole = True
        self._timer.cancel()

    def fail(self, error: OSError) -> None:
        """Nothing more will come."""
        if self._error is None:
            self._error = error
        self._timer.cancel()
        self.wake()

    def wake(self) -> None:
        """Something is new for whoever waits."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _more(self) -> asyncio.Future[None]:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        return self._waiter

    def _set_the_clock(self, due_s: float) -> None:
        """One timer serves all waiting: it is set anew where it comes too late, or has come too early."""
        self._timer.cancel()
        self._due_s = due_s
        self._timer = self._loop.call_at(due_s, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        until_s = self._ends_s if self._waiter is None else self._until_s
        if self._loop.time() < until_s - _CLOCK_S:
            self._set_the_clock(until_s)
        else:
            self.fail(TimeoutError("It takes too long."))
            self._connection.abort()


class _Connection(asyncio.Protocol):
    """One connection: one request at a time."""

    __slots__ = (
        "_answer",
        "_head",
        "_headers",
        "_is_paused",
        "_n_head_bytes",
        "_parser",
        "_pool",
        "_transport",
        "idle_since_s",
    )

    def __init__(self, pool: Pool) -> None:
        self.idle_since_s = 0.0
        self._pool = pool
        self._answer: Answer | None = None
        self._headers: dict[str, str] = {}
        self._n_head_bytes = 0
        self._parser = httptools.HttpResponseParser(self)

    @property
    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport.is_closing()

    def ask(self, request: bytes, loop: asyncio.AbstractEventLoop, ends_s: float) -> Answer:
        """Send a request; nothing else is being answered."""
        self._n_head_bytes, self._headers, self._is_paused = 0, {}, False
        answer = self._answer = Answer(self, loop, ends_s)
        self._transport.write(request)
        return answer

    def abort(self) -> None:
        """Close it now."""
        self._transport.abort()

    def was_read(self, answer: Answer) -> None:
        """What has come of it."""
        if self._is_paused and self._answer is answer and not self.is_closing:
            self._is_paused = False
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It stands."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer; any other are a fault."""
        answer = self._answer
        if answer is None:
            self.abort()
            return
        n_waiting = answer.n_waiting
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._break(f"It sent what is no answer ({type(error).__name__}).")
            return
        if answer.n_waiting == n_waiting:  # a head, or what follows a body
            self._n_head_bytes += len(data)
            if self._n_head_bytes > MOST_HEAD_BYTES:
                self._break(f"The heads of its answer have more than {MOST_HEAD_BYTES} bytes.")
        elif answer.n_waiting > _MOST_WAITING_BYTES and self._answer is answer and not self.is_closing:
            self._is_paused = True
            self._transport.pause_reading()
        answer.wake()

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed; an answer of no said length has come to its end."""
        answer, self._answer = self._answer, None
        if answer is not None:
            if answer.status and error is None and not self._is_framed:
                answer.end()
                answer.wake()
            else:
                answer.fail(Disconnected("It hung up before its answer was whole."))
        self._pool.lost(self)

    def on_message_begin(self) -> None:
        """An answer begins; what nobody has asked for must not become the next one's."""
        if self._answer is None:
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of an answer; those that follow its body mean nothing."""
        if self._answer is not None and self._answer.status:
            return
        if len(self._headers) >= _MOST_HEADERS:
            raise Disconnected(f"Its answer has more than {_MOST_HEADERS} headers.")
        self._headers[name.lower().decode("latin-1")] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head has come; that of an answer in between, such as 100, means nothing."""
        status = self._parser.get_status_code()
        if status >= 200 and self._answer is not None:
            self._answer.status, self._answer.headers = status, self._headers

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        if self._answer is not None:
            self._answer.add(part)

    def on_message_complete(self) -> None:
        """The answer is whole: the connection is free for another one."""
        answer = self._answer
        if answer is None or not answer.status:
            self._headers = {}
            return
        self._answer = None
        answer.end()
        # A request that was answered before it was read leaves its rest on the way.
        if self._parser.should_keep_alive() and not self._transport.get_write_buffer_size():
            self._pool.freed(self)
        else:
            self.abort()  # nobody may ever read that rest

    @property
    def _is_framed(self) -> bool:
        return "content-length" in self._headers or "chunked" in self._headers.get("transfer-encoding", "")

    def _break(self, why: str) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.fail(Disconnected(why))
        self.abort()


@lru_cache(maxsize=1)
def verified() -> ssl.SSLContext:
    """Trusts whom the system trusts, or the file that SSL_CERT_FILE names."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
