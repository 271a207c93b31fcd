"""Our side of HTTP/1.1, against servers that say whatever bytes they are told to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.gateway.llm import http_client
from headrace.gateway.llm.http_client import MOST_HEAD_BYTES, Answer, Disconnected, Pool
from tests.plugins.mailbox import certificate

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Name: Ada\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each request with the same bytes; knows what it was asked, and on which connection."""

    def __init__(self, answer: bytes = HELLO, *, hang_up: bool = False, pause_s: float = 0.0) -> None:
        self.answer = answer
        self.hang_up = hang_up
        self.pause_s = pause_s
        self.asked: list[tuple[int, bytes]] = []
        self.n_connections = 0
        self.n_gone = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        await self.serve(reader, writer)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        number = self.n_connections
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                n_bytes = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.asked.append((number, head + await reader.readexactly(n_bytes)))
                await asyncio.sleep(self.pause_s)
                writer.write(self.answer)
                await writer.drain()
                if self.hang_up:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.n_gone += 1
        finally:
            writer.close()

    async def close(self) -> None:
        serving = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for writer in self.writers:
            writer.transport.abort()
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving, timeout=5)
        await asyncio.sleep(0)


def _with(server: Server, work: Callable[[Pool], Coroutine[Any, Any, None]], **pool: Any) -> None:
    async def run() -> None:
        listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        mine = Pool(f"http://127.0.0.1:{port}/v1", **({"most": 4, "connect_timeout_s": 5.0} | pool))
        try:
            async with asyncio.timeout(30):
                await work(mine)
        finally:
            mine.close()
            listening.close()
            await server.close()

    asyncio.run(run())


async def _until(holds: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("It does not come to hold.")


async def _asked(pool: Pool, body: bytes = b"{}", timeout_s: float = 10.0) -> Answer:
    return await pool.post(pool.head("/chat", {"x-key": "k"}), body, timeout_s=timeout_s)


async def _whole(answer: Answer) -> bytes:
    parts = []
    while part := await answer.read():
        parts.append(part)
    answer.close()
    return b"".join(parts)


def test_a_request_is_as_it_should_be_and_its_connection_is_used_again() -> None:
    server = Server()

    async def work(pool: Pool) -> None:
        for _ in range(3):
            answer = await _asked(pool, b'{"a": 1}')
            assert (answer.status, answer.headers["x-name"], await _whole(answer)) == (200, "Ada", b"hello")

    _with(server, work)
    assert [number for number, _ in server.asked] == [1, 1, 1]
    head, body = server.asked[0][1].split(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/chat HTTP/1.1"
    assert lines[1].startswith(b"host: 127.0.0.1:")
    assert lines[2:] == [b"x-key: k", b"content-length: 8"]
    assert body == b'{"a": 1}'


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, len(CHUNKED) - 1), max_size=6))
def test_an_answer_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    class Cutting(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            at = 0
            for cut in [*sorted(set(cuts)), len(CHUNKED)]:
                writer.write(CHUNKED[at:cut])
                await writer.drain()
                await asyncio.sleep(0)
                at = cut
            await reader.read()
            writer.close()

    async def work(pool: Pool) -> None:
        assert await _whole(await _asked(pool)) == b"hello"

    _with(Cutting(), work)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + HELLO, b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", b""),
        (CHUNKED, b"hello"),
    ],
)
def test_answers_of_every_form_leave_their_connection_usable(answer: bytes, body: bytes) -> None:
    server = Server(answer)

    async def work(pool: Pool) -> None:
        for _ in range(2):
            found = await _asked(pool)
            assert found.status in (200, 204)
            assert "link" not in found.headers
            assert await _whole(found) == body

    _with(server, work)
    assert server.n_connections == 1


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\n\r\nhello", b"HTTP/1.0 200 OK\r\n\r\nhello"],
)
def test_an_answer_of_no_said_length_ends_with_its_connection(answer: bytes) -> None:
    server = Server(answer, hang_up=True)

    async def work(pool: Pool) -> None:
        for _ in range(2):
            assert await _whole(await _asked(pool)) == b"hello"

    _with(server, work)
    assert server.n_connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
