"""Do the champion gate's intervals cover the true difference in loss, also where rows come in groups?

    python benchmarks/champion.py             # 4,000 comparisons of each kind, about 5 minutes
    python benchmarks/champion.py --quick     # 400

Two models answer the same rows; :func:`headrace.checks.comparison.paired_interval` says how much worse one
is, at 95 %. Rows are independent, or belong to customers of whom some are hard for one of the models: few or
many, with equal numbers of rows or a few with most of them. Prints the share of intervals that cover the
true mean difference (bar: 93 to 97 %), beside Student's interval over rows, as usual, and the cluster-robust
one of statsmodels (CR1, Student's t). Ends with 1 if a share is outside the bar by more than chance explains.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headrace.checks.comparison import paired_interval
from tests.checks.simulated import DIFFERENCES

LEVEL = 0.95
LOW, HIGH = 0.93, 0.97
Draw = Callable[[np.random.Generator], tuple[Any, Any]]
"""Differences in loss whose true mean is 0, shape ``(n_rows,)``, and whose rows these are, or None."""


def independent(name: str, n_rows: int) -> Draw:
    """Rows of their own, with differences as models have them."""
    losses = DIFFERENCES[name]
    return lambda random: (losses.draw(random, (n_rows,)) - losses.mean, None)


def grouped(n_groups: int, kind: str, alike: float) -> Draw:
    """Customers with 20 rows on average; ``alike`` is the correlation between two rows of one."""

    def draw(random: np.random.Generator) -> tuple[Any, Any]:
        sizes = np.full(n_groups, 20)
        if kind == "uneven":
            sizes = random.geometric(1 / 20, n_groups)
        elif kind == "very uneven":
            sizes = np.minimum(np.ceil(random.lognormal(2.2, 1.2, n_groups)), 600).astype(int)
        groups = np.repeat(np.arange(n_groups), sizes)
        theirs = random.normal(0, math.sqrt(alike), n_groups)
        return theirs[groups] + random.normal(0, math.sqrt(1 - alike), groups.size), groups

    return draw


def wrong_answers(n_groups: int) -> Draw:
    """On few of a customer's 20 rows one model is wrong, and for a customer it is always the same one."""

    def draw(random: np.random.Generator) -> tuple[Any, Any]:
        groups = np.repeat(np.arange(n_groups), 20)
        direction = random.choice([-1.0, 1.0], n_groups)
        return direction[groups] * (random.random(groups.size) < 0.08), groups

    return draw


def kinds() -> Iterator[tuple[str, Draw]]:
    """What is simulated, by name."""
    for name in ("squared errors", "log losses", "wrong answers", "bounded, skewed"):
        for n_rows in (200, 1000):
            yield f"independent rows: {name}, n={n_rows:,}", independent(name, n_rows)
    for n_groups in (20, 50, 200):
        for kind in ("even", "uneven", "very uneven"):
            yield f"{n_groups} customers, {kind}, correlation 0.3", grouped(n_groups, kind, 0.3)
    yield "50 customers, uneven, rows all their own", grouped(50, "uneven", 0.0)
    yield "50 customers, uneven, rows alike", grouped(50, "uneven", 1.0)
    yield "50 customers, differing wrong answers", wrong_answers(50)


def covered(job: tuple[int, int, int]) -> Any:
    """Of ``n`` comparisons: whether ours, Student's and statsmodels' intervals cover 0."""
    import statsmodels.api as sm
    from scipy.special import stdtrit

    index, seed, n = job
    random = np.random.default_rng([index, seed])
    draw = list(kinds())[index][1]
    found = []
    for _ in range(n):
        differences, groups = draw(random)
        size, mean = differences.size, differences.mean()
        ours = paired_interval(differences, np.zeros(size), LEVEL, groups)
        reach = stdtrit(size - 1, (1 + LEVEL) / 2) * differences.std(ddof=1) / math.sqrt(size)
        robust = reach
        if groups is not None:
            told = {"groups": groups, "use_correction": True}
            fitted = sm.OLS(differences, np.ones(size)).fit(cov_type="cluster", cov_kwds=told)
            robust = stdtrit(groups.max(), (1 + LEVEL) / 2) * fitted.bse[0]
        found.append((ours.low <= 0 <= ours.high, abs(mean) <= reach, abs(mean) <= robust))
    return np.array(found)


def main() -> int:
    """Simulate, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="400 comparisons of each kind")
    n = 400 if parser.parse_args().quick else 4_000
    error = math.sqrt(LEVEL * (1 - LEVEL) / n)
    print(f"{n:,} comparisons of each kind: a share has a standard error of {100 * error:.2f} points")
    print(f"{'':48}{'ours':>8}{'Student':>10}{'statsmodels':>13}")
    missed = False
    with ProcessPoolExecutor() as pool:
        for index, (name, _) in enumerate(kinds()):
            parts = pool.map(covered, [(index, seed, n // 20) for seed in range(20)])
            ours, student, robust = np.concatenate(list(parts)).mean(axis=0)
            missed |= not LOW - 2 * error <= ours <= HIGH + 2 * error
            print(f"{name:48}{ours:8.1%}{student:10.1%}{robust:13.1%}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
