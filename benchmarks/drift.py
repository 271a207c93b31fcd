"""How fast, how frugal and how trustworthy is the comparison of distributions? Peers are measured beside it.

    python benchmarks/drift.py                 # a million rows, three interleaved rounds
    python benchmarks/drift.py --rows 100000 --rounds 1
    python benchmarks/drift.py --alone         # without peers

Evidently, NannyML and alibi-detect get environments of their own, made on first use in the folder
``HEADRACE_BENCH`` (default: ``~/.cache/headrace-bench``). Every library reads the same tables: 14 columns of
numbers and 6 of categories, of which 6 have moved, by 0.1 standard deviations or by 5 points of a category.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from _drift_peers import peak_mb
from _peers import environment

from headrace.checks.drift import shifts
from headrace.checks.sketches import Sketches

HERE = Path(__file__).parent
PACKAGES = {
    "evidently": ("evidently==0.7.21", "pandas<3"),
    "nannyml": ("nannyml==0.13.1", "statsmodels"),
    "alibi-detect": ("alibi-detect==0.13.0",),
}
NUMBERS, CATEGORIES = 14, 6
PART_ROWS = 50_000
MOVED = frozenset({"n0", "n1", "n2", "n3", "c0", "c1"})
BARS = {"evidently": 25.0, "evidently-tests": 25.0, "nannyml": 4.0, "alibi-detect": 2.0}


def draw(random: np.random.Generator, n: int, *, moved: bool) -> dict[str, Any]:
    """A table; categories as their numbers."""
    table: dict[str, Any] = {}
    for i in range(NUMBERS):
        values = (random.normal, random.uniform, random.exponential)[i % 3](size=n)
        deviation = (1.0, 12**-0.5, 1.0)[i % 3]
        table[f"n{i}"] = values + 0.1 * deviation * (moved and f"n{i}" in MOVED)
    for i in range(CATEGORIES):
        shares = np.full(4 + 6 * i, 0.6 / (2 + 6 * i))
        shares[:2] = 0.25, 0.15
        if moved and f"c{i}" in MOVED:
            shares[:2] += 0.05, -0.05
        table[f"c{i}"] = random.choice(shares.size, n, p=shares)
    return table


def save(
    folder: Path, random: np.random.Generator, n: int, *, n_current: int, moved: bool, windows: int = 1
) -> None:
    """A reference and its windows."""
    folder.mkdir()
    np.savez(folder / "reference.npz", **draw(random, n, moved=False))
    for number in range(windows):
        np.savez(folder / f"current{number:03}.npz", **draw(random, n_current, moved=moved))


def run(way: str, folder: Path) -> dict[str, Any]:
    """One library, in its own process."""
    name = way.removesuffix("-tests")
    python = Path(sys.executable)
    if name in PACKAGES:
        python = environment(name, PACKAGES[name]) / "bin" / "python"
    told = {
        "PYTHONPATH": str(HERE.parent / "src"),
        "PYTHONWARNINGS": "ignore",
        "NML_DISABLE_USAGE_LOGGING": "1",
    }
    done = subprocess.run(
        [str(python), str(HERE / "_drift_peers.py"), way, str(folder)],
        capture_output=True, text=True, env=os.environ | told, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr[-2000:]}")
    said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return said


def batches(folder: Path, ways: list[str], rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds and memory, medians of interleaved rounds, and what each found."""
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            found[way].append(run(way, folder))
    return {
        way: {
            "seconds": statistics.median(r["seconds"] for r in of),
            "peak_mb": statistics.median(r["peak_mb"] for r in of),
            "found": of[0]["found"],
        }
        for way, of in found.items()
    }


