"""How often chance makes a finding where nothing has moved, and how soon a planted shift is found.

    python benchmarks/false_alarms.py                  # 1,000 model-quarters
    python benchmarks/false_alarms.py --quarters 100

A model has 20 inputs (numbers and categories) and its predictions; a quarter has 13 windows of a week. Every
window is compared as :func:`headrace.monitoring.shifts.watch_shifts` compares it, at the level that the
default budget of one false alarm per release and quarter leaves to that monitor. Prints the number of false
findings with an exact 99 % interval of their expected number: by the evidence alone, and by evidence and
size. Then plants shifts of 0.1 standard deviations, or of 5 points of a category, in 6 of 20 columns.
Ends with 1 if the budget is exceeded or a planted shift is not found within three windows.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from drift import MOVED, draw

from headrace.checks.drift import Profile, shifts
from headrace.core.project import Column, MonitorSpec
from headrace.monitoring.monitors import n_sharing
from headrace.monitoring.watch import QUARTER_S, level_of
from headrace.testing.factories import make_project

SPEC = MonitorSpec()
N_WINDOWS = QUARTER_S // SPEC.window_s
N_TESTS = 21
N_MONITORS = n_sharing(make_project())
LEVEL = level_of(SPEC, N_MONITORS, N_TESTS)
BUDGET = SPEC.false_alarms / N_MONITORS
"""Expected false findings per quarter that are this monitor's share."""


def table(random: np.random.Generator, n_rows: int, *, moved: bool) -> dict[str, np.ndarray]:
    """20 inputs and the predictions."""
    drawn = draw(random, n_rows, moved=moved)
    named = {k: v.astype(str) if k.startswith("c") else v for k, v in drawn.items()}
    return {**named, "prediction": random.normal(size=n_rows)}


def profile(random: np.random.Generator, n_rows: int) -> Profile:
    """What a release keeps of its training rows."""
    columns = table(random, n_rows, moved=False)
    specs = [Column(name=k, role="categorical" if k.startswith("c") else "numeric") for k in columns]
    return Profile.fit(columns, specs)


def main() -> int:
    """Simulate, print, judge."""
    from scipy.stats import chi2

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quarters", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=1_000, help="of a window")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    by_evidence = by_both = 0
    for _ in range(arguments.quarters):
        reference = profile(random, 5 * arguments.rows)
        announced: tuple[set[str], set[str]] = (set(), set())
        for _ in range(N_WINDOWS):
            for found in shifts(reference, table(random, arguments.rows, moved=False)):
                if found.p_value is not None and found.p_value <= LEVEL:
                    announced[0].add(found.feature)
                    if (found.size or 0.0) >= SPEC.shift:
                        announced[1].add(found.feature)
        by_evidence, by_both = by_evidence + len(announced[0]), by_both + len(announced[1])
    expected = BUDGET * arguments.quarters
    print(f"{arguments.quarters:,} model-quarters of {N_WINDOWS} windows x {N_TESTS} columns, nothing moved")
    exceeded = False
    for words, n in (("evidence alone", by_evidence), ("evidence and size", by_both)):
        low, high = (chi2.ppf(q, 2 * (n + up)) / 2 if n + up else 0.0 for q, up in ((0.005, 0), (0.995, 1)))
        exceeded |= low > expected
        print(f"  {words:18} {n:5} findings (99 %: {low:.0f} to {high:.0f}); budget {expected:.0f}")
    missed = set(MOVED)
    reference = profile(random, 100_000)
    false = set()
    for _ in range(3):
        for found in shifts(reference, table(random, 10_000, moved=True)):
            if found.p_value is not None and found.p_value <= LEVEL and (found.size or 0) >= SPEC.shift:
                missed.discard(found.feature)
                false |= {found.feature} - MOVED
    n_found = len(MOVED) - len(missed)
    print(f"planted in 3 windows of 10,000 rows: {n_found} of {len(MOVED)} found, {len(false)} false")
    return 1 if exceeded or missed or false else 0


if __name__ == "__main__":
    sys.exit(main())
