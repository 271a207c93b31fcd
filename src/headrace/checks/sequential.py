"""Looking as often as one likes without being fooled: intervals that hold at all times at once.

An ordinary 95 % interval that is looked at after every answer excludes the truth sooner or later. The
confidence sequence here excludes it at any look with probability at most ``alpha``.

Source: I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, "Time-uniform central limit theory
and asymptotic confidence sequences", Annals of Statistics 52 (2024), theorem 2.2. It is asymptotic: the
first rows and skewed values need care, so nothing is said before ``FEWEST_ROWS`` rows, and the interval is
widened for skewness as :func:`headrace.checks.metrics.reach_of` does. The level is simulated in
``benchmarks/check_statistics.py``, and what a canary makes of it in ``benchmarks/canary.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headrace.checks.metrics import Floats, Interval, reach_of
from headrace.core.errors import InvalidInput

FEWEST_ROWS = 50
"""Rows before the first interval."""
FEWEST_DIFFERENT = 5
"""Differences other than 0 before the first interval: rare ones tell nothing about their own spread."""


@dataclass(kw_only=True)
class AlwaysValid:
    """A confidence sequence for the mean of paired differences. Not safe to share between threads.

    Attributes:
        alpha: probability of ever excluding the true mean, such as 0.05.
        tuned_for: number of rows at which the interval is narrowest relative to its possibilities.

    >>> sequence = AlwaysValid(alpha=0.05)
    >>> sequence.update(np.linspace(0.9, 1.1, 200))
    >>> interval = sequence.interval()
    >>> interval is not None and interval.low > 0
    True
    """

    alpha: float
    tuned_for: int = 400
    n: int = field(default=0, init=False)
    n_different: int = field(default=0, init=False)
    _mean: float = field(default=0.0, init=False, repr=False)
    _second: float = field(default=0.0, init=False, repr=False)
    _third: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise InvalidInput(f"alpha is {self.alpha}. Expected a number between 0 and 1, such as 0.05.")

    def update(self, differences: Floats) -> None:
        """Add differences in loss, shape ``(n_new,)``, in the order in which they came.

        Raises:
            InvalidInput: one is not finite; nothing is added.
        """
        new = np.asarray(differences, dtype=np.float64).ravel()
        if not np.isfinite(new).all():
            raise InvalidInput(
                "A difference in loss is not finite. Leave out rows that could not be measured."
            )
        if new.size:
            self.n_different += int(np.count_nonzero(new))
            self._merge(new)

    def interval(self) -> Interval | None:
        """The present interval; None while nothing can be said.

        That is before 50 rows, and while fewer than 5 differences are other than 0: models that have
        answered alike so far have not been told apart.
        """
        if self.n < FEWEST_ROWS or self.n_different < FEWEST_DIFFERENT:
            return None
        spread = math.sqrt(self._second / (self.n - 1))
        skewness = 0.0 if spread == 0 else self._third / self.n / spread**3
        below, above = reach_of(_boundary(self.n, self.alpha, self.tuned_for), skewness, self.n)
        return Interval(
            estimate=self._mean,
            low=self._mean - spread * below,
            high=self._mean + spread * above,
            confidence=1 - self.alpha,
            n=self.n,
        )

    def _merge(self, new: Floats) -> None:
        """Combine central moments (P. Pébay, Sandia report SAND2008-6212): stable, and order-free."""
        m, n = new.size, self.n
        total = n + m
        mean = float(new.mean())
        second = float(((new - mean) ** 2).sum())
        third = float(((new - mean) ** 3).sum())
        gap = mean - self._mean
        self._third += (
            third + gap**3 * n * m * (n - m) / total**2 + 3 * gap * (n * second - m * self._second) / total
        )
        self._second += second + gap**2 * n * m / total
        self._mean += gap * m / total
        self.n = total


def between_arms(values: Floats, chosen: Any, share: float, units: Any) -> Floats:
    """What each unit says of how much higher values are in one of two arms that answer by lot.

    The mean of the result is the difference in mean per answer (D. Horvitz and D. Thompson, JASA 47, 1952, of
    values from which their common mean is taken), so that :class:`AlwaysValid` may look at it.

    Args:
        values: of each answer, ``(n,)``.
        chosen: whether it is the one arm's, ``(n,)``; a unit is drawn for it with probability ``share``.
        units: what is drawn as a whole, such as a customer, ``(n,)``.

    Returns:
        One number for each unit, in the order in which they first came.

    >>> said = between_arms(np.array([3.0, 1.0]), np.array([True, False]), 0.5, np.array(["a", "b"]))
    >>> float(said.mean())
    2.0
    """
    values, chosen = np.asarray(values, dtype=np.float64), np.asarray(chosen, dtype=bool)
    weights = np.where(chosen, 1 / share, -1 / (1 - share))
    _, first, place = np.unique(units, return_index=True, return_inverse=True)
    summed = np.bincount(place, weights=(values - values.mean()) * weights)
    return np.asarray(summed[np.argsort(first)] * summed.size / values.size)


def _boundary(n: int, alpha: float, tuned_for: int) -> float:
    """Half width in standard deviations after ``n`` rows."""
    log_level = -2 * math.log(alpha)
    weight = (log_level + math.log(log_level) + 1) / tuned_for if log_level > 1 else 1 / tuned_for
    scale = n * weight + 1
    return math.sqrt(2 * scale / (n**2 * weight) * math.log(math.sqrt(scale) / alpha))


def rows_to_notice(effect: float, *, alpha: float, tuned_for: int = 400, power: float = 0.95) -> int:
    """Rows after which a mean that is ``effect`` standard deviations off has been noticed, nearly surely.

    Args:
        effect: distance of the mean difference from what is tolerated, in deviations of one difference.
        power: probability that the interval at that row lies beyond what is tolerated; most runs end sooner.

    Raises:
        InvalidInput: no effect, or one that is not a number.

    >>> rows_to_notice(0.1, alpha=0.08, tuned_for=1000) > rows_to_notice(0.2, alpha=0.08, tuned_for=1000)
    True
    """
    from scipy.special import ndtri

    if not 0 < effect < math.inf:
        raise InvalidInput(f"The effect is {effect}. Expected a number of standard deviations above 0.")
    reach = float(ndtri(power))

    def noticed(n: int) -> bool:
        return _boundary(n, alpha, tuned_for) + reach / math.sqrt(n) <= effect

    high = FEWEST_ROWS
    while not noticed(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if noticed(middle) else (middle, high)
    return max(high, FEWEST_ROWS)


def smallest_noticed(n: int, *, alpha: float, tuned_for: int = 400, power: float = 0.95) -> float:
    """The other way round: the effect, in standard deviations, that ``n`` rows notice nearly surely.

    >>> 0.1 < smallest_noticed(1000, alpha=0.08, tuned_for=1000) < 0.2
    True
    """
    from scipy.special import ndtri

    return _boundary(n, alpha, tuned_for) + float(ndtri(power)) / math.sqrt(n)


def exceeds_share(hits: int, n: int, limit: float, alpha: float) -> bool:
    """Whether more than ``limit`` of all cases are hits, by ``hits`` of ``n``, at however many looks.

    Where the share is ``limit`` or less, the chance that any look ever says so is at most ``alpha``. The
    evidence is a likelihood ratio against ``limit``, averaged over all larger shares, which grows beyond
    ``1 / alpha`` that rarely (J. Ville, 1939; H. Robbins, Annals of Mathematical Statistics 41, 1970).

    >>> exceeds_share(5, 20, 0.02, 0.01), exceeds_share(1, 20, 0.02, 0.01)
    (True, False)
    """
    from scipy.special import betaincc, betaln, xlog1py, xlogy

    if not hits or limit >= 1:
        return False
    beyond = float(betaincc(hits + 1, n - hits + 1, limit))
    if beyond == 0:
        return False
    averaged = float(betaln(hits + 1, n - hits + 1)) + math.log(beyond) - math.log1p(-limit)
    at_limit = float(xlogy(hits, limit) + xlog1py(n - hits, -limit))
    return averaged - at_limit >= -math.log(alpha)
