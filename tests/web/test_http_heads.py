"""Heads of requests: how long they may be and take, and what of them means nothing here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from tests.pace import times_as_long
from tests.web.test_http_faults import HEALTH, Lines, statuses
from tests.web.test_http_protocol import BODY


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lines]:
    made = Lines(tmp_path_factory.mktemp("home"))
    yield made
    made.scene.close()


@pytest.mark.parametrize("path", ["/v2/models/cars/infer", "/v2/models/cars/infer?a=b"])
@pytest.mark.parametrize("cut", [0, 5, 60, 90, 160, -40])
@pytest.mark.parametrize("written", [str, str.upper, str.lower])
def test_an_offer_of_another_protocol_is_passed_over(
    lines: Lines, path: str, cut: int, written: Callable[[str], str]
) -> None:
    async def run() -> None:
        line = lines.connect(quick=True)
        offer = ("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAEAAEAA", "Upgrade: h2c")
        sent = lines.request(path=path)
        sent = sent.replace(b"host: x", b"\r\n".join([written(one).encode() for one in offer]), 1)
        cut_at = cut or len(sent)
        await line.feed([sent[:cut_at], sent[cut_at:]] * 2, wait=True)
        assert statuses(line) == [200, 200]
        assert not line.wire.closed

    asyncio.run(run())


@pytest.mark.parametrize("begin", ["GET /", "GET / HTTP/1.1\r\nx: ", "GET / HTTP/1.1\r\nx: y\r\nz: "])
def test_a_head_without_end_is_refused(lines: Lines, begin: str) -> None:
    async def run() -> None:
        line = lines.connect(quick=True)
        await line.feed([HEALTH, begin.encode(), *[b"a" * 16_384] * 5], wait=True)
        assert statuses(line) == [200, 431]
        assert line.wire.closed

    asyncio.run(run())


def test_what_follows_a_body_neither_has_no_end_nor_says_who_asks(lines: Lines) -> None:
    n = len(BODY)
    chunked = b"%x\r\n%b\r\n0\r\n" % (n, BODY)

    async def run() -> None:
        line = lines.connect(quick=True)
        sent = lines.request("transfer-encoding: chunked", body=chunked, token="x")
        who = f"authorization: Bearer {lines.token}\r\n\r\n".encode()
        await line.feed([sent.replace(b"authorization", b"x", 1) + who], wait=True)
        assert statuses(line) == [401]
        await line.feed([sent, b"x: ", *[b"a" * 16_384] * 5], wait=False)
        assert line.wire.closed

    asyncio.run(run())


@pytest.mark.parametrize("sent", [b"", b"GET /", b"GET / HTTP/1.1\r\nx: y\r\n"])
def test_who_never_asks_to_the_end_is_not_waited_for(lines: Lines, sent: bytes) -> None:
    async def run() -> None:
        line = lines.connect(quick=True)
        await line.feed([sent], wait=True)
        line.timers.advance(max(line.protocol.timeout_keep_alive, lines.scoring.slowest_s) + 1)
        assert line.wire.closed

    asyncio.run(run())


@pytest.mark.parametrize("sent", [b"\x16\x03\x01", b"GET / HTTP/1.0\nhost: x\n\n"])
def test_what_is_no_http_is_refused_at_once(lines: Lines, sent: bytes) -> None:
    async def run() -> None:
        line = lines.connect(quick=True)
        await line.feed([sent], wait=True)
        assert statuses(line) == [400]

    asyncio.run(run())


@pytest.mark.parametrize("n", [1, 3])
def test_who_has_said_all_gets_every_answer_and_is_left(lines: Lines, n: int) -> None:
    async def run(sent: bytes) -> None:
        line = lines.connect(quick=True)
        line.protocol.data_received(sent)
        stays_open = line.protocol.eof_received()
        assert stays_open
        await line.settle()
        assert statuses(line) == [200] * n
        assert line.wire.closed

    asyncio.run(run(lines.request() * n))
    asyncio.run(run(lines.request(path="/v2/models/cars/infer?a=b") * n))


@pytest.mark.parametrize("rest", ["", "GET /v2"])
def test_who_has_said_all_while_a_row_was_answered_is_left_after_the_last_answer(
    lines: Lines, rest: str
) -> None:
    async def run() -> None:
        line = lines.connect(quick=True)
        behind = rest.encode() or lines.request(path="/v2/models/cars/infer?a=b")
        line.protocol.data_received(lines.request() + behind)
        assert line.protocol.eof_received()
        await line.settle()
        assert statuses(line) == ([200] if rest else [200, 200])
        assert line.wire.closed

    asyncio.run(run())


def test_a_request_in_very_many_pieces_is_not_looked_through_again_with_each(lines: Lines) -> None:
    """A head of twice as many bytes, each by itself, takes twice as long."""

    def sent(n: int) -> bytes:
        return lines.request(f"content-length: {len(BODY)}", f"x: {'y' * n}")

    def come(data: bytes) -> None:
        async def run() -> None:
            line = lines.connect(quick=True)
            await line.feed([data[at : at + 1] for at in range(len(data))], wait=False)
            assert statuses(line) == [200]

        asyncio.run(run())

    assert times_as_long(lambda: come(sent(20_000)), lambda: come(sent(10_000))) < 3


def test_who_ends_within_a_request_or_after_the_answer_is_left(lines: Lines) -> None:
    async def run() -> None:
        for sent in (b"", lines.request()[:-1], lines.request(path="/v2/models/cars/infer?a=b")[:-1]):
            line = lines.connect(quick=True)
            await line.feed([lines.request(), sent], wait=True)
            assert not line.protocol.eof_received()

    asyncio.run(run())
