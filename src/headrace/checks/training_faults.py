"""What a training pipeline does wrong: inputs that say nothing or everything, nothing learnt, labels leaked.

Every question is about the pipeline and not about the model's use: how it does on rows that it has learnt
from, beside an ordinary model, and when its labels are shuffled. Losses are smaller where better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.comparison import FEWEST_ROWS, paired_interval
from headrace.checks.metrics import NUMERIC_LOSSES, Floats, Interval, labels_of, mean_interval, row_losses
from headrace.core.ports import Columns

CONFIDENCE = 0.99
"""Of each interval, two-sided: four questions together blame a sound pipeline in 2 % of cases at most."""
FEWEST_REFITS = 3
_FEWEST_COPIED = 50
_FEWEST_OF_CLASS = 5
_SAME = 0.999
_LEAST_SHUFFLED = 0.01
"""Share of the constant's loss that labels nobody was given must spare, to be worth a word."""


@dataclass(frozen=True, kw_only=True)
class InputFaults:
    """Names of inputs by what is wrong with them.

    Attributes:
        constant: one value in all rows.
        same: pairs that are equal in every row.
        copies: the target in another form; nobody knows it when an answer is wanted.
    """

    constant: tuple[str, ...] = ()
    same: tuple[tuple[str, str], ...] = ()
    copies: tuple[str, ...] = ()


def input_faults(
    columns: Columns, names: Sequence[str], truth: NDArray[Any] | None, *, classifies: bool
) -> InputFaults:
    """Look at inputs, and at how they go with the target.

    A copy is a number that is the target times and plus a constant, or a column whose values stand one for
    one for the classes, in 99.9 % of the rows; with fewer than 50 rows, or 5 of a class, none is named.

    Args:
        truth: the target, ``(n_rows,)``; None where there is none, or where inputs are made from it.

    >>> rows = {"a": np.arange(60.0), "b": np.ones(60), "c": np.arange(60.0)}
    >>> input_faults(rows, ["a", "b", "c"], np.arange(60.0) * 2 + 1, classifies=False)
    InputFaults(constant=('b',), same=(('a', 'c'),), copies=('a', 'c'))
    """
    listed = {name: labels_of(columns[name]) for name in names}
    constant = tuple(name for name, values in listed.items() if len(set(values)) == 1)
    first: dict[tuple[Any, ...], str] = {}
    same = []
    for name, values in listed.items():
        known = first.setdefault(tuple(values), name)
        if known != name and name not in constant:
            same.append((known, name))
    copies: tuple[str, ...] = ()
    if truth is not None:
        is_copy = _stands_for if classifies else _is_affine
        target = labels_of(truth)
        copies = tuple(name for name, values in listed.items() if is_copy(values, target))
    return InputFaults(constant=constant, same=tuple(same), copies=copies)


def _is_affine(values: list[Any], target: list[Any]) -> bool:
    pairs = [(v, t) for v, t in zip(values, target, strict=True) if _is_number(v) and _is_number(t)]
    if len(pairs) < max(_FEWEST_COPIED, 0.9 * len(target)):
        return False
    x, y = np.array(pairs, dtype=np.float64).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return False
    # By quartiles, so that a few rows that were mended by hand do not hide it.
    low, high = np.quantile(x, [0.25, 0.75], method="nearest")
    if low == high:
        return False
    slope = (float(np.median(y[x == high])) - float(np.median(y[x == low]))) / float(high - low)
    if slope == 0:
        return False
    rest = y - slope * x
    near = np.abs(rest - np.median(rest)) <= 1e-6 * float(np.ptp(y))
    return bool(near.mean() >= _SAME)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _stands_for(values: list[Any], target: list[Any]) -> bool:
    pairs = [(v, t) for v, t in zip(values, target, strict=True) if v is not None and t is not None]
    if len(pairs) < max(_FEWEST_COPIED, 0.9 * len(target)):
        return False
    counts: dict[Any, dict[Any, int]] = {}
    for value, label in pairs:
        of = counts.setdefault(value, {})
        of[label] = of.get(label, 0) + 1
    labels = {label for _, label in pairs}
    if len(counts) > 2 * len(labels) or len(labels) < 2:
        return False
    # Each class needs a value of its own, or a column that is nearly constant would stand for a rare class.
    best = {value: max(of, key=lambda label: of[label]) for value, of in counts.items()}
    right = dict.fromkeys(labels, 0)
    for value, label in best.items():
        right[label] += counts[value][label]
    enough = min(right.values()) >= _FEWEST_OF_CLASS
    return enough and sum(right.values()) >= _SAME * len(pairs)


def some_rows(n_rows: int, most: int, classes: NDArray[Any] | None = None) -> NDArray[np.intp]:
    """Positions of up to ``most`` rows, evenly spread; and of the first row of each class beside.

    >>> some_rows(5, 2, np.array(["a", "a", "b", "a", "a"])).tolist()
    [0, 2, 4]
    """
    chosen = np.linspace(0, n_rows - 1, min(n_rows, most)).astype(np.intp)
    if classes is not None:
        chosen = np.concatenate([chosen, np.unique(classes, return_index=True)[1].astype(np.intp)])
    return np.unique(chosen)