def timed(work: Callable[[], Any]) -> float:
    """Seconds; the best of three."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def live(random: np.random.Generator) -> dict[str, float]:
    """What it costs to keep sketches of 20 columns as rows come, and to add them up."""
    table = draw(random, 20_000, moved=False)
    words = np.array([f"w{i}" for i in range(100)], dtype=object)
    table = {k: words[v] if k.startswith("c") else v for k, v in table.items()}
    kinds: Any = {k: "categorical" if k.startswith("c") else "numeric" for k in table}
    rows = list(zip(*(v.tolist() for v in table.values()), strict=True))
    parts = [{k: v[i : i + 1000] for k, v in table.items()} for i in range(0, 20_000, 1000)]

    def in_batches() -> Sketches:
        side = Sketches(kinds)
        for part in parts:
            side.update(part, 1000)
        return side

    def singly() -> None:
        side = Sketches(kinds)
        for row in rows:
            side.add(row)

    hours = [in_batches() for _ in range(24)]
    one = Sketches({"n": "numeric"})
    one.update({"n": random.normal(size=1000)}, 1000)
    return {
        "update in batches of 1,000, us a row (bar 1)": timed(in_batches) / 20_000 * 1e6,
        "update one at a time, us a row (bar 5)": timed(singly) / 20_000 * 1e6,
        "profile, kB (bar 200)": len(hours[0].to_bytes()) / 1e3,
        "merging 24 profiles, ms (bar 10)": timed(lambda: Sketches.merged(hours)) * 1e3,
        "merging 100,000 windows of a column, s (bar 10)": timed(
            lambda: Sketches.merged(one for _ in range(20_000))
        )
        * 5,
    }


def sketch_parts(seed: int, n_rows: int, copies: int) -> tuple[bytes, float, float]:
    """What one of several processes keeps of its rows of ``copies`` times 20 columns: the sketches, the
    seconds that it took to make them, and the most memory that the process held while it did, in MB."""
    random = np.random.default_rng(seed)
    words = np.array([f"w{i}" for i in range(100)], dtype=object)
    kinds: Any = {
        f"{prefix}{i}_{copy}": kind
        for copy in range(copies)
        for prefix, kind, n in (("n", "numeric", NUMBERS), ("c", "categorical", CATEGORIES))
        for i in range(n)
    }
    side, seconds = Sketches(kinds), 0.0
    for start in range(0, n_rows, PART_ROWS):
        n = min(PART_ROWS, n_rows - start)
        table = {
            f"{name}_{copy}": words[values] if name.startswith("c") else values
            for copy in range(copies)
            for name, values in draw(random, n, moved=False).items()
        }
        started = time.perf_counter()
        side.update(table, n)
        seconds += time.perf_counter() - started
    started = time.perf_counter()
    kept = side.to_bytes()
    return kept, seconds + time.perf_counter() - started, peak_mb()


def wide(n_rows: int, copies: int = 5) -> dict[str, float]:
    """Two sides of 100 columns, each sketched by two processes that see half of its rows, then compared."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        made = list(pool.map(sketch_parts, range(4), [n_rows // 2] * 4, [copies] * 4))
    started = time.perf_counter()
    reference, current = (
        Sketches.merged(Sketches.from_bytes(kept) for kept, _, _ in made[i : i + 2]) for i in (0, 2)
    )
    found = shifts(reference, current)
    compared = time.perf_counter() - started
    return {
        f"{n_rows:,} rows x {len(found)} columns on 2 cores, s (bar 30)": sum(s for _, s, _ in made) / 2
        + compared,
        "the same, memory of a process, MB": max(mb for _, _, mb in made),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="without peers")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    ways = ["headrace", "headrace-sketches", *([] if arguments.alone else BARS)]
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        save(folder / "large", random, arguments.rows, n_current=arguments.rows, moved=True)
        save(folder / "planted", random, 100_000, n_current=10_000, moved=True, windows=3)
        save(folder / "clean", random, 100_000, n_current=10_000, moved=False, windows=20)
        large = batches(folder / "large", ways, arguments.rounds)
        planted, clean = (batches(folder / of, ways, 1) for of in ("planted", "clean"))
    ours = large["headrace"]
    print(f"{arguments.rows:,} rows x 20 columns, reference and current; medians of {arguments.rounds}")
    heads = f"{'s':>8}{'times':>8}{'bar':>6}{'MB':>8}{'times':>8}{'planted':>9}{'in 3 windows':>14}"
    print(f"{'':20}{heads}{'false of 400':>14}")
    for way, row in large.items():
        within = MOVED & set().union(*planted[way]["found"])
        false = sum(len(found) for found in clean[way]["found"])
        print(
            f"{way:20}{row['seconds']:8.2f}{row['seconds'] / ours['seconds']:8.1f}{BARS.get(way, 1):6.0f}"
            f"{row['peak_mb']:8.0f}{row['peak_mb'] / ours['peak_mb']:8.1f}"
            f"{len(MOVED & set(row['found'][0])):7} /6"
            f"{len(within):12} /6{false:14}"
        )
    # A tenth of the rows as well: memory is bounded by columns, so it is the same.
    for what, value in (live(random) | wide(arguments.rows // 10) | wide(arguments.rows)).items():
        print(f"{what:56}{value:10.2f}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
