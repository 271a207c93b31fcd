"""Single-row answers over HTTP, with everything on: how many, for how much processor time, how soon.

Servers run on one core: ours in several ways, and an empty ASGI application that shows what the HTTP server
alone allows. Clients on the other core keep 64 connections busy, or 16. Every one of our requests passes the
token check, the policy, the route and a LightGBM model of 200 trees on 10 columns, is recorded within a trace
of its own, and counted in the bins of training.

    python benchmarks/serving.py             # 5 runs of 3 s each, interleaved
    python benchmarks/serving.py --json

Prints, as medians of the runs, requests per second and per second of processor time, latency, and whether
every answer is in the log. On a machine that does other work too, the processor time is the steadier figure.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import platform
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headrace.access.gatekeeper import Gatekeeper
from headrace.access.opening import open_access
from headrace.access.policy import CedarPolicy
from headrace.access.privacy.charters import terms_of
from headrace.checks.profiles import NumericProfile, Profile
from headrace.core.clock import SystemClock
from headrace.core.project import Column, ServingSpec
from headrace.core.release import Route, Subject
from headrace.core.settings import Settings, read_settings
from headrace.data.encoding import Encoding
from headrace.serving.asgi import InferenceApp
from headrace.serving.distributions import Distributions, Reference
from headrace.serving.handler import Handler
from headrace.serving.microbatch import MicroBatches
from headrace.serving.models import LoadedModels, Model
from headrace.serving.plain_rows import PlainRows, Scoring
from headrace.serving.process import settle
from headrace.serving.recorder import Recorder
from headrace.serving.routes import RouteTable
from headrace.store import open_store
from headrace.testing.factories import make_manifest, make_project, make_release
from headrace.training.convert import to_onnx
from headrace.training.package import PackageInfo, build_package, load_scorer
from headrace.web.http_protocol import protocol_of

DURABILITIES = {"bench": "best_effort", "bench-stored": "stored"}
N_COLUMNS = 10
N_TREES = 200
SERVER_CORE, CLIENT_CORE = 0, 1
_OK = b"HTTP/1.1 200"


class Rows(NamedTuple):
    """What the model is trained on."""

    columns: dict[str, Any]
    specs: list[Column]
    encoding: Encoding
    target: Any


def training_rows() -> Rows:
    """8 numeric and 2 categorical inputs."""
    generator = np.random.default_rng(0)
    n_rows = 5_000
    columns: dict[str, Any] = {f"n{i}": generator.normal(size=n_rows) for i in range(N_COLUMNS - 2)}
    for name in ("c0", "c1"):
        columns[name] = generator.choice(["red", "green", "blue"], size=n_rows).astype(object)
    specs = [Column(name=n, role="categorical" if n[0] == "c" else "numeric") for n in columns]
    encoding = Encoding.fit(columns, specs)
    features = encoding.encode(columns)
    target = features[:, 0] * 3 + np.sin(features[:, 1] * 4) + features[:, 8] + generator.normal(size=n_rows)
    return Rows(columns, specs, encoding, target)


def build_model() -> bytes:
    """A package: LightGBM regression with 200 trees."""
    from lightgbm import LGBMRegressor

    columns, _, encoding, target = training_rows()
    features = encoding.encode(columns)
    trees = LGBMRegressor(n_estimators=N_TREES, num_threads=1, verbose=-1, random_state=0)
    trees.fit(features, target, categorical_feature=list(encoding.categorical_indexes))
    info = PackageInfo(project="bench", variant="lightgbm", task="regression", target="y")
    return build_package(info, encoding, to_onnx(trees, n_features=N_COLUMNS, task="regression"))


class Way(NamedTuple):
    """One way of asking one of the servers; ``bar``: of the empty one's requests for the same time."""

    server: str
    project: str
    form: str
    connections: int = 64
    bar: float | None = None


WAYS = {
    "empty ASGI application": Way("empty", "bench", "record"),
    "records, best effort": Way("ours", "bench", "record", bar=0.80),
    "records, stored": Way("ours", "bench-stored", "record", bar=0.40),
    "records, not recorded": Way("forgetful", "bench", "record"),
    "tensors, best effort": Way("ours", "bench", "tensors", bar=0.60),
    "records, plain uvicorn": Way("plain", "bench", "record", bar=0.45),
    "empty, 16 connections": Way("empty", "bench", "record", 16),
    "records, 16 connections": Way("ours", "bench", "record", 16),
}