def constant_losses(metric: str, learnt: NDArray[Any], truth: NDArray[Any], n_classes: int = 0) -> Floats:
    """Losses of the simplest model, ``(n_rows,)``: the mean of ``learnt``, or the share of each class in it.

    Args:
        learnt: the target of the rows that it learns from; of classes their codes.
        truth: that of the rows that it is measured on, likewise.
    """
    n_rows = len(truth)
    if metric in NUMERIC_LOSSES:
        return row_losses(metric, truth, {"predict": np.full(n_rows, np.mean(learnt, dtype=np.float64))})
    shares = np.bincount(np.asarray(learnt, dtype=np.int64), minlength=n_classes) / len(learnt)
    return _of_shares(metric, shares, truth)


def best_constant_losses(metric: str, truth: NDArray[Any], n_classes: int = 0) -> Floats:
    """Losses of the constant that is best on these very rows: what nothing can beat that knows no labels.

    The mean is not: where the target is skewed or moves, a model of noise may come nearer by chance.
    """
    if metric not in NUMERIC_LOSSES:
        known = np.asarray(truth, dtype=np.int64)
        shares = np.bincount(known[known >= 0], minlength=n_classes) / max(1, int((known >= 0).sum()))
        return _of_shares(metric, shares, truth)
    known = np.asarray(truth, dtype=np.float64)
    known = known[np.isfinite(known)]
    tried = [known.mean(), *np.quantile(known, np.linspace(0.02, 0.98, 49))] if known.size else [0.0]
    losses = [row_losses(metric, truth, {"predict": np.full(len(truth), value)}) for value in tried]
    return min(losses, key=lambda one: float(np.nanmean(one)))


def _of_shares(metric: str, shares: Floats, truth: NDArray[Any]) -> Floats:
    answers = {
        "probability": np.tile(shares, (len(truth), 1)),
        "predict": np.full(len(truth), float(np.argmax(shares))),
    }
    return row_losses(metric, truth.astype(np.float64), answers, classes=list(range(len(shares))))


def gap_interval(train: Floats, test: Floats) -> Interval:
    """How much larger the loss is on test rows than on training rows (Welch 1947)."""
    one, other = mean_interval(train, CONFIDENCE), mean_interval(test, CONFIDENCE)
    estimate = other.estimate - one.estimate
    reach_low = math.hypot(other.estimate - other.low, one.high - one.estimate)
    reach_high = math.hypot(other.high - other.estimate, one.estimate - one.low)
    return Interval(
        estimate=estimate, low=estimate - reach_low, high=estimate + reach_high, confidence=CONFIDENCE,
        n=min(one.n, other.n),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much of what an ordinary model spares the simplest one a candidate spares, too.

    Attributes:
        candidate, ordinary: what each spares of the constant's loss, per row.
        worth_it: whether the ordinary model is shown to be better than the constant at all.
        short: interval of how much the candidate lacks to the least share; above 0 it is shown to lack it.
    """

    candidate: float
    ordinary: float
    worth_it: bool
    short: Interval


def gain_of(candidate: Floats, ordinary: Floats, constant: Floats, least: float, groups: Any = None) -> Gain:
    """Compare three models on the same test rows; ``least`` is the share, 0 to 1, that is asked for."""
    known = np.isfinite(candidate) & np.isfinite(ordinary) & np.isfinite(constant)
    candidate, ordinary, constant = candidate[known], ordinary[known], constant[known]
    groups = None if groups is None else np.asarray(groups)[known]
    spared = paired_interval(ordinary, constant, CONFIDENCE, groups)
    short = paired_interval(candidate, (1 - least) * constant + least * ordinary, CONFIDENCE, groups)
    return Gain(
        candidate=float((constant - candidate).mean()),
        ordinary=float((constant - ordinary).mean()),
        worth_it=spared.high < 0 and spared.n >= FEWEST_ROWS,
        short=short,
    )


def shuffled_gain(refits: Sequence[Floats], constant: Floats) -> Interval | None:
    """What models with shuffled labels spare, as a share of the best constant's loss, over the refits.

    One such model may by chance lean the right way on all rows at once, so what counts is the spread from
    refit to refit and not from row to row. Above 0: labels came in another way.

    Args:
        refits: losses of each, ``(n_rows,)``.

    Returns:
        None with fewer than three refits, or where the constant is never wrong.
    """
    usual = float(np.nanmean(constant))
    if len(refits) < FEWEST_REFITS or not usual > 0:
        return None
    return mean_interval(np.array([1 - float(np.nanmean(losses)) / usual for losses in refits]), CONFIDENCE)


def knows_labels(shuffled: Interval) -> bool:
    """Whether models that were given shuffled labels are shown to know the true ones."""
    return shuffled.low > 0 and shuffled.estimate >= _LEAST_SHUFFLED
