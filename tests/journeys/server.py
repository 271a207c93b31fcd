"""A running server for journeys, and a client that speaks to it."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx

from tests.journeys.conftest import Shell


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(shell: Shell, *options: str) -> Iterator[str]:
    """``headrace up`` with further ``options`` until the block ends; its address."""
    with served(shell, *options) as said:
        yield said["url"]


@contextmanager
def served(shell: Shell, *options: str) -> Iterator[dict[str, str]]:
    """``headrace up`` until the block ends; what it says of itself, ``url`` and ``sign_in`` among it."""
    for _ in range(3):
        port = free_port()
        process = shell.start(["up", "--json", "--port", str(port), *options])
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("{"), said + process.stdout.read()
        about: dict[str, str] = json.loads(said)
        if _answers(about["url"], process):
            break
        # Another test's process may have taken the port in the meantime: the server has said so and ended.
        process.communicate(timeout=30)
    else:
        raise AssertionError("The server ended three times before it answered.")
    try:
        yield about
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _answers(url: str, process: subprocess.Popen[str]) -> bool:
    """Wait until the server is ready; False when its process has ended."""
    end = time.monotonic() + 90
    with httpx.Client(trust_env=False) as client:
        while process.poll() is None and time.monotonic() < end:
            with suppress(httpx.HTTPError):
                if client.get(f"{url}/readyz").status_code == 200:
                    return True
            time.sleep(0.05)
    assert process.poll() is not None, "The server was not ready within 90 s."
    return False


def client_of(shell: Shell, url: str, name: str) -> httpx.Client:
    """An HTTP client with a fresh token of this identity."""
    token = shell("access", "token", "--as", name).out.strip()
    return httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
    )


def ask(client: httpx.Client, name: str, columns: dict[str, list[object]], row: int) -> dict[str, object]:
    """The answer to one row."""
    answer = client.post(
        f"/api/v1/predict/{name}", json={"columns": {key: [values[row]] for key, values in columns.items()}}
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def rolled_out(
    shell: Shell, client: httpx.Client, name: str, columns: dict[str, list[object]], release_id: str
) -> str:
    """Ask for the last five rows again and again until the rollout has ended; the release's state then."""
    for count in range(1, 2_001):
        ask(client, name, columns, -1 - count % 5)
        if count % 50 == 0:
            state: str = shell("release", "show", release_id, "--json").json["release"]["state"]
            if state in ("live", "aborted"):
                return state
    return state
