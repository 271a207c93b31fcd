"""What one authorisation costs: a question asked before, and one that Cedar has to answer.

    .venv/bin/python benchmarks/authorisation.py                 # 100,000 and 10,000 questions
    .venv/bin/python benchmarks/authorisation.py --questions 1000

Both go the whole way through ``gatekeeper.decide``, with the default policy in force, a grant held and the
identity of a person: resource, grants, second factors, policy. The wall clock is what is measured: on a
machine with other work it also counts waiting for a processor.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from headrace.app.composition import App, open_app
from headrace.core.identity import Grant, Principal
from headrace.core.settings import read_settings

CACHED_BAR_US, UNCACHED_BAR_US = 5, 200


class Cost(NamedTuple):
    """Median and 99th percentile in microseconds."""

    median_us: float
    p99_us: float


def measure(ask: Callable[[str], object], resources: Iterator[str]) -> Cost:
    """Time ``ask`` once per resource."""
    times_ns: list[int] = []
    for resource in resources:
        began_ns = time.perf_counter_ns()
        ask(resource)
        times_ns.append(time.perf_counter_ns() - began_ns)
    times_ns.sort()
    return Cost(times_ns[len(times_ns) // 2] / 1e3, times_ns[int(len(times_ns) * 0.99)] / 1e3)


def prepare(app: App) -> Principal:
    """A person with three roles of their own and one for a while."""
    me, now = app.me(), app.clock.now()
    grant = Grant(
        id="benchmark",
        workspace=me.workspace,
        subject=me.name,
        role="validator",
        resource=f"workspace:{me.workspace}",
        reason="to be measured",
        asked_by=me.name,
        asked_at=now,
        duration_s=3600,
        state="active",
        ends_at=now + timedelta(hours=1),
    )
    app.store.grants.add(grant)
    app.store.epoch.advance()
    return me


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--questions", type=int, default=10_000, help="new questions; ten times as many old")
    questions: int = parser.parse_args().questions
    with tempfile.TemporaryDirectory() as folder:
        settings = read_settings({"HEADRACE_HOME": str(Path(folder) / "home")})
        with open_app(settings) as app:
            me = prepare(app)

            def ask(resource: str) -> object:
                return app.gatekeeper.decide(me, "predict", resource)

            for number in range(1000):
                ask(f"tool:warm-{number}")
            gc.collect()
            cached = measure(ask, ("tool:warm-1" for _ in range(10 * questions)))
            uncached = measure(ask, (f"tool:new-{number}" for number in range(questions)))
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    print(f"{'authorisation':<16}{'median':>10}{'p99':>10}{'bar (p99)':>12}   microseconds")
    for name, cost, bar in (("cached", cached, CACHED_BAR_US), ("uncached", uncached, UNCACHED_BAR_US)):
        print(f"{name:<16}{cost.median_us:>10.1f}{cost.p99_us:>10.1f}{bar:>12}")


if __name__ == "__main__":
    main()
