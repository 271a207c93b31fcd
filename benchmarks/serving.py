"""Single-row answers per second over HTTP, with everything on.

Two servers run on one core: ours, and an empty ASGI application that shows what the HTTP server alone
allows. Clients on the other core keep 64 connections busy. Every one of our requests passes the token
check, the policy, the route and a LightGBM model of 200 trees on 10 columns, and is answered once its
record is on disk.

    python benchmarks/serving.py             # 5 runs of 4 s each, interleaved
    python benchmarks/serving.py --json

Prints requests per second (median of the runs), the processor time of one, latency, and whether every
answer is in the log. On a machine that does other work too, the processor time is the steadier figure.
Peers are not measured here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headrace.access.opening import open_access
from headrace.access.policy import CedarPolicy
from headrace.core.clock import SystemClock
from headrace.core.project import Column
from headrace.core.release import Route
from headrace.core.settings import Settings, read_settings
from headrace.data.encoding import Encoding
from headrace.serving.asgi import InferenceApp
from headrace.serving.handler import Handler
from headrace.serving.models import LoadedModels
from headrace.serving.process import settle
from headrace.serving.recorder import Recorder
from headrace.serving.routes import RouteTable
from headrace.store import open_store
from headrace.testing.factories import make_project
from headrace.training.convert import to_onnx
from headrace.training.package import PackageInfo, build_package, load_scorer

PROJECT = "bench"
N_COLUMNS = 10
N_TREES = 200
CONNECTIONS = 64
BAR_PER_S = 5_000
SERVER_CORE, CLIENT_CORE = 0, 1
_OK = b"HTTP/1.1 200"


def build_model() -> bytes:
    """A package: LightGBM regression, 200 trees, 8 numeric and 2 categorical inputs."""
    from lightgbm import LGBMRegressor

    generator = np.random.default_rng(0)
    n_rows = 5_000
    columns: dict[str, Any] = {f"n{i}": generator.normal(size=n_rows) for i in range(N_COLUMNS - 2)}
    for name in ("c0", "c1"):
        columns[name] = generator.choice(["red", "green", "blue"], size=n_rows).astype(object)
    specs = [Column(name=n, role="categorical" if n[0] == "c" else "numeric") for n in columns]
    encoding = Encoding.fit(columns, specs)
    features = encoding.encode(columns)
    target = features[:, 0] * 3 + np.sin(features[:, 1] * 4) + features[:, 8] + generator.normal(size=n_rows)
    trees = LGBMRegressor(n_estimators=N_TREES, num_threads=1, verbose=-1, random_state=0)
    trees.fit(features, target, categorical_feature=list(encoding.categorical_indexes))
    info = PackageInfo(project=PROJECT, variant="lightgbm", task="regression", target="y")
    return build_package(info, encoding, to_onnx(trees, n_features=N_COLUMNS, task="regression"))


def request_body() -> bytes:
    """One row."""
    inputs = [
        {"name": f"n{i}", "shape": [1], "datatype": "FP64", "data": [0.25 * i]} for i in range(N_COLUMNS - 2)
    ]
    inputs += [{"name": n, "shape": [1], "datatype": "BYTES", "data": ["green"]} for n in ("c0", "c1")]
    return json.dumps({"inputs": inputs}).encode()


def prepare(settings: Settings) -> str:
    """Fill a home with one identity and one live route; returns a token."""
    clock = SystemClock()
    store = open_store(settings, clock)
    package = store.artifacts.put(build_model(), "application/zip")
    access = open_access(store, settings.home / "keys", clock, CedarPolicy())
    principal = access.identities.add("bench", ["operator"], actor="bench")
    store.projects.save(make_project(name=PROJECT), "")
    store.rollouts.set_route(Route(project=PROJECT, live=package.digest))
    token = access.tokens.issue(principal)
    store.close()
    return token


def our_app(settings: Settings) -> InferenceApp:
    """``/v2`` as the product composes it, routes refreshed in the background."""
    clock = SystemClock()
    store = open_store(settings, clock)
    routes = RouteTable(store.rollouts, clock)
    models = LoadedModels(lambda digest: load_scorer(store.artifacts.path(digest)), clock)
    access = open_access(store, settings.home / "keys", clock, CedarPolicy())

    def refresh() -> None:
        routes.refresh()
        models.keep(routes.release_ids())

    def keep_fresh() -> None:
        while True:
            clock.sleep(0.2)
            refresh()

    refresh()
    settle()
    threading.Thread(target=keep_fresh, daemon=True).start()
    handler = Handler(routes, models, Recorder(store.events, clock), clock, access.gatekeeper, access.privacy.rules)
    return InferenceApp(handler, access.gatekeeper)


async def empty_app(_scope: Any, receive: Any, send: Any) -> None:
    """Reads a body and answers nothing of interest."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


def serve(kind: str, home: Path) -> None:
    """Run one server on a core of its own; prints its port once it listens."""
    import socket

    import uvicorn

    os.sched_setaffinity(0, {SERVER_CORE})
    logging.basicConfig(level=logging.WARNING)
    app = our_app(read_settings({}, home=home)) if kind == "ours" else empty_app
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", access_log=False, lifespan="off", log_level="warning"
    )
    print(listener.getsockname()[1], flush=True)
    server = uvicorn.Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


