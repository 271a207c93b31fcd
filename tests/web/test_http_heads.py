"""Heads of requests: how long they may be and take, and what of them means nothing here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.web.test_http_faults import HEALTH, Lines, statuses
from tests.web.test_http_protocol import BODY


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lines]:
    made = Lines(tmp_path_factory.mktemp("home"))
    yield made
    made.scene.close()


@pytest.mark.parametrize("path", ["/v2/models/cars/infer", "/v2/models/cars/infer?a=b"])
@pytest.mark.parametrize("cut", [0, 160, -40])
def test_an_offer_of_another_protocol_is_passed_over(lines: Lines, path: str, cut: int) -> None:
    async def run() -> None:
        line = lines.connect(quick=True)
        offer = ("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAEAAEAA", "Upgrade: h2c")
        sent = lines.request(path=path)
        sent = sent.replace(b"host: x", b"\r\n".join([one.encode() for one in offer]), 1)
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
