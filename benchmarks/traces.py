"""Steps of traces: how many a second are durable once acknowledged, and how long a search takes.

    python benchmarks/traces.py               # beside MLflow and Phoenix, about 6 minutes on 2 cores
    python benchmarks/traces.py --alone       # without them
    python benchmarks/traces.py --spans 100000

Each server runs in one process on one core, and takes the same requests by OTLP: 512 chats of about 700 bytes
each, from two connections on the other core. Headrace acknowledges when they are on disk, redacted; the
others' stores are SQLite. Phoenix acknowledges before it stores, so of it those steps count that are in its
database, and the time until they are. Rounds take turns. Then a table is filled and searched by operation,
failure, model and time. Phoenix is installed on first use below ``HEADRACE_BENCH`` (default:
``~/.cache/headrace-bench``).

Prints steps a second (bar: 20,000, 8 times MLflow's, and 100 times Phoenix's), the time from sending a step
to finding it (bar: a second), and of searching a million (bar: 95 % within 200 ms). Ends with 1 if a bar is
missed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import socket
from typing import Any

import httpx
from _peers import environment
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headrace.app.composition import open_app
from headrace.core.record import Span
from headrace.monitoring.ingest import spans_table
from headrace.monitoring.spans import Wanted, search, span_rows
from headrace.store.records import Received
from headrace.testing import make_project, make_settings

PROJECT = "desk"
A_REQUEST, CONNECTIONS, ROUND_S, ROUNDS = 512, 2, 8.0, 3
MOST_FRESH_S, MOST_SEARCH_MS, FEWEST_A_SECOND = 1.0, 200.0, 20_000.0
FEWEST_TIMES = {"MLflow": 8.0, "Phoenix": 100.0}
PHOENIX_REQUESTS, PATIENCE_S = 8, 120.0
SAID = {
    "gen_ai.input.messages": "Is the flight UA 7 from Newark to Chicago on time today, and if not, which one "
    "is the next that I can take?",
    "gen_ai.output.messages": "It is late by 40 minutes. The next one is UA 1507 at 11:15, with seats left.",
}
Send = Callable[[bytes], int]


def request(number: int) -> bytes:
    """512 chats of 128 traces."""
    made = ExportTraceServiceRequest()
    scope = made.resource_spans.add().scope_spans.add()
    begin = time.time_ns()
    for index in range(A_REQUEST):
        span = scope.spans.add()
        span.trace_id = (number * A_REQUEST + index // 4 + 1).to_bytes(16, "big")
        span.span_id = (number * A_REQUEST + index + 1).to_bytes(8, "big")
        span.name = "chat small"
        span.start_time_unix_nano, span.end_time_unix_nano = begin, begin + 100_000_000
        texts = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
        texts |= {"gen_ai.request.model": "small", "gen_ai.conversation.id": f"c-{index}"}
        for name, text in SAID.items():
            message = {"role": "user", "parts": [{"type": "text", "content": text}]}
            texts[name] = json.dumps([message])
        for name, text in texts.items():
            pair = span.attributes.add()
            pair.key, pair.value.string_value = name, text
        for name, count in (("gen_ai.usage.input_tokens", 412), ("gen_ai.usage.output_tokens", 37)):
            pair = span.attributes.add()
            pair.key, pair.value.int_value = name, count
    encoded: bytes = made.SerializeToString()
    return encoded


@contextmanager
def process(command: list[str], environment: dict[str, str], health: str) -> Iterator[None]:
    """A server on the first core, until the block ends."""
    pinned = ["taskset", "-c", "0", *command] if os.cpu_count() != 1 else command
    running = subprocess.Popen(
        pinned, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        for _ in range(600):
            try:
                if httpx.get(health).status_code < 500:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        else:
            raise SystemExit(f"{command[0]} did not answer at {health}")
        yield
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(30)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def steps_a_second(url: str, headers: dict[str, str], bodies: list[bytes]) -> float:
    """What is acknowledged in a round."""
    ends_s = time.perf_counter() + ROUND_S

    def send(connection: int) -> int:
        n_sent = 0
        with httpx.Client(headers=headers | {"content-type": "application/x-protobuf"}, timeout=60) as client:
            while time.perf_counter() < ends_s:
                body = bodies[(connection + n_sent * CONNECTIONS) % len(bodies)]
                client.post(url, content=body).raise_for_status()
                n_sent += 1
        return n_sent

    began_s = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        n_requests = sum(threads.map(send, range(CONNECTIONS)))
    return n_requests * A_REQUEST / (time.perf_counter() - began_s)


def stored_a_second(url: str, database: Path, first: int) -> float:
    """Of Phoenix: requests one after the other, until all of their steps are in its database."""
    before, began_s = _stored(database), time.perf_counter()
    with httpx.Client(headers={"content-type": "application/x-protobuf"}, timeout=60) as client:
        for number in range(first, first + PHOENIX_REQUESTS):
            while client.post(url, content=request(number)).status_code in (429, 503):  # its queue is full
                time.sleep(0.05)
    n_sent = PHOENIX_REQUESTS * A_REQUEST
    while (n_stored := _stored(database) - before) < n_sent:
        if time.perf_counter() - began_s > PATIENCE_S:
            break
        time.sleep(0.05)
    return n_stored / (time.perf_counter() - began_s)


def _stored(database: Path) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM spans").fetchone()[0])


def fresh_s(url: str, headers: dict[str, str], api: str) -> float:
    """From sending a step to finding it."""
    marked = ExportTraceServiceRequest.FromString(request(10_000_000 + int(time.time()) % 1_000_000))
    span = marked.resource_spans[0].scope_spans[0].spans[0]
    del marked.resource_spans[0].scope_spans[0].spans[1:]
    began_s = time.perf_counter()
    given = headers | {"content-type": "application/x-protobuf"}
    httpx.post(url, content=marked.SerializeToString(), headers=given).raise_for_status()
    asked = httpx.get(f"{api}/{span.trace_id.hex()}", headers=headers, timeout=60)
    asked.raise_for_status()
    return time.perf_counter() - began_s


def search_ms(home: Path, n_spans: int) -> list[float]:
    """Searches of a table of so many steps."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    with open_app(make_settings(home)) as app:
        tables, table = app.store.tables, spans_table(PROJECT)
        for start in range(0, n_spans, 50_000):
            rows = [
                Received(begin, "ada", _step(n, begin)) for n in range(start, min(start + 50_000, n_spans))
            ]
            tables.append(table, span_rows(rows))
        asked = [
            Wanted(errors=True),
            Wanted(operation="execute_tool"),
            Wanted(model="rare"),
            Wanted(conversation=f"c-{n_spans // 16}"),
            Wanted(since=begin + timedelta(milliseconds=n_spans * 2 // 3)),
        ]
        taken = []
        for _ in range(8):
            for wanted in asked:
                began_s = time.perf_counter()
                assert search(tables, table, wanted, limit=50)
                taken.append((time.perf_counter() - began_s) * 1000)
    return sorted(taken)


def _step(number: int, begin: datetime) -> Span:
    at = begin + timedelta(milliseconds=number)
    given: dict[str, Any] = {
        "gen_ai.operation.name": "chat" if number % 20 else "execute_tool",
        "gen_ai.request.model": "small" if number % 5_000 else "rare",
        "gen_ai.conversation.id": f"c-{number // 8}",
        "gen_ai.usage.input_tokens": 412,
        **SAID,
    }
    if number % 1_000 == 7:
        given["error.type"] = "Timeout"
    return Span(
        trace_id=f"{number // 4:032x}",
        span_id=f"{number:016x}",
        parent_id=None,
        name="chat small",
        started_at=at,
        ended_at=at + timedelta(milliseconds=90),
        attributes=given,
    )


@contextmanager
def headrace(home: Path) -> Iterator[tuple[str, dict[str, str], str]]:
    """Its server: where to send, with which headers, and where to ask."""
    with open_app(make_settings(home)) as app:
        app.me()
        app.store.projects.save(make_project(name=PROJECT), str(home))
        token = app.tokens.issue(app.me())
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "headrace", "up", "--port", str(port)]
    with process(command, {"HEADRACE_HOME": str(home), "HEADRACE_USER": "ada"}, f"{url}/healthz"):
        given = {"authorization": f"Bearer {token}", "headrace-project": PROJECT}
        yield f"{url}/otlp/v1/traces", given, f"{url}/api/v1/projects/{PROJECT}/traces"


@contextmanager
def mlflow(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Its server, with one worker."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1"),
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.sqlite", "--artifacts-destination", str(folder),
    ]  # fmt: skip
    with process(command, {}, f"{url}/health"):
        yield f"{url}/v1/traces", {"x-mlflow-experiment-id": "0"}


