"""Page's cumulative sum: the quickest notice of a lasting rise when there is one value at a time.

Source: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954). The alarm limit is not taken
from tables, which assume normal values: it is resampled from the reference itself, in blocks, so that
skewed and dependent losses come near the declared rate of false alarms: benchmarks/check_statistics.py
measures about twice the declared rate after a reference of 300 values, and closer with more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ALLOWANCE = 0.5
"""Rises of less than half a reference deviation are let pass (the usual choice for a 1-sigma shift)."""


HORIZON = 90
"""Values over which the share of false alarms is declared."""


class Alarm(NamedTuple):
    """The sum rose from position ``began`` on and exceeded the limit at position ``ended``."""

    ended: int
    began: int
    total: float
    limit: float


@dataclass(frozen=True, kw_only=True)
class Cusum:
    """A calibrated detector: reference mean and deviation, and the limit of the sum."""

    mean: float
    deviation: float
    limit: float

    @classmethod
    def calibrate(
        cls,
        reference: NDArray[np.float64],
        *,
        false_alarms: float,
        horizon: int = HORIZON,
        block: int = 7,
        n_paths: int = 1000,
        seed: int = 0,
    ) -> Cusum:
        """Set the limit so that a share ``false_alarms`` of paths of ``horizon`` values alarms.

        Args:
            reference: losses or residuals in time order, shape ``(n,)``.
            false_alarms: tolerated share of false alarms per ``horizon`` values, between 0 and 1.
            block: length of the resampled runs, which keeps weekly dependence.
        """
        mean, deviation = float(reference.mean()), float(reference.std(ddof=1)) or 1.0
        scaled = (reference - mean) / deviation
        random = np.random.default_rng(seed)
        length = min(block, scaled.size)
        starts = random.integers(0, scaled.size - length + 1, size=(n_paths, -(-horizon // length)))
        paths = scaled[starts[..., None] + np.arange(length)].reshape(n_paths, -1)[:, :horizon]
        paths = _as_seen_by_another_reference(paths, scaled, length, random)
        sums, highest = np.zeros(n_paths), np.zeros(n_paths)
        for step in range(horizon):
            sums = np.maximum(0.0, sums + paths[:, step] - ALLOWANCE)
            highest = np.maximum(highest, sums)
        return cls(mean=mean, deviation=deviation, limit=float(np.quantile(highest, 1 - false_alarms)))

    def first_alarm(self, values: NDArray[np.float64]) -> Alarm | None:
        """The first time that the sum of ``values`` exceeds the limit; None if it never does."""
        sums = self.run(values)
        above = np.flatnonzero(sums > self.limit)
        if not above.size:
            return None
        index = int(above[0])
        quiet = np.flatnonzero(sums[:index] == 0)
        began = int(quiet[-1]) + 1 if quiet.size else 0
        return Alarm(index, began, float(sums[index]), self.limit)

    def run(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum after each of ``losses`` (shape ``(n,)``); an alarm is where it exceeds ``limit``."""
        total, sums = 0.0, np.empty(losses.size)
        for index, value in enumerate((losses - self.mean) / self.deviation):
            total = max(0.0, total + value - ALLOWANCE)
            sums[index] = total
        return sums


def _as_seen_by_another_reference(
    paths: NDArray[np.float64], scaled: NDArray[np.float64], length: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Centre and scale each path by a resampled reference: its mean and deviation are estimates too."""
    starts = random.integers(0, scaled.size - length + 1, size=(len(paths), max(scaled.size // length, 1)))
    n = starts.shape[1] * length
    means, squares = (
        np.diff(np.stack([sums[starts], sums[starts + length]]), axis=0)[0].sum(axis=1, keepdims=True) / n
        for sums in (np.append(0.0, np.cumsum(scaled**power)) for power in (1, 2))
    )
    deviations = np.sqrt(np.maximum(squares - means**2, 0) * n / max(n - 1, 1))
    return np.asarray((paths - means) / np.where(deviations > 0, deviations, 1.0))


def _resampled(
    reference: NDArray[np.float64], n: int, length: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """``n`` values of ``reference``, in blocks of ``length`` neighbours."""
    starts = random.integers(0, reference.size - length + 1, size=-(-n // length))
    values: NDArray[np.float64] = reference[starts[:, None] + np.arange(length)].ravel()[:n]
    return values
