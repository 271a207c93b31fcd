"""Do the intervals and tests keep the level that they claim? Simulated; prints one table per claim.

    .venv/bin/python benchmarks/check_statistics.py [--quick]

Takes about two minutes on one core (--quick: half a minute). The differences in loss
are those of tests/checks/simulated.py.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headrace.checks.cusum import Cusum
from headrace.checks.drift import Profile, shifts
from headrace.checks.metrics import mean_interval
from headrace.checks.sequential import AlwaysValid
from headrace.core.clock import SystemClock
from headrace.core.project import Column
from tests.checks.simulated import DIFFERENCES, RARE, Losses

Floats = NDArray[np.float64]
LEVEL = 0.95
SIZES = (30, 100, 500, 2000)
EVERY = 5


def table(title: str, head: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print aligned columns; numbers are percentages."""
    print(f"\n{title}")
    lines = [[str(cell) if isinstance(cell, str) else f"{100 * cell:.1f}" for cell in row] for row in rows]
    header = list(head)
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    for line in [header, *lines]:
        print(
            "  "
            + "  ".join(
                c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
            )
        )


def student_interval(values: Floats, confidence: float) -> tuple[float, float]:
    """The textbook interval, for comparison."""
    from scipy.special import stdtrit

    reach = (
        float(stdtrit(values.size - 1, (1 + confidence) / 2))
        * float(values.std(ddof=1))
        / math.sqrt(values.size)
    )
    return float(values.mean()) - reach, float(values.mean()) + reach


def coverage(losses: Losses, n: int, n_reps: int) -> tuple[float, float]:
    """Share of intervals that hold the true mean: ours, and Student's."""
    values = losses.draw(np.random.default_rng(n), (n_reps, n))
    ours = [mean_interval(row, LEVEL) for row in values]
    plain = [student_interval(row, LEVEL) for row in values]
    return (
        float(np.mean([i.low <= losses.mean <= i.high for i in ours])),
        float(np.mean([low <= losses.mean <= high for low, high in plain])),
    )


def fooled(losses: Losses, n_rows: int, n_reps: int) -> tuple[float, float]:
    """Share of runs in which an interval ever excludes the true mean, looking after every fifth row."""
    random = np.random.default_rng(99)
    ours = plain = 0
    for _ in range(n_reps):
        row = losses.draw(random, (n_rows,))
        sequence = AlwaysValid(alpha=1 - LEVEL)
        for part in row.reshape(-1, EVERY):
            sequence.update(part)
            found = sequence.interval()
            if found is not None and not found.low <= losses.mean <= found.high:
                ours += 1
                break
        plain += ever_outside(row, losses.mean)
    return ours / n_reps, plain / n_reps


def ever_outside(row: Floats, mean: float) -> bool:
    """The same for Student's interval, from row 50 on."""
    n = np.arange(1, row.size + 1)
    means = np.cumsum(row) / n
    spread = np.sqrt(np.maximum(np.cumsum(row**2) / n - means**2, 0) * n / np.maximum(n - 1, 1))
    return bool((np.abs(means - mean) > 1.96 * spread / np.sqrt(n))[49::EVERY].any())


def words(n: int, random: np.random.Generator, *, n_kinds: int, decay: float) -> NDArray[Any]:
    """Categories, each ``decay`` times as frequent as the one before."""
    shares = decay ** np.arange(n_kinds)
    return np.array([f"w{i}" for i in range(n_kinds)], dtype=object)[
        random.choice(n_kinds, n, p=shares / shares.sum())
    ]


FEATURES: dict[str, Callable[[int, np.random.Generator], NDArray[Any]]] = {
    "normal": lambda n, r: r.normal(size=n),
    "log-normal": lambda n, r: r.lognormal(0, 2, n),
    "8 values": lambda n, r: r.integers(0, 8, n).astype(float),
    "10 % nulls": lambda n, r: np.where(r.random(n) < 0.1, np.nan, r.normal(size=n)),
    "4 categories": lambda n, r: words(n, r, n_kinds=4, decay=0.5),
    "60 categories": lambda n, r: words(n, r, n_kinds=60, decay=0.9),
}


def drift_alarms(
    draw: Callable[[int, np.random.Generator], NDArray[Any]], n: int, n_reps: int
) -> tuple[float, float]:
    """Share of p-values below 5 % without drift, and of PSI at or above 0.2."""
    random = np.random.default_rng(n)
    alarms = large = 0
    for _ in range(n_reps):
        reference, current = draw(5000, random), draw(n, random)
        role: Any = "numeric" if reference.dtype.kind == "f" else "categorical"
        (found,) = shifts(Profile.fit({"f": reference}, [Column(name="f", role=role)]), {"f": current})
        alarms += found.p_value is not None and found.p_value < 0.05
        large += found.psi is not None and found.psi >= 0.2
    return alarms / n_reps, large / n_reps


def cusum_alarms(losses: Losses, n_reps: int) -> float:
    """Share of calm series of 90 days that Page's sum takes for a rise, allowing 5 %."""
    random = np.random.default_rng(5)
    alarms = 0
    for _ in range(n_reps):
        values = losses.draw(random, (390,))
        detector = Cusum.calibrate(values[:300], false_alarms=0.05, n_paths=500)
        alarms += bool((detector.run(values[300:]) > detector.limit).any())
    return alarms / n_reps


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    n_reps = 300 if parser.parse_args().quick else 2000
    clock = SystemClock()
    started_s = clock.monotonic_s()
    error = 100 * math.sqrt(0.05 * 0.95 / n_reps)
    print(f"{n_reps} repetitions: a share of 5 % has a standard error of {error:.1f} points")
    table(
        f"Intervals for one look: % that hold the true mean (claimed {LEVEL:.0%}); in brackets Student's",
        ["difference in loss", *(f"n={n}" for n in SIZES)],
        [
            [
                name,
                *(
                    f"{100 * ours:.1f} ({100 * plain:.1f})"
                    for ours, plain in (coverage(losses, n, n_reps) for n in SIZES)
                ),
            ]
            for name, losses in DIFFERENCES.items()
        ],
    )
    table(
        "Looking after every fifth of 2,000 rows: % of runs that exclude the true mean (claimed at most 5)",
        ["difference in loss", "always valid", "Student's"],
        [[name, *fooled(losses, 2000, n_reps // 2)] for name, losses in (DIFFERENCES | RARE).items()],
    )
    table(
        "No drift, reference of 5,000 rows: % of p-values below 5 %; in brackets % of PSI at or above 0.2",
        ["feature", *(f"n={n}" for n in (30, 200, 1000))],
        [
            [
                name,
                *(
                    f"{100 * a:.1f} ({100 * b:.1f})"
                    for a, b in (drift_alarms(draw, n, n_reps // 2) for n in (30, 200, 1000))
                ),
            ]
            for name, draw in FEATURES.items()
        ],
    )
    table(
        "Cumulative sum over 90 calm days after 300: % that alarm (claimed 5)",
        ["loss", "alarms"],
        [[name, cusum_alarms(losses, n_reps // 4)] for name, losses in DIFFERENCES.items()],
    )
    print(f"\n{clock.monotonic_s() - started_s:.0f} s")


if __name__ == "__main__":
    main()
