"""What a call to a provider costs this side of the socket: processor time, and memory of open streams.

    python benchmarks/upstream.py                    # 16 connections, 8,000 calls, 10,000 open streams
    python benchmarks/upstream.py --calls 2000 --streams 1000 --json

The provider is scripted (`headrace.testing.ScriptedLLM`), in a process of its own; nothing is governed here,
so that this is the part of the upstream alone. `benchmarks/gateway.py` measures the whole way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop

from headrace.core.clock import SystemClock
from headrace.gateway.llm.upstream import Endpoint, Question, Target, Upstreams
from headrace.testing import ScriptedLLM
from headrace.testing.scripted_answers import Answer

PATH = "/chat/completions"
BODY = b'{"model":"m","messages":[{"role":"user","content":"Where is my parcel?"}]}'
STREAM = BODY[:-1] + b',"stream":true}'
TARGETS = [Target("scripted", "m")]
N_CHUNKS = 20
_AT_ONCE = 200
"""Streams that are opened together: a listener's queue is not endless."""
_context = multiprocessing.get_context("spawn")


def _many_files() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def serve(pipe: Connection, answer: Answer) -> None:
    """Answer until told to stop."""
    _many_files()
    with ScriptedLLM(answer) as llm:
        pipe.send(llm.port)
        pipe.recv()


async def _cpu_us(one: Callable[[], Awaitable[None]], n_calls: int, at_once: int) -> dict[str, int]:
    async def several(n: int) -> None:
        for _ in range(n):
            await one()

    await asyncio.gather(*(several(1) for _ in range(at_once)))
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    await asyncio.gather(*(several(n_calls // at_once) for _ in range(at_once)))
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    return {"cpu_us": round(cpu_s / n_calls * 1e6), "per_s": round(n_calls / wall_s)}


async def calls(port: int, n_calls: int, at_once: int) -> dict[str, Any]:
    """Processor time of whole answers and of streams."""
    upstreams = _upstreams(port)

    async def whole() -> None:
        assert (await upstreams.call(Question(TARGETS, PATH, lambda _: BODY))).status == 200

    async def stream() -> None:
        answer = await upstreams.begin(Question(TARGETS, PATH, lambda _: STREAM))
        assert len([data async for data in answer]) == N_CHUNKS + 3
        await upstreams.end(answer)

    found = {
        "whole": await _cpu_us(whole, n_calls, at_once),
        "stream": await _cpu_us(stream, n_calls, at_once),
    }
    await upstreams.close()
    return found


async def open_streams(port: int, n_streams: int) -> float:
    """Memory of each of so many streams that stay open; KB."""
    upstreams, stop, opened = _upstreams(port), asyncio.Event(), asyncio.Semaphore(0)

    async def one() -> None:
        answer = await upstreams.begin(Question(TARGETS, PATH, lambda _: STREAM))
        await anext(aiter(answer))
        opened.release()
        await stop.wait()
        await upstreams.end(answer)

    tasks = [asyncio.create_task(one())]
    await opened.acquire()
    before_kb = _memory_kb()
    while len(tasks) < n_streams:
        more = min(_AT_ONCE, n_streams - len(tasks))
        tasks += [asyncio.create_task(one()) for _ in range(more)]
        for _ in range(more):
            await opened.acquire()
    each_kb = (_memory_kb() - before_kb) / n_streams
    stop.set()
    await asyncio.gather(*tasks)
    await upstreams.close()
    return round(each_kb, 1)


def _upstreams(port: int) -> Upstreams:
    endpoint = Endpoint(
        name="scripted", base_url=f"http://127.0.0.1:{port}/v1", max_connections=10_000, idle_timeout_s=600
    )
    return Upstreams({"scripted": endpoint}, lambda _: "", SystemClock())


def _memory_kb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1000


def _with(answer: Answer, work: Callable[[int], Any]) -> Any:
    ours, theirs = _context.Pipe()
    process = _context.Process(target=serve, args=(theirs, answer))
    process.start()
    try:
        return uvloop.run(work(ours.recv()))
    finally:
        ours.send("stop")
        process.join(10)
        process.kill()


def main() -> int:
    """Measure, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=8_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--streams", type=int, default=10_000, help="That are open at once.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    options = parser.parse_args()
    _many_files()
    pieces = tuple(f" piece{i}" for i in range(N_CHUNKS))
    found = _with(Answer(pieces=pieces), lambda port: calls(port, options.calls, options.connections))
    found["open_stream_kb"] = _with(Answer(stall_after=2), lambda port: open_streams(port, options.streams))
    if options.json:
        print(json.dumps(found))
    else:
        for kind in ("whole", "stream"):
            print(f"{kind:7} {found[kind]['cpu_us']:5} us of processor, {found[kind]['per_s']:6}/s")
        print(f"an open stream: {found['open_stream_kb']} KB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