def request(way: Way, token: str) -> bytes:
    """One row."""
    numbers = {f"n{i}": 0.25 * i for i in range(N_COLUMNS - 2)}
    if way.form == "record":
        path = f"/api/v1/predict/{way.project}"
        body = json.dumps({"record": numbers | {"c0": "green", "c1": "green"}}).encode()
    else:
        path = f"/v2/models/{way.project}/infer"
        inputs = [{"name": n, "shape": [1], "datatype": "FP64", "data": [x]} for n, x in numbers.items()]
        inputs += [{"name": n, "shape": [1], "datatype": "BYTES", "data": ["green"]} for n in ("c0", "c1")]
        body = json.dumps({"inputs": inputs}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def prepare(
    settings: Settings, package_bytes: bytes | None = None, durabilities: Mapping[str, str] = DURABILITIES
) -> str:
    """Fill a home with one identity and a live route for each project; returns a token.

    The model is ours unless given.
    """
    clock = SystemClock()
    store = open_store(settings, clock)
    package = store.artifacts.put(package_bytes or build_model(), "application/zip")
    access = open_access(store, settings.home / "keys", clock, CedarPolicy())
    principal = access.identities.add("bench", ["operator"], actor="bench")
    for name, durability in durabilities.items():
        serving = ServingSpec(durability=durability)  # type: ignore[arg-type]
        project = replace(make_project(name=name), serving=serving)
        store.projects.save(project, "")
        subject = Subject(ref=f"model:{name}@1", package=package)
        manifest = make_manifest(project=name, subject=subject, terms=terms_of(project))
        release = store.releases.add(make_release(manifest=manifest))
        store.rollouts.set_route(Route(project=name, live=release.id))
    token = access.tokens.issue(principal)
    store.close()
    return token


def new_token(settings: Settings) -> str:
    """Another token of the identity that :func:`prepare` has made: each lives for a quarter of an hour."""
    clock = SystemClock()
    store = open_store(settings, clock)
    access = open_access(store, settings.home / "keys", clock, CedarPolicy())
    token = access.tokens.issue(access.identities.resolve("bench"))
    store.close()
    return token


class Forgetful(Recorder):
    """Keeps nothing, and nothing is counted with it: what record and counts cost is the difference."""

    def note(self, project: str, payloads: Sequence[bytes]) -> None:
        """Drop them."""


RECORDERS: dict[str, type[Recorder]] = {"forgetful": Forgetful}


class Ours(NamedTuple):
    """The application, the protocol that it is best served by, and what other protocols are made of."""

    app: PlainRows
    scoring: Scoring
    handler: Handler
    gatekeeper: Gatekeeper


def ours(settings: Settings, recorder_of: type[Recorder] = Recorder) -> Ours:
    """Models as the product serves them, routes refreshed in the background."""
    clock = SystemClock()
    store = open_store(settings, clock)
    routes = RouteTable(store.rollouts, clock)

    def load(release_id: str) -> Model:
        return load_scorer(
            store.artifacts.path(store.releases.get(release_id).manifest.subject.package.digest)
        )

    models = LoadedModels(load, clock)
    access = open_access(store, settings.home / "keys", clock, CedarPolicy())

    rows = training_rows()
    reference = Reference(Profile.fit(rows.columns, rows.specs).features, NumericProfile.fit(rows.target))
    counted = None if recorder_of is Forgetful else Distributions(lambda _: reference, models)

    def refresh() -> None:
        routes.refresh()
        models.keep(routes.release_ids())
        if counted is not None:
            counted.keep(routes.release_ids())

    def keep_fresh() -> None:
        while True:
            clock.sleep(0.2)
            refresh()
            access.activity.look()

    refresh()
    settle()
    threading.Thread(target=keep_fresh, daemon=True).start()
    recorder = recorder_of(store.events, clock)
    parts = (routes, models, recorder, clock)
    handler = Handler(*parts, access.gatekeeper, access.privacy.rules, distributions=counted)
    batches = MicroBatches(handler, *parts, rules_of=access.privacy.rules, distributions=counted)
    scoring = Scoring(batches, access.gatekeeper, store.epoch, clock)
    app = PlainRows(InferenceApp(handler, access.gatekeeper), scoring)
    return Ours(app, scoring, handler, access.gatekeeper)


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
    made = None if kind == "empty" else ours(read_settings({}, home=home), RECORDERS.get(kind, Recorder))
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(
        empty_app if made is None else made.app,
        loop="uvloop",
        http="httptools" if made is None or kind == "plain" else protocol_of(made.scoring),
        access_log=False,
        lifespan="off",
        log_level="warning",
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

    def __init__(
        self, requests: Sequence[bytes], load: Load, until_s: float, ended: asyncio.Future[None]
    ) -> None:
        self._requests = cycle(requests)
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
        self._transport.write(next(self._requests))


def traced(request: bytes, n_traces: int = 32) -> list[bytes]:
    """The same request within several traces, as callers with tracing send it: each head is another one."""
    line, _, rest = request.partition(b"\r\n")
    parents = [f"traceparent: 00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01" for _ in range(n_traces)]
    return [b"%b\r\n%b\r\n%b" % (line, parent.encode(), rest) for parent in parents]


async def drive(port: int, sent: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Keep connections busy for ``seconds``; each sends the requests in turn, beginning at its own place."""
    loop = asyncio.get_running_loop()
    load = Load()
    started_s = time.perf_counter()
    ends = [loop.create_future() for _ in range(connections)]
    for number, ended in enumerate(ends):
        first = number * len(sent) // connections
        client = _Client([*sent[first:], *sent[:first]], load, started_s + seconds, ended)
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*ends)
    load.seconds = time.perf_counter() - started_s
    return load


def median(values: Iterable[float]) -> float:
    """The middle run."""
    return float(np.median(list(values)))


def measure(home: Path, token: str, runs: int, seconds: float) -> dict[str, Any]:
    """All ways, interleaved, after a warm-up that is not measured."""
    import uvloop

    loads: dict[str, list[Load]] = {name: [] for name in WAYS}
    answered = 0
    with ExitStack() as up:
        kinds = dict.fromkeys(way.server for way in WAYS.values())
        servers = {kind: up.enter_context(running(kind, home)) for kind in kinds}
        for run in range(-1, runs):
            for name, way in WAYS.items():
                server = servers[way.server]
                before_s = server.cpu_s()
                sent = traced(request(way, token))
                load = uvloop.run(drive(server.port, sent, way.connections, seconds if run >= 0 else 0.5))
                load.cpu_s = server.cpu_s() - before_s
                answered += load.answered if way.server in ("ours", "plain") else 0
                if run >= 0:
                    loads[name].append(load)
    store = open_store(read_settings({}, home=home), SystemClock())
    logged = sum(store.events.count(f"{name}/predictions") for name in DURABILITIES)
    store.close()
    return {
        "ways": {name: _summary(of) for name, of in loads.items()},
        "answered": answered,
        "logged": logged,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def _summary(loads: list[Load]) -> dict[str, Any]:
    return {
        "per_s": median(load.answered / load.seconds for load in loads),
        "per_cpu_s": median(load.answered / load.cpu_s for load in loads),
        "p50_ms": median(float(np.percentile(load.latencies_ms, 50)) for load in loads),
        "p99_ms": median(float(np.percentile(load.latencies_ms, 99)) for load in loads),
        "failed": sum(load.failed for load in loads),
    }


def show(result: dict[str, Any]) -> None:
    """Print a table, and each bar."""
    ways = result["ways"]
    empty = ways["empty ASGI application"]
    print(
        f"{'':26}{'req/s':>9}{'per CPU s':>11}{'of empty':>10}{'bar':>6}"
        f"{'p50 ms':>8}{'p99 ms':>8}{'failed':>8}"
    )
    for name, row in ways.items():
        bar = WAYS[name].bar
        print(
            f"{name:26}{row['per_s']:9,.0f}{row['per_cpu_s']:11,.0f}"
            f"{row['per_cpu_s'] / empty['per_cpu_s']:10.2f}{'' if bar is None else f'{bar:.2f}':>6}"
            f"{row['p50_ms']:8.2f}{row['p99_ms']:8.2f}{row['failed']:8}"
        )
    best, bare = ways["records, best effort"], ways["records, not recorded"]
    few, few_empty = ways["records, 16 connections"], ways["empty, 16 connections"]
    stored = ways["records, stored"]["per_s"] / best["per_s"]
    print(f"stored answers per best-effort ones: {stored:.2f} (bar 0.50)")
    print(
        f"the record costs {1 - best['per_cpu_s'] / bare['per_cpu_s']:.0%} of the throughput (bar 10 %), "
        f"p99 {best['p99_ms'] / bare['p99_ms']:.2f} times (bar 1.5)"
    )
    print(
        f"p99 at 16 connections: {few['p99_ms']:.1f} ms (bar 2 on a quiet machine), "
        f"{few['p99_ms'] / few_empty['p99_ms']:.1f} times the empty one's (bar 4)"
    )
    print(f"answered {result['answered']}, logged {result['logged']} ({result['machine']})")


def main() -> int:
    """Parse arguments, measure, print; 1 if an answer failed or is not in the log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", choices=["ours", "empty", "plain", "forgetful"], help=argparse.SUPPRESS)
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
    print(json.dumps(result, indent=2)) if arguments.json else show(result)
    failed = sum(row["failed"] for row in result["ways"].values())
    return 0 if result["answered"] == result["logged"] and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