@contextmanager
def phoenix(folder: Path) -> Iterator[tuple[str, Path]]:
    """Its server, and its database."""
    port, grpc = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    program = environment("phoenix", ("arize-phoenix",)) / "bin/phoenix"
    settings = {"PHOENIX_WORKING_DIR": str(folder), "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(port)}
    settings |= {"PHOENIX_GRPC_PORT": str(grpc), "PHOENIX_TELEMETRY_ENABLED": "false"}
    with process([str(program), "serve"], settings, f"{url}/healthz"):
        yield f"{url}/v1/traces", folder / "phoenix.db"


def main() -> None:
    """Measure, print, and say whether the bars hold."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--alone", action="store_true", help="without MLflow and Phoenix")
    arguments.add_argument("--spans", type=int, default=1_000_000, help="in the table that is searched")
    asked = arguments.parse_args()
    bodies = [request(number) for number in range(64)]
    if hasattr(os, "sched_setaffinity") and os.cpu_count() != 1:
        os.sched_setaffinity(0, {1})
    ours: list[float] = []
    theirs: dict[str, list[float]] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url, given, api = stack.enter_context(headrace(Path(folder) / "home"))
        if not asked.alone:
            their_url, their_given = stack.enter_context(mlflow(Path(folder)))
            phoenix_url, database = stack.enter_context(phoenix(Path(folder) / "phoenix"))
        for number in range(ROUNDS):
            ours.append(steps_a_second(url, given, bodies))
            if not asked.alone:
                theirs.setdefault("MLflow", []).append(steps_a_second(their_url, their_given, bodies))
                first = 1_000 + number * PHOENIX_REQUESTS
                theirs.setdefault("Phoenix", []).append(stored_a_second(phoenix_url, database, first))
        fresh = sorted(fresh_s(url, given, api) for _ in range(20))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    with tempfile.TemporaryDirectory() as folder:
        searched = search_ms(Path(folder), asked.spans)
    rate, found_s, search_p95_ms = statistics.median(ours), fresh[-2], searched[int(len(searched) * 0.95) - 1]
    held = [rate >= FEWEST_A_SECOND, found_s <= MOST_FRESH_S, search_p95_ms <= MOST_SEARCH_MS]
    print(f"steps durable on acknowledgement, one core: {rate:,.0f}/s (bar {FEWEST_A_SECOND:,.0f})")
    for name, rates in theirs.items():
        median = statistics.median(rates)
        held.append(rate >= FEWEST_TIMES[name] * median)
        print(f"  {name} {median:,.0f}/s: {rate / median:.1f} times (bar {FEWEST_TIMES[name]:.0f})")
    print(f"sent to found, p95 of 20: {found_s:.2f} s (bar {MOST_FRESH_S:.0f})")
    print(f"search of {asked.spans:,} steps, p95 of 40: {search_p95_ms:.0f} ms (bar {MOST_SEARCH_MS:.0f})")
    raise SystemExit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
