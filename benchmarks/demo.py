"""The demonstration's bars: seconds, memory of all its processes, and answered == logged.

    .venv/bin/python benchmarks/demo.py            # one run of the whole demo
    .venv/bin/python benchmarks/demo.py --runs 3   # medians of three

Prints a table with the bars of the issue beside what was measured on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Measured(NamedTuple):
    """One run: wall time, the largest sum of resident memory over its processes, and what it said."""

    seconds: float
    peak_bytes: int
    answered: int
    logged: int


def tree_bytes(root: int) -> int:
    """Resident memory of a process and everything it started, shared pages counted once per process."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(") ")[2].split()
                resident[int(entry.name)] = int((entry / "statm").read_text().split()[1]) * PAGE_BYTES
                parents[int(entry.name)] = int(stat[1])
            except (OSError, IndexError, ValueError):
                continue
    family = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        if not more:
            return sum(resident.get(pid, 0) for pid in family)
        family |= more


def run(port: int) -> Measured:
    """Run the demo once in an empty home."""
    with tempfile.TemporaryDirectory() as home:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "demo", "--once", "--json", "--port", str(port)],
            env=os.environ | {"HEADRACE_HOME": home},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, tree_bytes(process.pid))
            time.sleep(0.2)
        seconds = time.perf_counter() - started
        said = json.loads(process.stdout.read() if process.stdout else "{}")
    if process.returncode != 0:
        raise SystemExit(f"the demo ended with {process.returncode}: {said}")
    return Measured(seconds, peak, said["predictions"]["answered"], said["predictions"]["logged"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--port", type=int, default=8990)
    given = parser.parse_args()
    runs = [run(given.port) for _ in range(given.runs)]
    seconds = statistics.median(r.seconds for r in runs)
    peak = statistics.median(r.peak_bytes for r in runs)
    equal = all(r.answered == r.logged for r in runs)
    print(f"{'headrace demo --once, median of ' + str(len(runs)):<44} {'measured':>12} {'bar':>10}")
    print(f"{'seconds':<44} {seconds:>12.1f} {'<= 120':>10}")
    print(f"{'resident memory of all processes, GiB':<44} {peak / 2**30:>12.2f} {'<= 2':>10}")
    print(f"{'requests answered / logged':<44} {runs[-1].answered:>6}/{runs[-1].logged:<5} {'equal':>10}")
    print(f"every run answered == logged: {equal}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
