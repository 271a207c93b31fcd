"""Has the share of rows of which something is known fallen, from one window to those before it?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

VARIES = 0.1
"""Shares of windows are taken to vary by a tenth of themselves at least: of few windows nobody knows."""
FEWEST_WINDOWS = 2


def fallen_p_value(known: int, n: int, known_before: NDArray[np.int64], n_before: NDArray[np.int64]) -> float:
    """One-sided p-value of a share that has not fallen below that of earlier windows.

    A normal test of two binomial shares, with variance between windows beside that within them: the one
    observed (by moments, DerSimonian and Laird 1986), or :data:`VARIES` of the share if that is more. Its
    level is simulated in ``tests/checks/test_coverage.py``.

    Args:
        known, n: rows of the window, and of how many of them something is known.
        known_before, n_before: the same of the windows before, ``(n_windows,)`` each; at least two.

    >>> fallen_p_value(40, 400, np.array([300, 310, 295]), np.array([400, 400, 400])) < 1e-6
    True
    >>> fallen_p_value(280, 400, np.array([300, 310, 295]), np.array([400, 400, 400])) > 0.1
    True
    """
    from scipy.special import ndtr

    total = int(n_before.sum())
    if n < 1 or total < 1 or len(n_before) < FEWEST_WINDOWS:
        return 1.0
    before, now = float(known_before.sum()) / total, known / n
    pooled = (known + float(known_before.sum())) / (n + total)
    between = max(_between(known_before, n_before, before), VARIES * before) ** 2
    variance = pooled * (1 - pooled) * (1 / n + 1 / total) + between * (1 + 1 / len(n_before))
    return float(ndtr((now - before) / math.sqrt(variance))) if variance > 0 else 1.0


def _between(known: NDArray[np.int64], n: NDArray[np.int64], share: float) -> float:
    """Standard deviation of the windows' own shares, beyond that of counts."""
    within = share * (1 - share)
    if within == 0:
        return 0.0
    excess = float((n * (known / n - share) ** 2).sum()) / within - (len(n) - 1)
    room = float(n.sum() - (n.astype(np.float64) ** 2).sum() / n.sum()) / within
    return math.sqrt(max(excess / room, 0.0))
