"""Does a canary that is looked at after every row abort wrongly, and how much traffic does a real loss cost?

    python benchmarks/canary.py             # 2,000 rollouts of each kind, about 30 minutes on 2 cores
    python benchmarks/canary.py --quick     # 200

Live model and canary answer the same rows, and each row's label comes. They are both wrong on some rows and
one of them is on others: the shares of the latter are named. Every request fails as often as it may
(``max_error_rate`` 2 %). Everything else that can abort is on: four segments, a time to answer that one in a
hundred requests exceeds and in a tenth of the time one in five, of either model, and sales as a KPI. After
every row :func:`headrace.releases.rollout.judge` is asked, over 1.5 times the rows that a paired test needs
that looks once (two-sided 5 %, power 95 % for 3 points); the canary answers 10 % of the first half of them,
then 50 %. Sales are looked at after every tenth row.

Prints the share of rollouts that are aborted though nothing has changed (bar: at most 5 %), the share in
which a loss of 3 points is caught (bar: at least 95 %), and the rows it took, in multiples of those of one
look. Beside it the same for an ordinary 95 % interval looked at as often, and for the test that looks once.
Ends with 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import math
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from headrace.checks.sequential import between_arms
from headrace.core.project import RolloutSpec
from headrace.releases.observing import FEWEST_IN_ARM
from headrace.releases.rollout import KpiSeen, Observation, SegmentSeen, Shares, Slow, judge, one_sided

FALSE_ABORTS = 0.05
LOSS = 0.03
SPEC = RolloutSpec(steps=(10, 50), min_requests=50, min_labels=50)
SHARES = Shares.out_of(FALSE_ABORTS, segments=True, slow=True, kpis=True)
SEGMENTS = (0.5, 0.3, 0.15, 0.05)
"""How many of the rows are in each."""
SOLD = 0.2
"""Share of the answers that are followed by a sale, whoever gave them."""
LIVE_WRONG = 0.10
"""Of the live model's answers; the margin is 0, so a canary that is as good is the hardest to leave alone."""
APART = {"2 % only one is wrong": 0.02, "4 %": 0.04, "10 %": 0.10}
"""Share of rows on which the live model alone is wrong; the canary alone on as many, or on 3 points more."""


class Seen(NamedTuple):
    """One rollout: rows until it was aborted, or None; the same for the ordinary interval; one fixed look."""

    ours: int | None
    ordinary: int | None
    once: bool


def rows_of_one_look(apart: float) -> int:
    """Rows for which a paired test at 5 %, two-sided, has 95 % power for the loss."""
    variance = 2 * apart + LOSS - LOSS**2
    return math.ceil(float(ndtri(0.975) + ndtri(0.95)) ** 2 * variance / LOSS**2)


def rollout(random: np.random.Generator, apart: float, loss: float) -> Seen:
    """Answer row after row and look after each."""
    n_fixed = rows_of_one_look(apart)
    n_rows = math.ceil(1.5 * n_fixed)
    chance = random.random(n_rows)
    differences = (chance < apart + loss) * 1.0 - (chance > 1 - apart)
    failures = np.cumsum(random.random(n_rows) < SPEC.max_error_rate)
    outside = _outside(differences)
    ordinary = np.flatnonzero(outside[49:])
    return Seen(
        ours=_aborted(differences, failures, random),
        ordinary=int(ordinary[0]) + 50 if ordinary.size else None,
        once=bool(outside[n_fixed - 1]),
    )


def _aborted(differences: Any, failures: Any, random: np.random.Generator) -> int | None:
    sequence, within, beside = one_sided(SHARES.losses), Within(), Beside(differences.size, random)
    where = random.choice(len(SEGMENTS), differences.size, p=SEGMENTS).tolist()
    for n, failed in enumerate(failures.tolist(), start=1):
        sequence.update(differences[n - 1 : n])
        within.update(where[n - 1], differences[n - 1 : n])
        found = sequence.interval()
        slow, kpis = beside.at(n)
        seen = Observation(
            answered=n - failed,
            failed=failed,
            n_labels=n,
            difference=None if found is None else (found.low, found.high),
            champion_loss=LIVE_WRONG,
            segments=tuple(within.seen.values()),
            slow=slow,
            kpis=kpis,
        )
        if judge(seen, SPEC, 0.0, SHARES).outcome == "failed":
            return n
    return None


class Within:
    """The losses of each segment; what is seen of one changes only when a row of it comes."""

    def __init__(self) -> None:
        self._sequences = [one_sided(SHARES.segments / len(SEGMENTS)) for _ in SEGMENTS]
        self.seen: dict[int, SegmentSeen] = {}

    def update(self, segment: int, difference: Any) -> None:
        """One more row of a segment."""
        sequence = self._sequences[segment]
        sequence.update(difference)
        found = sequence.interval()
        self.seen[segment] = SegmentSeen(
            column="segment",
            name=str(segment),
            n_labels=sequence.n,
            champion_loss=LIVE_WRONG,
            difference=None if found is None else (found.low, found.high),
        )


