"""What was answered is in the log, whatever happened to the server in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from headrace.access.identities import Identities
from headrace.core.clock import SystemClock
from headrace.core.release import Route
from headrace.store import open_store
from headrace.store.records import decode_prediction
from headrace.testing.factories import make_settings, make_tokens
from tests.serving.scene import ROW

KILLS = 3
CONNECTIONS = 16
SILENCE_S = 120.0
"""A server that answers nothing for so long hangs; how fast it answers is not what is tested."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one identity and one live release."""
    path = tmp_path / "home"
    store = open_store(make_settings(path), SystemClock())
    Identities(store.principals, store.audit, store.epoch, SystemClock()).add(
        "caller", ["operator"], actor="root"
    )
    store.rollouts.set_route(Route(project="cars", live="r1"))
    store.close()
    return path


def _token(home: Path) -> str:
    store = open_store(make_settings(home), SystemClock())
    try:
        return make_tokens(home / "keys", SystemClock()).issue(store.principals.get("caller"))
    finally:
        store.close()


def _logged(home: Path) -> list[str]:
    store = open_store(make_settings(home), SystemClock())
    try:
        return [
            decode_prediction(record).id
            for segment in store.events.segments("cars/predictions")
            for record in store.events.read("cars/predictions", segment.name, 0, 10_000_000)[0]
        ]
    finally:
        store.close()


@contextlib.contextmanager
def _running(home: Path, root: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    command = [sys.executable, "-m", "tests.serving.crash_server", str(home)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


async def _ask(port: int, request: bytes, answered: asyncio.Queue[str], enough: asyncio.Event) -> None:
    """One connection: asks again and again, notes each id that was answered, until cut off."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return
    try:
        while not enough.is_set():
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
            answered.put_nowait(json.loads(await reader.readexactly(length))["id"])
    except (ConnectionError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _load(
    port: int, token: str, n_answers: int, kill: tuple[subprocess.Popen[bytes], float] | None = None
) -> list[str]:
    """Busy connections until there are ``n_answers``, however long a loaded machine takes for them; with
    ``kill``, the process is ended by ``kill -9`` so many seconds later, while they are busy."""
    datatypes = {"mileage": "FP64", "model": "BYTES", "leased": "BOOL"}
    tensors = [
        {"name": name, "shape": [1], "datatype": datatypes[name], "data": values}
        for name, values in ROW.items()
    ]
    body = json.dumps({"inputs": tensors}).encode()
    head = (
        f"POST /v2/models/cars/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    answered: asyncio.Queue[str] = asyncio.Queue()
    enough = asyncio.Event()
    asking = asyncio.gather(*(_ask(port, head.encode() + body, answered, enough) for _ in range(CONNECTIONS)))
    ids = [await _next(answered, asking) for _ in range(n_answers)]
    if kill is None:
        enough.set()
    else:
        process, later_s = kill
        await asyncio.sleep(later_s)
        process.send_signal(signal.SIGKILL)
    await asyncio.wait_for(asking, SILENCE_S)
    return ids + [answered.get_nowait() for _ in range(answered.qsize())]


async def _next(answered: asyncio.Queue[str], asking: asyncio.Future[list[None]]) -> str:
    """The next answer; if all connections ended before it, whatever ended them."""
    coming = asyncio.ensure_future(answered.get())
    await asyncio.wait((coming, asking), timeout=SILENCE_S, return_when=asyncio.FIRST_COMPLETED)
    if not coming.done():
        coming.cancel()
        if asking.done():
            asking.result()
        raise AssertionError("The server ended by itself, or answered nothing any more.")
    return coming.result()


@pytest.mark.slow
@pytest.mark.journey
@pytest.mark.requirement("SRV-06")
@pytest.mark.requirement("MON-06")
def test_what_was_answered_survives_kill_9_under_load(home: Path, project_root: Path) -> None:
    generator = np.random.default_rng(0)
    answered: list[str] = []
    token = _token(home)
    for kill in range(KILLS):
        with _running(home, project_root) as (process, port):
            n_answers, later_s = int(generator.integers(20, 200)), float(generator.uniform(0.0, 0.01))
            answered += asyncio.run(_load(port, token, n_answers, (process, later_s)))
        logged = _logged(home)
        assert set(answered) <= set(logged)
        assert len(logged) == len(set(logged))
        # What a killed server had stored and not yet answered is at most what was under way.
        assert len(logged) - len(answered) <= CONNECTIONS * (kill + 1)
    assert len(answered) >= 20 * KILLS


@pytest.mark.slow
@pytest.mark.journey
@pytest.mark.requirement("SRV-06")
def test_an_orderly_end_leaves_exactly_what_was_answered(home: Path, project_root: Path) -> None:
    with _running(home, project_root) as (process, port):
        answered = asyncio.run(_load(port, _token(home), 200))
        process.send_signal(signal.SIGTERM)
        process.wait(SILENCE_S)
    assert sorted(answered) == sorted(_logged(home))
    assert len(answered) >= 200