def test_what_is_cut_short_is_never_taken_for_whole(answer: bytes) -> None:
    async def work(pool: Pool) -> None:
        found = await _asked(pool)
        with pytest.raises(Disconnected):
            await _whole(found)
        found.close()

    _with(Server(answer, hang_up=True), work)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * (MOST_HEAD_BYTES + 70_000) + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: a\r\n" * 10 + b"".join(b"x%d: a\r\n" % n for n in range(300)) + b"\r\n",
        b"",
    ],
    ids=["another protocol", "no length", "two lengths", "upgrade", "long head", "many headers", "nothing"],
)
def test_what_is_no_answer_is_told(answer: bytes) -> None:
    async def work(pool: Pool) -> None:
        with pytest.raises(OSError):
            await _asked(pool)

    _with(Server(answer, hang_up=True), work)


def test_what_follows_a_body_changes_nothing_and_is_bounded() -> None:
    ended = b"HTTP/1.1 200 OK\r\nretry-after: 1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"

    async def work(pool: Pool) -> None:
        found = await _asked(pool)
        assert (await _whole(found), found.headers["retry-after"]) == (b"hello", "1")

    _with(Server(ended + b"retry-after: 9\r\n\r\n"), work)

    async def endless(pool: Pool) -> None:
        found = await _asked(pool)
        with pytest.raises(Disconnected):
            await _whole(found)

    _with(Server(ended + b"x: " + b"a" * (4 << 20)), endless)


def test_nothing_is_asked_once_all_is_closed() -> None:
    async def work(pool: Pool) -> None:
        pool.close()
        with pytest.raises(Disconnected):
            await _asked(pool)

    _with(Server(), work)


def test_who_waits_for_a_connection_has_sent_nothing() -> None:
    sent: list[int] = []

    async def work(pool: Pool) -> None:
        async def ask(number: int) -> None:
            head = pool.head("/chat", {})
            await pool.post(head, b"{}", timeout_s=10.0, sent=lambda: sent.append(number))

        asking = [asyncio.ensure_future(ask(number)) for number in range(2)]
        await _until(lambda: bool(server.asked))
        assert sent == [0]
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)

    server = Server(b"")
    _with(server, work, most=1)


