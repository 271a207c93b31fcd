"""A hundred models in one server process: what they take in memory, and how much sooner one alone answers.

Two servers run on one core, one with a single live project and one with a hundred, each with a model of its
own (LightGBM, 200 trees, 10 columns) and everything on, as in ``serving.py``. Clients on the other core keep
16 connections busy; those of the hundred ask each project in turn.

    python benchmarks/many_models.py            # 5 rounds of 3 s each, interleaved
    python benchmarks/many_models.py --json

Prints medians of the rounds and the memory afterwards. Ends with 1 if a request failed or a bar was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from soak import memory_mib

import serving
from headrace.core.settings import read_settings

N_MODELS = 100
N_CONNECTIONS = 16
MOST_MIB, MOST_TIMES = 1536.0, 2.0


class Served(NamedTuple):
    """A server with so many models, what is sent to it, and how it answered in each round."""

    server: serving.Running
    sent: list[bytes]
    loads: list[serving.Load]


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """By number of models: requests per second of processor time, latency, memory."""
    import uvloop

    package = serving.build_model()
    with ExitStack() as up:
        folder = Path(up.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-")))
        served = {n: _serve(n, folder / str(n), package, up) for n in (1, N_MODELS)}
        for number in range(-1, rounds):
            for server, sent, loads in served.values():
                before_s = server.cpu_s()
                for_s = seconds if number >= 0 else 1.0
                load = uvloop.run(serving.drive(server.port, sent, N_CONNECTIONS, for_s))
                load.cpu_s = server.cpu_s() - before_s
                if number >= 0:
                    loads.append(load)
        return {str(n): _summary(one) for n, one in served.items()}


def _serve(n_models: int, home: Path, package: bytes, up: ExitStack) -> Served:
    projects = dict.fromkeys((f"bench-{number}" for number in range(n_models)), "best_effort")
    token = serving.prepare(read_settings({}, home=home), package, projects)
    requests = [serving.request(serving.Way("ours", name, "record"), token) for name in projects]
    sent = [one for request in requests for one in serving.traced(request, 1 if n_models > 1 else 32)]
    return Served(up.enter_context(serving.running("ours", home)), sent, [])


def _summary(served: Served) -> dict[str, float]:
    loads = served.loads
    return {
        "per_cpu_s": serving.median(load.answered / load.cpu_s for load in loads),
        "p50_ms": serving.median(float(np.percentile(load.latencies_ms, 50)) for load in loads),
        "p99_ms": serving.median(float(np.percentile(load.latencies_ms, 99)) for load in loads),
        "memory_mib": memory_mib(served.server.pid),
        "failed": sum(load.failed for load in loads),
    }


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {serving.CLIENT_CORE})
    found = measure(arguments.rounds, arguments.seconds)
    one, many = found["1"], found[str(N_MODELS)]
    times = many["p99_ms"] / one["p99_ms"]
    if arguments.json:
        print(json.dumps(found | {"p99_times": times}, indent=2))
    else:
        print(f"{'models':>6}{'per CPU s':>11}{'p50 ms':>8}{'p99 ms':>8}{'MiB':>7}{'failed':>8}")
        for n, row in found.items():
            print(
                f"{n:>6}{row['per_cpu_s']:11,.0f}{row['p50_ms']:8.2f}{row['p99_ms']:8.2f}"
                f"{row['memory_mib']:7.0f}{row['failed']:8.0f}"
            )
        print(f"p99 of {N_MODELS} models: {times:.1f} times that of one (bar {MOST_TIMES:g})")
        print(f"memory of {N_MODELS} models: {many['memory_mib']:.0f} MiB (bar {MOST_MIB:g})")
    held = times <= MOST_TIMES and many["memory_mib"] <= MOST_MIB
    return 0 if held and not one["failed"] + many["failed"] else 1


if __name__ == "__main__":
    sys.exit(main())