class Beside:
    """Who answers each row, which answers are slow, and which are followed by a sale; anew in each step."""

    def __init__(self, n_rows: int, random: np.random.Generator) -> None:
        self._second = n_rows // 2
        shares = np.where(np.arange(n_rows) < self._second, *(step / 100 for step in SPEC.steps))
        self._mine = random.random(n_rows) < shares
        peak = np.arange(n_rows) % 500 >= 450
        self._slow = random.random(n_rows) < np.where(peak, 0.2, 0.01)
        self._sold = (random.random(n_rows) < SOLD) * 1.0
        self._kpis: tuple[KpiSeen, ...] = ()

    def at(self, n: int) -> tuple[Slow, tuple[KpiSeen, ...]]:
        """What is seen after ``n`` rows."""
        step = int(n > self._second)
        share = SPEC.steps[step] / 100
        rows = slice(self._second if step else 0, n)
        mine, slow = self._mine[rows], self._slow[rows]
        if n % 10 == 0:
            self._kpis = tuple(self._sales(mine, self._sold[rows], share))
        n_mine, slow_mine = int(mine.sum()), int((mine & slow).sum())
        timed = Slow(20.0, n_mine, slow_mine, mine.size - n_mine, int(slow.sum()) - slow_mine, share)
        return timed, self._kpis

    def _sales(self, mine: Any, sold: Any, share: float) -> list[KpiSeen]:
        if min(mine.sum(), (~mine).sum()) < FEWEST_IN_ARM:
            return []
        sequence = one_sided(SHARES.kpis / len(SPEC.steps))
        sequence.update(between_arms(sold, mine, share, np.arange(mine.size)))
        found = sequence.interval()
        return [] if found is None else [KpiSeen("sales", "", "lower", mine.size, (found.low, found.high))]


def _outside(differences: Any) -> Any:
    """Whether the lower end of an ordinary 95 % interval is above 0, after each row."""
    n = np.arange(1, differences.size + 1)
    means = np.cumsum(differences) / n
    variance = np.maximum(np.cumsum(differences**2) / n - means**2, 0) * n / np.maximum(n - 1, 1)
    return means > float(ndtri(0.975)) * np.sqrt(variance / n)


def rollouts(job: tuple[int, float, float, int]) -> list[Seen]:
    """``n`` of them."""
    seed, apart, loss, n = job
    random = np.random.default_rng([seed, round(1000 * apart), round(1000 * loss)])
    return [rollout(random, apart, loss) for _ in range(n)]


def main() -> int:
    """Simulate, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200 rollouts of each kind")
    n = 200 if parser.parse_args().quick else 2_000
    error = 100 * math.sqrt(0.05 * 0.95 / n)
    print(f"{n} rollouts of each kind: a share of 5 % has a standard error of {error:.1f} points\n")
    print(f"{'':23}{'rows of':>9}{'looks':>8} |{'aborted without a change':^31} |{'3 points caught':^44}")
    print(f"{'':23}{'one look':>9}{'at most':>8} |{'ours':>9}{'ordinary':>11}{'one look':>11} |", end="")
    print(f"{'ours':>9}{'one look':>11}{'rows, mean':>12}{'95 of 100':>12}")
    missed = False
    with ProcessPoolExecutor() as pool:
        for name, apart in APART.items():
            found = {}
            for loss in (0.0, LOSS):
                jobs = [(seed, apart, loss, n // 20) for seed in range(20)]
                found[loss] = [one for part in pool.map(rollouts, jobs) for one in part]
            fixed = rows_of_one_look(apart)
            most = math.ceil(1.5 * fixed)
            same, worse = found[0.0], found[LOSS]
            false = float(np.mean([one.ours is not None for one in same]))
            caught = float(np.mean([one.ours is not None for one in worse]))
            taken = np.array([most if one.ours is None else one.ours for one in worse]) / fixed
            missed |= false > FALSE_ABORTS or caught < 0.95
            print(f"{name:23}{fixed:9,}{most:8,} |{false:9.1%}", end="")
            print(f"{np.mean([one.ordinary is not None for one in same]):11.1%}", end="")
            print(f"{np.mean([one.once for one in same]):11.1%} |{caught:9.1%}", end="")
            print(f"{np.mean([one.once for one in worse]):11.1%}", end="")
            print(f"{taken.mean():11.2f}x{np.quantile(taken, 0.95):11.2f}x", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