class Running(NamedTuple):
    """A server in a process of its own."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(kind: str, home: Path) -> Iterator[Running]:
    """Start a server; end it afterwards."""
    command = [sys.executable, __file__, "--serve", kind, "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline()
            if not port:
                raise SystemExit(f"The {kind} server did not start.")
            yield Running(int(port), process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


@dataclass
class Load:
    """What the clients saw in one run."""

    answered: int = 0
    failed: int = 0
    cpu_s: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0


class _Client(asyncio.Protocol):
    """One keep-alive connection: the next request leaves when the answer is complete."""

    def __init__(self, request: bytes, load: Load, until_s: float, ended: asyncio.Future[None]) -> None:
        self._request = request
        self._load = load
        self._until_s = until_s
        self._ended = ended
        self._buffer = b""
        self._sent_s = 0.0
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        head = buffer.find(b"\r\n\r\n")
        if head < 0:
            self._buffer = buffer
            return
        at = buffer.find(b"content-length: ") + 16
        if len(buffer) < head + 4 + int(buffer[at : buffer.find(b"\r", at)]):
            self._buffer = buffer
            return
        self._buffer = b""
        load = self._load
        if buffer.startswith(_OK):
            load.answered += 1
        else:
            load.failed += 1
        now_s = time.perf_counter()
        load.latencies_ms.append((now_s - self._sent_s) * 1000)
        if now_s < self._until_s:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _send(self) -> None:
        self._sent_s = time.perf_counter()
        self._transport.write(self._request)


async def drive(port: int, token: str, seconds: float) -> Load:
    """Keep 64 connections busy for ``seconds``."""
    body = request_body()
    head = (
        f"POST /v2/models/{PROJECT}/infer HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    load = Load()
    started_s = time.perf_counter()
    ends = [loop.create_future() for _ in range(CONNECTIONS)]
    for ended in ends:
        await loop.create_connection(
            lambda ended=ended: _Client(head.encode() + body, load, started_s + seconds, ended),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
    await asyncio.gather(*ends)
    load.seconds = time.perf_counter() - started_s
    return load


def median(values: Iterable[float]) -> float:
    """The middle run."""
    return float(np.median(list(values)))


def measure(home: Path, token: str, runs: int, seconds: float) -> dict[str, Any]:
    """Both servers, interleaved, after a warm-up that is not measured."""
    import uvloop

    loads: dict[str, list[Load]] = {"ours": [], "empty": []}
    warm = 0
    with running("empty", home) as empty, running("ours", home) as ours:
        servers = {"ours": ours, "empty": empty}
        for kind, server in servers.items():
            load = uvloop.run(drive(server.port, token, 1.0))
            warm += load.answered if kind == "ours" else 0
        for _ in range(runs):
            for kind, server in servers.items():
                before_s = server.cpu_s()
                load = uvloop.run(drive(server.port, token, seconds))
                load.cpu_s = server.cpu_s() - before_s
                loads[kind].append(load)
    store = open_store(read_settings({}, home=home), SystemClock())
    logged = store.events.count(f"{PROJECT}/predictions")
    store.close()
    answered = warm + sum(load.answered for load in loads["ours"])
    result: dict[str, Any] = {
        kind: {
            "per_s": median(load.answered / load.seconds for load in of),
            "runs_per_s": [round(load.answered / load.seconds) for load in of],
            "cpu_us": median(load.cpu_s / load.answered * 1e6 for load in of),
            "p50_ms": median(float(np.percentile(load.latencies_ms, 50)) for load in of),
            "p99_ms": median(float(np.percentile(load.latencies_ms, 99)) for load in of),
            "failed": sum(load.failed for load in of),
        }
        for kind, of in loads.items()
    }
    result["ratio"] = result["ours"]["per_s"] / result["empty"]["per_s"]
    result["answered"], result["logged"] = answered, logged
    result["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return result


def main() -> int:
    """Parse arguments, measure, print; 1 if the bar or the log was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", choices=["ours", "empty"], help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.home)
        return 0
    os.sched_setaffinity(0, {CLIENT_CORE})
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        home = Path(folder)
        token = prepare(read_settings({}, home=home))
        result = measure(home, token, arguments.runs, arguments.seconds)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        for kind in ("ours", "empty"):
            row = result[kind]
            print(
                f"{kind:>6}: {row['per_s']:8,.0f} req/s  {row['cpu_us']:.0f} us of processor each  "
                f"p50 {row['p50_ms']:.2f} ms  "
                f"p99 {row['p99_ms']:.2f} ms  failed {row['failed']}  runs {row['runs_per_s']}"
            )
        print(f"ours is {result['ratio']:.2f} of the empty application ({result['machine']})")
        print(f"answered {result['answered']}, logged {result['logged']}; bar {BAR_PER_S:,} req/s")
    kept = result["answered"] == result["logged"] and not result["ours"]["failed"]
    return 0 if kept and result["ours"]["per_s"] >= BAR_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
