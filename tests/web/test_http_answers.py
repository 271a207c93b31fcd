"""How an answer of the application leaves: whole, in order, and no later than it must."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headrace.serving.wire import Receive, Scope, Send
from tests.web.test_http_protocol import read_answers, serving


def _start(n_bytes: int) -> dict[str, Any]:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % n_bytes)]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def test_a_head_does_not_wait_for_a_body_that_is_late(tmp_path: Path) -> None:
    go_on = threading.Event()

    async def late(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(_start(4))
        await asyncio.to_thread(go_on.wait, 10)
        await send({"type": "http.response.body", "body": b"late"})

    with serving(tmp_path) as live, closing(live.connect()) as link:
        live.scene.app = late  # type: ignore[assignment]  # any application would do
        link.sendall(b"GET /late HTTP/1.1\r\nhost: x\r\n\r\n")
        head = link.recv(65536)
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert head.endswith(b"\r\n\r\n")
        go_on.set()
        assert link.recv(65536) == b"late"


@pytest.mark.parametrize("n_bytes", [0, 1, 1 << 16, (1 << 20) + 1])
def test_a_body_of_any_length_comes_whole_behind_its_head(tmp_path: Path, n_bytes: int) -> None:
    body = bytes(range(256)) * (n_bytes // 256 + 1)

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(_start(n_bytes))
        await send({"type": "http.response.body", "body": body[: n_bytes // 2], "more_body": True})
        await send({"type": "http.response.body", "body": body[n_bytes // 2 : n_bytes]})

    with serving(tmp_path) as live, closing(live.connect()) as link:
        live.scene.app = answer  # type: ignore[assignment]  # any application would do
        for _ in range(2):
            link.sendall(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n")
            assert [said for _, _, said in read_answers(link, 1)] == [body[:n_bytes]]
