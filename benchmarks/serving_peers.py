"""One row over HTTP, by us and by the servers that others use, for one and the same scikit-learn pipeline.

Each server has one core, the clients the other one. The pipeline (a ColumnTransformer, then 200 boosted
trees) is served as each server wants it, see ``_peers.py``. Ours checks the token, the policy and the route,
and records every answer; the peers do none of that.

    python benchmarks/serving_peers.py            # 3 rounds of 3 s each, interleaved
    python benchmarks/serving_peers.py --json

Prints medians of the rounds, and how many times as many requests ours answers.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import _peers
import numpy as np

import serving
from headrace.core.project import Column
from headrace.core.settings import read_settings
from headrace.data.encoding import Encoding
from headrace.training.compiling import compile_pipeline
from headrace.training.convert import to_onnx
from headrace.training.package import PackageInfo, build_package

MANY, ONE = 64, 1
OURS = "Headrace"
BARS = {
    ("MLflow", MANY): 150.0,
    ("MLServer, batching", MANY): 25.0,
    ("FastAPI by hand", MANY): 4.0,
    ("MLflow", ONE): 25.0,
}
"""How many times as many requests, by peer and number of connections."""


OTHERS = {"does not convert": 60.0, "untouched": 20.0}
"""How many times as many requests as MLflow at 64 connections: the trees by their own ``predict`` behind a
compiled preparation, and the pipeline as it is."""


def make_packages() -> dict[str, bytes]:
    """The same pipeline as ours serves it: compiled, its trees in ONNX; and as if that could not be."""
    pipeline, frame = _peers.make_pipeline()
    columns = {
        name: frame[name].to_numpy(dtype=object if name in _peers.CATEGORICAL else np.float64)
        for name in frame.columns
    }
    roles = {name: "categorical" if name in _peers.CATEGORICAL else "numeric" for name in columns}
    encoding = Encoding.fit(columns, [Column(name=n, role=role) for n, role in roles.items()])  # type: ignore[arg-type]
    compiled = compile_pipeline(pipeline, [(one.name, one.kind) for one in encoding.inputs])
    graph = to_onnx(compiled.estimator, n_features=compiled.plan["width"], task="regression")
    info = PackageInfo(project="bench", variant="pipeline", task="regression", target="y", takes="raw")
    native = replace(info, engine="native")
    untouched = replace(info, engine="untouched", columns=tuple(frame.columns))
    return {
        OURS: build_package(info, encoding, graph, plan=compiled.plan),
        "does not convert": build_package(
            native, encoding, pickle.dumps(compiled.estimator), plan=compiled.plan
        ),
        "untouched": build_package(untouched, encoding, pickle.dumps(pipeline)),
    }


def request_to(peer: _peers.Peer) -> bytes:
    """One request as its bytes."""
    head = (
        f"POST {peer.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(peer.body)}\r\n\r\n"
    )
    return head.encode() + peer.body


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """Requests per second, by server and number of connections."""
    import uvloop

    found: dict[tuple[str, int], list[float]] = {}
    latencies: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-")))
        targets = {}
        for name, package in make_packages().items():
            home = folder / name.replace(" ", "-")
            token = serving.prepare(read_settings({}, home=home), package)
            # Tensors where a row may have to wait: the server of serving.py has no ordinary way for records.
            way = serving.WAYS["records, best effort" if name == OURS else "tensors, best effort"]
            ours = stack.enter_context(serving.running("ours", home))
            targets[name] = (ours.port, serving.request(way, token))
        for peer in _peers.make_peers(folder / "peers"):
            port, _ = stack.enter_context(_peers.running(peer))
            targets[peer.name] = (port, request_to(peer))
        for number in range(-1, rounds):
            for name, (port, sent) in targets.items():
                for connections in (MANY, ONE):
                    requests, for_s = serving.traced(sent), seconds if number >= 0 else 0.5
                    load = uvloop.run(serving.drive(port, requests, connections, for_s))
                    if load.failed or not load.answered:
                        raise SystemExit(f"{name}: {load.failed} of {load.answered} requests failed.")
                    if number >= 0:
                        found.setdefault((name, connections), []).append(load.answered / load.seconds)
                        p99_ms = float(np.percentile(load.latencies_ms, 99))
                        latencies.setdefault((name, connections), []).append(p99_ms)
    rates = {key: statistics.median(of) for key, of in found.items()}
    return {
        "servers": [
            {
                "server": name,
                "connections": connections,
                "per_s": rate,
                "p99_ms": statistics.median(latencies[name, connections]),
                "times": rates[OURS, connections] / rate,
                "bar": BARS.get((name, connections)),
            }
            for (name, connections), rate in rates.items()
        ],
        "others": {name: rates[name, MANY] / rates["MLflow", MANY] for name in OTHERS},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {serving.CLIENT_CORE})
    result = measure(arguments.rounds, arguments.seconds)
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{'':20}{'connections':>12}{'req/s':>10}{'p99 ms':>9}{'ours is':>10}{'bar':>7}")
    for row in result["servers"]:
        times = "" if row["server"] == OURS else f"{row['times']:.0f} x"
        bar = "" if row["bar"] is None else f"{row['bar']:.0f} x"
        print(
            f"{row['server']:20}{row['connections']:12}{row['per_s']:10,.0f}{row['p99_ms']:9.2f}"
            f"{times:>10}{bar:>7}"
        )
    for name, times in result["others"].items():
        print(f"ours, {name}: {times:.0f} x MLflow at {MANY} connections (bar {OTHERS[name]:.0f} x)")
    print(result["machine"])


if __name__ == "__main__":
    main()
