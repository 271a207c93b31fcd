"""Kills a server under load again and again, and counts acknowledged answers that are not in the log.

Each time a server of its own process - the protocol, access, a LightGBM model of 200 trees and the log of
`benchmarks/serving.py`, with answers acknowledged once they are stored - answers 16 busy connections until it
is killed (SIGKILL) at a random moment. Then the log is read as any reader reads it.

    python benchmarks/kills.py               # 100 kills
    python benchmarks/kills.py --times 10 --json

Ends with 1 if an answer is missing, is there twice, or none was given. The bar is 0 missing of 100 kills.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import uvloop

import serving
from headrace.core.clock import SystemClock
from headrace.core.settings import read_settings
from headrace.store import open_store
from headrace.store.records import decode_prediction

PROJECT = "bench-stored"
CONNECTIONS = 16
LATEST_S = 0.5
"""Each server is killed at most so long after its first answer."""


class _Caller(asyncio.Protocol):
    """One connection that keeps the ids it was told, until it is cut off."""

    def __init__(
        self,
        request: bytes,
        acknowledged: list[str],
        first: asyncio.Future[None],
        ended: asyncio.Future[None],
    ) -> None:
        self._request = request
        self._first = first
        self._acknowledged = acknowledged
        self._ended = ended
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]):
            return
        if not head.startswith(b"HTTP/1.1 200") or b"headrace-record: stored" not in head:
            self._transport.close()
            return
        self._acknowledged.append(json.loads(body)["id"])
        if not self._first.done():
            self._first.set_result(None)
        self._buffer = b""
        self._transport.write(self._request)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_result(None)


async def load_until_killed(
    process: subprocess.Popen[str], port: int, request: bytes, later_s: float
) -> list[str]:
    """Busy connections until ``later_s`` after the first answer, when the process is killed; the ids told."""
    loop = asyncio.get_running_loop()
    acknowledged: list[str] = []
    first = loop.create_future()
    ends = [loop.create_future() for _ in range(CONNECTIONS)]
    for ended in ends:
        await loop.create_connection(
            lambda ended=ended: _Caller(request, acknowledged, first, ended),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
    await asyncio.wait([*ends, first], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(later_s)
    process.send_signal(signal.SIGKILL)
    await asyncio.gather(*ends)
    return acknowledged


def logged(home: Path) -> Counter[str]:
    """How often each answer is in the log."""
    store = open_store(read_settings({}, home=home), SystemClock())
    try:
        stream = f"{PROJECT}/predictions"
        found: Counter[str] = Counter()
        for segment in store.events.segments(stream):
            offset = 0
            while True:
                records, offset = store.events.read(stream, segment.name, offset, 10_000)
                if not records:
                    break
                found.update(decode_prediction(record).id for record in records)
        return found
    finally:
        store.close()


def measure(home: Path, times: int) -> dict[str, Any]:
    """Kill so many servers of one home; what was acknowledged, and what of it is missing."""
    token = serving.prepare(read_settings({}, home=home))
    request = serving.request(serving.Way("ours", PROJECT, "record"), token)
    draw = random.Random(0)
    acknowledged: list[str] = []
    for number in range(times):
        command = [sys.executable, serving.__file__, "--serve", "ours", "--home", str(home)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                port = process.stdout.readline()
                if not port:
                    raise SystemExit("The server did not start.")
                acknowledged += uvloop.run(
                    load_until_killed(process, int(port), request, draw.uniform(0.0, LATEST_S))
                )
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {times} killed", end="", file=sys.stderr, flush=True)
    found = logged(home)
    return {
        "kills": times,
        "acknowledged": len(acknowledged),
        "logged": found.total(),
        "missing": sum(name not in found for name in acknowledged),
        "twice": sum(count > 1 for count in found.values()),
    }


def main() -> int:
    """Parse arguments, kill, print; 1 if an acknowledged answer is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-kills-") as folder:
        result = measure(Path(folder), arguments.times)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(
            f"{result['kills']} kills: {result['acknowledged']:,} answers were acknowledged, "
            f"{result['logged']:,} are in the log, {result['missing']} are missing (bar 0), "
            f"{result['twice']} are there twice"
        )
    return 0 if result["acknowledged"] and not result["missing"] and not result["twice"] else 1


if __name__ == "__main__":
    sys.exit(main())
