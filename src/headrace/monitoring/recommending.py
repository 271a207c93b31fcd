"""Which release should answer, by what production has shown: pure functions of what was measured.

A release is held against the live one on rows that the live one has answered, whose truth has come, and from
which the other has not learnt. The interval of the difference in loss holds at every look at once, because
it is looked at with every label that comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headrace.checks.sequential import FEWEST_ROWS, AlwaysValid

NAME = "recommendation"
"""Name of the measurement: ``detail`` is a :class:`Recommendation`."""
ERROR = 0.1
"""Probability with which chance alone ever makes a release look better, or worse, than the live one."""
Do = Literal["keep", "roll_back", "roll_out", "retrain"]
Role = Literal["before", "next", "fallback"]


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A release that could answer instead.

    Attributes:
        role: ``before`` has been live, ``next`` waits to be, and a ``fallback`` stands by.
        n_rows: rows on which both are held against their truth.
        difference: its mean loss less the live one's; ``low`` to ``high`` is its interval. None while nothing
            can be said; ``why`` then says why not.
    """

    release_id: str
    subject: str
    role: Role
    n_rows: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What to do, and what it rests on.

    Attributes:
        release_id: the release to go back to, or to roll out.
        why: in a sentence.
        worse: what has been found worse about the live release.
    """

    do: Do
    release_id: str | None
    why: str
    worse: tuple[str, ...]
    rivals: tuple[Rival, ...]


def rival_of(
    release_id: str,
    subject: str,
    role: Role,
    losses: tuple[NDArray[np.float64], NDArray[np.float64]],
    n_rivals: int,
) -> Rival:
    """A release held against the live one.

    Args:
        losses: its own and the live one's ``(n_rows,)``, in the order in which labels came, NaN where one has
            none.
        n_rivals: releases that share :data:`ERROR`.
    """
    differences = losses[0] - losses[1]
    differences = differences[np.isfinite(differences)]
    sequence = AlwaysValid(alpha=ERROR / max(n_rivals, 1))
    sequence.update(differences)
    found: dict[str, Any] = {
        "why": f"{len(differences)} rows that both can be held against; {FEWEST_ROWS} are needed"
    }
    interval = sequence.interval()
    if interval is not None:
        found = {"difference": interval.estimate, "low": interval.low, "high": interval.high}
    elif len(differences) >= FEWEST_ROWS:
        found = {"why": "it answers as the live release does"}
    return Rival(release_id=release_id, subject=subject, role=role, n_rows=len(differences), **found)


def recommend(
    live: str, metric: str, worse: Sequence[str], rivals: Sequence[Rival], *, measured: bool = True
) -> Recommendation:
    """What follows: the best of those that are better; else a new one, if the live one got worse.

    ``measured`` is false where labels have not said so, and it was estimated only.

    >>> better = Rival(
    ...     release_id="r1", subject="cars@1", role="before", n_rows=90, difference=-2, low=-3, high=-1
    ... )
    >>> found = recommend("cars@2", "mae", ["mae is 1.4 times the test rows'"], [better])
    >>> found.do, found.release_id
    ('roll_back', 'r1')
    """
    better = [rival for rival in rivals if rival.high is not None and rival.high < 0]
    best = min(better, key=lambda rival: rival.difference or 0.0, default=None)
    if best is not None:
        what = "Go back to" if best.role == "before" else "Roll out"
        why = (
            f"{what} {best.subject}: its {metric} is smaller than that of {live} by "
            f"{-(best.difference or 0.0):.3g} on {best.n_rows:,} rows whose truth has come"
        )
        do: Do = "roll_back" if best.role == "before" else "roll_out"
        return _made(do, best.release_id, why, worse, rivals)
    if worse:
        known = "no release is known to be better" if rivals else "there is no other release"
        how = "is" if measured else "is probably"
        return _made(
            "retrain", None, f"Train again: {live} {how} worse than it was, and {known}", worse, rivals
        )
    return _made(
        "keep", None, f"Keep {live}: nothing shows that it got worse, or another is better", worse, rivals
    )


def _made(
    do: Do, release_id: str | None, why: str, worse: Sequence[str], rivals: Sequence[Rival]
) -> Recommendation:
    return Recommendation(
        do=do, release_id=release_id, why=f"{why}.", worse=tuple(worse), rivals=tuple(rivals)
    )
