"""The kill switch across two server processes of a home."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socket import socket
from typing import Any

import httpx
import pytest

from headrace.core.clock import SystemClock
from tests.pace import until
from tests.web.prompted import HELLO, PROJECT, Desk

WITHIN_S = 1.0
ROUNDS = 5
clock = SystemClock()


@pytest.fixture
def second(desk: Desk) -> Iterator[str]:
    """The address of another process that serves the home of ``desk``."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.web.second_server", str(desk.app.settings.home), str(port)]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as process:
        try:
            until(lambda: process.poll() is not None or _answers(url))
            assert process.poll() is None, "it did not start"
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        httpx.get(url, trust_env=False)
        return True
    return False


@pytest.mark.alone
@pytest.mark.requirement("GRD-12")
def test_a_stop_at_one_server_holds_within_a_second_at_another_process(desk: Desk, second: str) -> None:
    bearer = {"authorization": f"Bearer {desk.token()}"}

    def ask() -> httpx.Response:
        body: Any = {"model": PROJECT, "messages": HELLO}
        return httpx.post(
            f"{second}/v1/chat/completions", json=body, headers=bearer, timeout=30, trust_env=False
        )

    def order(path: str, reason: str) -> None:
        said = {"project": PROJECT, "reason": reason}
        made = httpx.post(f"{desk.url}/api/v1/llm/{path}", json=said, headers=bearer, trust_env=False)
        assert made.status_code in (200, 201), made.text

    took_s = []
    for _ in range(ROUNDS):
        until(lambda: ask().status_code == 200)
        order("stops", "it insults people.")
        begun_s = clock.monotonic_s()
        until(lambda: ask().status_code == 403)
        took_s.append(clock.monotonic_s() - begun_s)
        refused = ask()
        assert "it insults people." in refused.text
        n_asked = len(desk.model.asked)
        assert [ask().status_code for _ in range(3)] == [403] * 3
        assert len(desk.model.asked) == n_asked, "nothing of it has reached the model"
        order("stops/end", "mended")
    # The second is what is promised. Some rounds may be delayed, and no round is fast by chance.
    assert sorted(took_s)[ROUNDS // 2] < WITHIN_S, took_s
