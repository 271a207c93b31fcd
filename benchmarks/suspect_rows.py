"""How long it takes to look through a million rows for suspect ones, and how often clean values are flagged.

python benchmarks/suspect_rows.py [--rows 1000000]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.outliers import usual_limits
from headrace.checks.rows import suspects
from headrace.core.project import Column, DataSpec

RUNS = {20: 2000, 100: 2000, 1_000: 2000, 10_000: 500}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    n = parser.parse_args().rows
    table, spec = mixed(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, used = time.perf_counter(), time.process_time()
    found = suspects(table, spec, "regression")
    wall, cpu = time.perf_counter() - started, time.process_time() - used
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{n:,} rows x {len(table)}: {wall:.1f} s ({cpu:.1f} s of one core), {more:,.0f} MB beyond the table,"
    )
    print(f"  {sum(len(one.rows) for one in found):,} reasons")
    for name, make in shapes().items():
        rates = ", ".join(f"n = {size:,}: {flagged(make, size, runs)}" for size, runs in RUNS.items())
        print(f"{name:<12} columns with a flag (values flagged)  {rates}")


def mixed(n: int) -> tuple[dict[str, NDArray[Any]], DataSpec]:
    """Twelve numbers, six categories of 10 to 1,000 names, a time and a key of ``n`` names."""
    random = np.random.default_rng(0)
    numbers = {f"n{i}": random.normal(size=n) if i % 2 else random.lognormal(size=n) for i in range(12)}
    numbers["n1"][::1000] = np.nan
    names = [np.array([f"w{j}" for j in range(10 ** (1 + i % 3))], dtype=object) for i in range(6)]
    texts = {f"c{i}": words[random.integers(0, len(words), n)] for i, words in enumerate(names)}
    at = np.datetime64("2020-01-01", "us") + np.arange(n)
    key = np.array([f"id-{i}-2" for i in range(n)], dtype=object)
    columns = tuple(
        Column(name=name, role="numeric" if name in numbers else "categorical") for name in (*numbers, *texts)
    )
    spec = DataSpec(source="", target="n3", time="t", key="k", columns=columns, rules=("n0 > 0", "n1 < n0"))
    return numbers | texts | {"t": at, "k": key}, spec


def shapes() -> dict[str, Callable[[int], NDArray[np.float64]]]:
    """Clean values of four kinds."""
    random = np.random.default_rng(5)
    return {
        "normal": lambda n: random.normal(size=n),
        "log-normal": lambda n: random.lognormal(size=n),
        "exponential": lambda n: random.exponential(size=n),
        "t, 3 degrees": lambda n: random.standard_t(3, size=n),
    }


def flagged(make: Callable[[int], NDArray[np.float64]], n: int, runs: int) -> str:
    """Share of columns with any flag, and share of values."""
    columns = values = 0
    for _ in range(runs):
        made = make(n)
        low, high = usual_limits(made)
        beyond = int(((made < low) | (made > high)).sum())
        columns, values = columns + bool(beyond), values + beyond
    return f"{columns / runs:.1%} ({values / runs / n:.2%})"


if __name__ == "__main__":
    main()
