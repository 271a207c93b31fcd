"""A running server for journeys, and a client that speaks to it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.journeys.conftest import Shell


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(shell: Shell) -> Iterator[str]:
    """``headrace up`` until the block ends; its address."""
    port = free_port()
    process = shell.start(["up", "--json", "--port", str(port)])
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("{"), said + process.stdout.read()
        url = str(json.loads(said)["url"])
        with httpx.Client(trust_env=False, transport=httpx.HTTPTransport(retries=20)) as client:
            for _ in range(200):
                try:
                    if client.get(f"{url}/readyz").status_code == 200:
                        break
                except httpx.HTTPError:
                    continue
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=30)


def client_of(shell: Shell, url: str, name: str) -> httpx.Client:
    """An HTTP client with a fresh token of this identity."""
    token = shell("access", "token", "--as", name).out.strip()
    return httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
    )
