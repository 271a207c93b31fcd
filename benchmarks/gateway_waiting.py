"""What the gateway adds while a model takes its time, and what many open streams take of memory.

    python benchmarks/gateway_waiting.py            # about 6 minutes on 2 cores
    python benchmarks/gateway_waiting.py --quick    # one short round
    python benchmarks/gateway_waiting.py --alone    # without LiteLLM

First a scripted model on 127.0.0.1 answers after 50 ms, whole and in 20 pieces, to 1, 16 and 64 connections:
the median and the 99th percentile of a call, and of a whole stream, less those of the model asked directly.
Then each of 10,000 connections asks for a stream of which the model gives one piece and no more: what the
gateway's process has in memory (its resident set) while all of them are open, and what it had before. Each
takes two open files of the gateway; where fewer are allowed, fewer streams are opened, and what 10,000 would
take is worked out from them and said to be.
Servers are started and pinned as in ``benchmarks/gateway.py``; rounds take turns; medians are printed.

Ends with 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _gateways import OTHER, Gateway, drive, litellm, prepare, scripted, up

DELAY_S = 0.05
CONNECTIONS = (1, 16, 64)
MOST_ADDED_MS = {False: (2.0, 8.0), True: (4.0, 20.0)}
"""At the median and at the 99th percentile: of a call, and of a stream."""
STREAMS, MOST_MB = 10_000, 500.0
AT_ONCE = 64
"""Streams that are opened at a time."""
FILES_A_STREAM, OTHER_FILES = 2, 1_000


class Added(NamedTuple):
    """Milliseconds at the median and at the 99th percentile."""

    p50: float
    p99: float


def added(
    rounds: int, seconds: float, peers: bool, connections: tuple[int, ...]
) -> dict[str, dict[str, Added]]:
    """What each gateway adds, by kind of call and connections; medians of rounds."""
    import uvloop

    taken: dict[str, dict[tuple[bool, int], list[tuple[float, float]]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-")))
        model = stack.enter_context(scripted(delay_s=DELAY_S))
        servers = [model, stack.enter_context(up(folder / "home", prepare(folder / "home", model.port)))]
        if peers:
            servers.append(stack.enter_context(litellm(folder, model.port)))
        os.sched_setaffinity(0, {OTHER})
        for number in range(-1, rounds):
            for many in connections:
                for stream in (False, True):
                    for server in servers:
                        for_s = seconds if number >= 0 else 0.5
                        load = uvloop.run(drive(server, many, for_s, stream=stream))
                        if number >= 0:
                            p50, p99 = np.percentile(load.calls_ms, [50, 99])
                            taken.setdefault(server.name, {}).setdefault((stream, many), []).append(
                                (p50, p99)
                            )
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    direct = taken.pop("the model")
    return {
        server: {_named(*what): _less(found, direct[what]) for what, found in rows.items()}
        for server, rows in taken.items()
    }


def _named(stream: bool, many: int) -> str:
    return f"{'stream' if stream else 'call'}, {many}"


def _less(found: list[tuple[float, float]], direct: list[tuple[float, float]]) -> Added:
    medians = [statistics.median(one) for one in zip(*found, strict=True)]
    without = [statistics.median(one) for one in zip(*direct, strict=True)]
    return Added(*(a - b for a, b in zip(medians, without, strict=True)))


class Held(NamedTuple):
    """Streams that were open at once, and the gateway's memory in MB before and then."""

    streams: int
    before_mb: float
    open_mb: float

    def of(self, n_streams: int) -> float:
        """What so many take in MB, if each takes the same."""
        return self.before_mb + (self.open_mb - self.before_mb) * n_streams / self.streams


def held(n_streams: int) -> Held:
    """Open so many streams, wait for the first piece of each, and look."""
    import uvloop

    n_streams = _allowed(n_streams)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-")))
        model = stack.enter_context(scripted(stall_after=2))
        gateway = stack.enter_context(up(folder / "home", prepare(folder / "home", model.port)))
        return uvloop.run(_hold(gateway, n_streams))


async def _hold(gateway: Gateway, n_streams: int) -> Held:
    writers: list[asyncio.StreamWriter] = []
    gate = asyncio.Semaphore(AT_ONCE)

    async def begin(number: int) -> None:
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writers.append(writer)
            writer.write(gateway.request(number, stream=True))
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"stream {len(writers)}: {head!r} {await reader.read(500)!r}")
            await reader.readuntil(b"data: ")

    await begin(0)  # what is loaded with the first is no matter of streams
    before_mb = _resident_mb(gateway)
    await asyncio.gather(*(begin(number) for number in range(1, n_streams)))
    found = Held(len(writers), before_mb, _resident_mb(gateway))
    for writer in writers:
        writer.close()
    return found


def _allowed(n_streams: int) -> int:
    """As many of these streams as the open files allow that a process started here may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_A_STREAM * n_streams + OTHER_FILES
    if soft < wanted:
        with contextlib.suppress(ValueError, PermissionError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return min(n_streams, (soft - OTHER_FILES) // FILES_A_STREAM)


def _resident_mb(gateway: Gateway) -> float:
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(kilobytes) / 1000


def show(found: dict[str, dict[str, Added]], streams: Held) -> int:
    """Print each bar; returns 1 if one is missed."""
    missed = 0
    for what, one in found["Headrace"].items():
        p50, p99 = MOST_ADDED_MS[what.startswith("stream")]
        holds = one.p50 <= p50 and one.p99 <= p99
        missed |= not holds
        others = "".join(
            f"   {name} {rows[what].p50:.2f} / {rows[what].p99:.2f}"
            for name, rows in found.items()
            if name != "Headrace"
        )
        print(
            f"added, {what:10} p50 / p99 {one.p50:6.2f} / {one.p99:6.2f} ms   bar <= {p50:g} / {p99:g}  "
            f"{'holds' if holds else 'MISSED'}{others}"
        )
    wanted_mb = streams.of(STREAMS)
    holds = wanted_mb <= MOST_MB
    print(
        f"{streams.streams:,} open streams: {streams.open_mb:.0f} MB; one alone: {streams.before_mb:.0f} MB"
    )
    worked_out = "" if streams.streams >= STREAMS else ", worked out from these"
    print(
        f"{STREAMS:,} open streams{worked_out}: {wanted_mb:.0f} MB   bar <= {MOST_MB:.0f}  "
        f"{'holds' if holds else 'MISSED'}"
    )
    return int(missed or not holds)


def main() -> int:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--alone", action="store_true", help="without LiteLLM")
    parser.add_argument("--streams", type=int, default=STREAMS, help="open at once")
    parser.add_argument("--json", action="store_true", help="numbers only")
    options = parser.parse_args()
    rounds, seconds = (1, 3.0) if options.quick else (3, 8.0)
    found = added(rounds, seconds, not options.alone, CONNECTIONS)
    streams = held(options.streams)
    if options.json:
        named = {
            server: {what: one._asdict() for what, one in rows.items()} for server, rows in found.items()
        }
        print(json.dumps({"added_ms": named, "streams": streams._asdict()}, indent=2))
        return 0
    return show(found, streams)


if __name__ == "__main__":
    sys.exit(main())
