"""Does a model keep its answers when inputs are a little off, when one is missing, or when somebody tries?

Whatever is measured is held against what the model spares of a constant's loss, so that one limit fits every
metric: a model that loses all of it is worth no more than a constant. Only answers are looked at, so that
every kind of model can be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.comparison import paired_interval
from headrace.checks.fairness import Share
from headrace.checks.metrics import Floats, Interval, Outputs
from headrace.core.ports import Columns

MOVED = 0.5
"""By how many standard deviations of its answers a number must move to count as another decision."""
_NORMAL_QUARTILES = 1.349
_STARTS = 8
_ROUNDS = 8
_MOST_ASKED = 20_000
Ask = Callable[[Columns], Outputs]


@dataclass(frozen=True, kw_only=True)
class Span:
    """How far one input spreads, and between what it was seen.

    Attributes:
        spread: standard deviation, or by the quartiles where that is less: a few extreme values make the
            usual ones no less alike (B. Silverman, Density Estimation, 1986, 3.31).
    """

    spread: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Any) -> Span | None:
        """None where there are no two different numbers.

        >>> Span.of(np.array([0.0, 0.0, 0.0, 0.0, 2.0, np.nan]))
        Span(spread=0.8, low=0.0, high=2.0)
        """
        known = np.asarray(values, dtype=np.float64)
        known = known[np.isfinite(known)]
        if not known.size or known.min() == known.max():
            return None
        quartiles = np.subtract(*np.quantile(known, [0.75, 0.25])) / _NORMAL_QUARTILES
        spread = float(known.std())
        return cls(
            spread=min(spread, float(quartiles)) if quartiles > 0 else spread,
            low=float(known.min()),
            high=float(known.max()),
        )


@dataclass(frozen=True, kw_only=True)
class Stress:
    """What one disturbance did to the answers.

    Attributes:
        loss, before: mean loss with it and without it, on the same rows.
        worse: paired interval of their difference; above 0 it is worse.
        beyond: interval of how much more is lost than the share that is allowed of what the model spares of a
            constant's loss; above 0 it is shown to be more.
        share_lost: estimate of that share; None where the model spares nothing.
        flipped: decisions that became others.
    """

    name: str
    loss: float
    before: float
    worse: Interval
    beyond: Interval
    share_lost: float | None
    flipped: Share


def stress(
    name: str,
    losses: tuple[Floats, Floats, Floats],
    answers: tuple[Outputs, Outputs],
    *,
    allowed: float,
    confidence: float,
    groups: Any = None,
) -> Stress:
    """Compare answers with and without a disturbance, on the same rows.

    Args:
        losses: of each row with it, without it and of a constant, each ``(n_rows,)``.
        answers: with it, and without it.
        allowed: the share, 0 to 1, that may be lost of what the model spares of the constant's loss.
        groups: as of :func:`headrace.checks.comparison.paired_interval`.
    """
    known = np.isfinite(losses[0]) & np.isfinite(losses[1]) & np.isfinite(losses[2])
    after, before, constant = (one[known] for one in losses)
    of = None if groups is None else np.asarray(groups)[known]
    spared = float((constant - before).mean())
    flips = decisions_moved(*answers)[known]
    return Stress(
        name=name,
        loss=float(after.mean()),
        before=float(before.mean()),
        worse=paired_interval(after, before, confidence, of),
        beyond=paired_interval(after, (1 - allowed) * before + allowed * constant, confidence, of),
        share_lost=float((after - before).mean()) / spared if spared > 0 else None,
        flipped=Share(hits=int(flips.sum()), n=int(flips.size)),
    )


def decisions_moved(after: Outputs, before: Outputs) -> NDArray[np.bool_]:
    """Rows whose class is another, or whose number moved by half a deviation of all numbers, ``(n_rows,)``.

    >>> decisions_moved({"predict": np.array([1.0, 9.0])}, {"predict": np.array([1.0, 3.0])}).tolist()
    [False, True]
    """
    now, then = np.asarray(after["predict"]), np.asarray(before["predict"])
    if "probability" in before:
        return np.asarray(now != then)
    return np.asarray(np.abs(now - then) > MOVED * (float(np.nanstd(then)) or np.inf))


def noisy(columns: Columns, spans: Mapping[str, Span], noise: float, random: np.random.Generator) -> Columns:
    """Add normal noise of ``noise`` spreads to every number that is known; none leaves what was seen."""
    made = dict(columns)
    for name, span in spans.items():
        values = np.asarray(columns[name], dtype=np.float64)
        moved = values + random.normal(0.0, noise * span.spread, len(values))
        made[name] = np.clip(moved, np.minimum(values, span.low), np.maximum(values, span.high))
    return made


def without(columns: Columns, name: str) -> Columns:
    """The rows as they are when this input is missing in all of them."""
    values = np.asarray(columns[name])
    gone: NDArray[Any] = np.full(len(values), np.nan if values.dtype.kind in "fiu" else None)
    return dict(columns) | {name: gone}


def attack(
    ask: Ask, columns: Columns, spans: Mapping[str, Span], reach: float, random: np.random.Generator
) -> Columns:
    """Look for the change, of at most ``reach`` spreads in each number, that moves each answer most.

    A greedy search that sees answers only: from the best of a few corners of what is in reach, one input
    after the other goes to whichever end moves the answer further, as long as it does. What it does not find
    may be there all the same.

    Args:
        columns: few rows; about 20,000 rows are asked of the model at most.
    """
    names = list(spans)
    start = np.column_stack([np.asarray(columns[name], dtype=np.float64) for name in names])
    n_rows, n_names = start.shape
    far = np.array([reach * spans[name].spread for name in names])
    low = np.maximum(start - far, np.minimum([spans[name].low for name in names], start))
    high = np.minimum(start + far, np.maximum([spans[name].high for name in names], start))
    before = ask(columns)

    def moved(points: NDArray[np.float64], rows: NDArray[np.intp]) -> Floats:
        some = {name: np.asarray(values)[rows] for name, values in columns.items()}
        answers = ask(some | {name: points[:, at] for at, name in enumerate(names)})
        return _distance(answers, before, rows)

    best, size = start.copy(), np.zeros(n_rows)
    rows = np.arange(n_rows)
    for _ in range(_STARTS):
        corner = np.where(random.random(start.shape) < 0.5, low, high)
        further = moved(corner, rows)
        best, size = _better(best, size, corner, further)
    budget = _MOST_ASKED - _STARTS * n_rows
    for _ in range(min(_ROUNDS, budget // max(1, 2 * n_names * n_rows))):
        tried = np.repeat(best[None], 2 * n_names, axis=0)
        for at in range(n_names):
            tried[2 * at, :, at], tried[2 * at + 1, :, at] = low[:, at], high[:, at]
        found = moved(tried.reshape(-1, n_names), np.tile(rows, 2 * n_names)).reshape(-1, n_rows)
        which = found.argmax(axis=0)
        new, further = tried[which, rows], found[which, rows]
        if not (further > size).any():
            break
        best, size = _better(best, size, new, further)
    return dict(columns) | {name: best[:, at] for at, name in enumerate(names)}


def _better(
    best: NDArray[np.float64], size: Floats, new: NDArray[np.float64], further: Floats
) -> tuple[NDArray[np.float64], Floats]:
    wins = further > size
    return np.where(wins[:, None], new, best), np.where(wins, further, size)


def _distance(after: Outputs, before: Outputs, rows: NDArray[np.intp]) -> Floats:
    """How far answers are from another decision the other way round: larger is nearer to it, or beyond it."""
    if "probability" not in before:
        return np.asarray(np.abs(np.asarray(after["predict"]) - np.asarray(before["predict"])[rows]))
    first = np.asarray(before["probability"])[rows]
    own = first.argmax(axis=1)
    at = np.arange(len(rows))
    lost: Floats = first[at, own] - np.asarray(after["probability"])[at, own]
    rest = np.asarray(after["probability"]).copy()
    kept = rest[at, own].copy()
    rest[at, own] = -np.inf
    # A flip counts for more than any loss of sureness.
    return np.asarray(np.where(rest.max(axis=1) > kept, 2.0 + lost, lost))


def together(confidence: float, n_judged: int) -> float:
    """The level of each of several intervals that hold all together (C. Bonferroni)."""
    return 1 - (1 - confidence) / max(1, n_judged)