def test_what_nobody_asked_for_is_given_to_nobody() -> None:
    server = Server(HELLO + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")

    async def work(pool: Pool) -> None:
        for _ in range(3):
            assert await _whole(await _asked(pool)) == b"hello"
            await asyncio.sleep(0.01)

    _with(server, work)
    assert server.n_connections == 3


def test_what_comes_late_and_unasked_is_given_to_nobody() -> None:
    server = Server()

    async def work(pool: Pool) -> None:
        assert await _whole(await _asked(pool)) == b"hello"
        server.writers[0].write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        await server.writers[0].drain()
        await asyncio.sleep(0.05)
        assert await _whole(await _asked(pool)) == b"hello"

    _with(server, work)
    assert server.n_connections == 2


def test_a_connection_that_was_closed_while_idle_is_not_used() -> None:
    server = Server(hang_up=True)

    async def work(pool: Pool) -> None:
        for _ in range(3):
            assert await _whole(await _asked(pool)) == b"hello"
            await asyncio.sleep(0.05)

    _with(server, work)
    assert server.n_connections == 3


def test_no_more_connections_than_allowed_and_everybody_gets_a_turn() -> None:
    server = Server(pause_s=0.005)

    async def work(pool: Pool) -> None:
        async def one() -> bytes:
            return await _whole(await _asked(pool))

        assert await asyncio.gather(*(one() for _ in range(40))) == [b"hello"] * 40

    _with(server, work, most=3)
    assert server.n_connections == 3


def test_turns_pass_on_where_connections_break_and_callers_go() -> None:
    server = Server(HELLO.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"), hang_up=True, pause_s=0.002)

    async def work(pool: Pool) -> None:
        async def one(number: int) -> bytes:
            wait_s = 0.001 if number % 3 == 0 else 10.0
            return await _whole(await _asked(pool, timeout_s=wait_s))

        found = await asyncio.gather(*(one(number) for number in range(40)), return_exceptions=True)
        patient = [one for number, one in enumerate(found) if number % 3]
        assert patient == [b"hello"] * len(patient)
        assert await one(1) == b"hello"

    _with(server, work, most=2)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"])
def test_time_ends_for_an_answer_that_does_not_come_to_its_end(answer: bytes) -> None:
    server = Server(answer)

    async def work(pool: Pool) -> None:
        with pytest.raises(TimeoutError):
            await _whole(await _asked(pool, timeout_s=0.05))
        await asyncio.sleep(0.05)

    _with(server, work)
    assert server.n_gone == 1


def test_whoever_leaves_ends_the_other_sides_work() -> None:
    server = Server(b"")

    async def work(pool: Pool) -> None:
        asking = asyncio.ensure_future(_asked(pool))
        await _until(lambda: bool(server.asked))
        asking.cancel()
        await asyncio.wait({asking})
        await _until(lambda: server.n_gone == 1)

    _with(server, work)


def test_a_slow_reader_makes_the_sender_wait() -> None:
    n_bytes = 40 << 20

    class Large(Server):
        n_sent = 0

        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % n_bytes)
            while self.n_sent < n_bytes:
                writer.write(bytes(1 << 20))
                await writer.drain()
                self.n_sent += 1 << 20
            await reader.read()
            writer.close()

    server = Large()

    async def work(pool: Pool) -> None:
        answer = await _asked(pool)
        await asyncio.sleep(0.2)
        assert server.n_sent < n_bytes // 2
        assert len(await _whole(answer)) == n_bytes

    _with(server, work)


def test_an_early_refusal_of_a_long_question_closes_its_connection() -> None:
    class Refusing(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.n_connections += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
            await writer.drain()
            await asyncio.Event().wait()  # reads nothing more, and hangs up never

    server = Refusing()

    async def work(pool: Pool) -> None:
        for _ in range(2):
            answer = await _asked(pool, bytes(30 << 20))
            assert (answer.status, await _whole(answer)) == (413, b"no")

    _with(server, work, most=1)
    assert server.n_connections == 2


@pytest.mark.parametrize("value", ["k\r\nx-evil: 1", "k\n", "clé", "a\x00"])
def test_a_header_that_would_be_two_is_refused_and_not_repeated(value: str) -> None:
    async def work(pool: Pool) -> None:
        with pytest.raises(ValueError, match="'authorization' cannot be sent") as refused:
            pool.head("/chat", {"authorization": value})
        assert value not in str(refused.value)

    _with(Server(), work)


def test_nobody_there_is_an_error_of_the_network() -> None:
    async def work(_pool: Pool) -> None:
        nobody = Pool("http://127.0.0.1:9/v1", most=1, connect_timeout_s=5.0)
        for _ in range(2):  # the second finds the place free again
            with pytest.raises(OSError):
                await nobody.post(nobody.head("/chat", {}), b"{}", timeout_s=5.0)

    _with(Server(), work)


@pytest.mark.parametrize("is_trusted", [True, False])
def test_only_a_certificate_that_is_trusted_is_spoken_to(
    is_trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, _ = certificate(tmp_path)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    server = Server()

    async def run() -> bytes:
        listening = await asyncio.start_server(server.connected, "localhost", 0, ssl=context)
        port = listening.sockets[0].getsockname()[1]
        pool = Pool(f"https://localhost:{port}/v1", most=1, connect_timeout_s=5.0)
        try:
            return await _whole(await _asked(pool))
        finally:
            pool.close()
            listening.close()
            await server.close()

    http_client.verified.cache_clear()
    try:
        if is_trusted:
            assert asyncio.run(run()) == b"hello"
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                asyncio.run(run())
    finally:
        http_client.verified.cache_clear()
    assert len(server.asked) == is_trusted


def test_idle_connections_are_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "KEPT_S", 0.05)
    server = Server()

    async def work(pool: Pool) -> None:
        assert await _whole(await _asked(pool)) == b"hello"
        await _until(lambda: server.n_gone == 1)
        assert await _whole(await _asked(pool)) == b"hello"

    _with(server, work)
    assert server.n_connections == 2
