"""How a shift came: all at once, slowly, or as it comes again and again. A comparison of models, no test.

What is compared are means by slots of time, such as days, of one score of each row: the logarithm of how much
likelier its bin is in the window than in training. So numbers, categories and nulls are one matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Name = Literal["abrupt", "gradual", "recurring", "undecided"]

SURE = 6.0
"""Least difference of the Bayesian information criterion: "strong" (Kass & Raftery, JASA 90, 1995)."""
_MOST_SCORE = 3.0
"""No bin counts for more than being 20 times likelier."""
_MOST_PLACES = 84
"""A change is looked for at no more places than that."""
_FEWEST_SLOTS = 8
_FEWEST_TURNS = 2
_MOST_BEFORE = 0.5


class Course(NamedTuple):
    """How a shift came.

    Attributes:
        first: the slot in which it began; None of a recurring or undecided one.
        last: the slot after its end, of an abrupt one that is over, or of a gradual one that has settled.
        cycle: of a recurring one the name of the cycle or occasion; ``phases`` are the slots of the cycle
            that have it, from the first up to, not including, the last; None of an occasion.
        why: which models were compared, and how they fit.
    """

    name: Name
    why: str
    first: int | None = None
    last: int | None = None
    cycle: str | None = None
    phases: tuple[int, int] | None = None


class Cycle(NamedTuple):
    """Something that comes again after ``slots`` slots; ``phase`` is that of the first slot.

    Its parts begin and end at multiples of ``step``, so that a week has days and not hours.
    """

    slots: int
    phase: int
    step: int = 1


@dataclass(frozen=True, kw_only=True)
class Model:
    """Shapes that a shift may have: 0 before and 1 with it. ``free`` counts what is fitted, besides."""

    course: Name
    words: str
    shapes: Floats
    free: int
    marks: Sequence[tuple[int | None, int | None]]
    cycle: str | None = None


def course_of(
    counts: Counts,
    reference: Counts,
    n_window: int,
    cycles: Mapping[str, Cycle],
    occasions: Mapping[str, Flags],
    year_before: Counts | None = None,
) -> Course:
    """Which course explains the means of the slots best, by the Bayesian information criterion.

    Compared are a constant; a step, and one that is over again (abrupt); a line that takes as long as the
    window or longer from one level to another (gradual); and (recurring) a level in the same part of each
    cycle, or on each occasion, or the same change in the same slots a year before. A recurring one must have
    been there twice, and gone between. Means vary more than chance lets them where slots differ by
    themselves: their variance is then taken from the best fit. ``undecided`` is what evidence does not
    separate by :data:`SURE`, and what the first slots had already.

    How often it is right, in 200 simulations each of 12 weeks of days whose rows are normal; right, undecided
    and wrong, of a shift by 0.25, 0.5 and 1 standard deviation (``simulated`` of
    ``tests/checks/test_courses.py``):

    ===============================  ============================  ============================
    planted                          40 rows a day                 250 rows a day
    ===============================  ============================  ============================
    step, two weeks ago              13/187/0  123/77/0  194/6/0   162/38/0  199/1/0  200/0/0
    step four days long, this week   1/199/0  48/152/0  200/0/0    117/83/0  200/0/0  200/0/0
    line over the last eight weeks   1/191/8  78/120/2  200/0/0    165/33/2  200/0/0  200/0/0
    every Thursday                   1/199/0  36/164/0  179/20/1   63/137/0  187/13/0  200/0/0
    every Saturday and Sunday        7/193/0  136/64/0  200/0/0    179/21/0  200/0/0  200/0/0
    ===============================  ============================  ============================

    Args:
        counts: rows by slot and bin, ``(n_slots, n_bins)``; the last ``n_window`` slots are the window.
        reference: rows of training by bin.
        cycles: by name; a year before they have the same phases.
        occasions: by name which slots belong to it, ``(n_slots,)``; those of the year before come first.
        year_before: rows of the same slots a year before; None where nothing is known.

    >>> random = np.random.default_rng(0)
    >>> days = np.array([random.poisson([20, 20] if day < 40 else [8, 32]) for day in range(56)], dtype=float)
    >>> course_of(days, np.array([500.0, 500.0]), 7, {}, {})[0:3:2]
    ('abrupt', 40)
    """
    n = len(counts)
    whole = counts if year_before is None else np.concatenate([year_before, counts])
    filled = whole.sum(axis=1) > 0
    if filled[-n:].sum() < _FEWEST_SLOTS:
        return Course("undecided", f"fewer than {_FEWEST_SLOTS} parts of time have rows")
    means, weights = _scored(whole, reference, np.arange(len(whole) - n_window, len(whole)))
    if not weights.any():
        return Course("undecided", "the window's rows look as those of training")
    models = _models(n, n_window, cycles, occasions, filled)
    fits = [_fit(model, means, weights) for model in models if len(model.shapes)]
    return _decided([fit for fit in fits if fit is not None], int(filled.sum()))


class _Fit(NamedTuple):
    model: Model
    best: int
    misfit: float
    before: float
    during: float


def _scored(counts: Counts, reference: Counts, window: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Mean score of each slot, and its weight, the inverse of its variance; 0 without rows.

    A slot of the window is scored by what the window's other slots say: its own rows would always look new.
    """
    total = counts[window].sum(axis=0)
    scores = np.repeat(_scores(total, reference)[None], len(counts), axis=0)
    for slot in window.tolist():
        scores[slot] = _scores(total - counts[slot], reference)
    n = counts.sum(axis=1)
    safe = np.maximum(n, 1.0)
    means = (counts * scores).sum(axis=1) / safe
    scatter = (counts * (scores - means[:, None]) ** 2).sum()
    # One more row that varies as all of them do: slots of nulls alone, after slots without, vary by nothing.
    overall = (counts * scores).sum() / max(n.sum(), 1.0)
    scatter += (counts * (scores - overall) ** 2).sum() / max(n.sum(), 1.0)
    freedom = float(n.sum() - (n > 0).sum()) + 1.0
    return means, n * freedom / scatter if scatter > 0 else np.zeros_like(n)


def _scores(window: Counts, reference: Counts) -> Floats:
    now, before = (
        (side + 0.5) / (side.sum() + side.size / 2)
        for side in (window, reference * min(1.0, 1e6 / max(reference.sum(), 1.0)))
    )
    score = np.clip(np.log(now / before), -_MOST_SCORE, _MOST_SCORE)
    return np.asarray(score - (score * before).sum())


def _models(
    n: int, n_window: int, cycles: Mapping[str, Cycle], occasions: Mapping[str, Flags], filled: Flags
) -> Iterator[Model]:
    n_far = filled.size - n
    for model in _once(n, n_window):
        shapes = model.shapes
        yield replace(model, shapes=np.hstack([np.zeros((len(shapes), n_far)), shapes]))
        if n_far and model.free:
            words = f"{model.words}, as a year before"
            again = replace(model, course="recurring", words=words, cycle="year")
            yield _come_again(
                replace(again, shapes=np.hstack([shapes, shapes])), filled, np.arange(2 * n) // n
            )
    for name, cycle in cycles.items():
        model, turns = _of_cycle(name, cycle, n)
        far = np.zeros((len(model.shapes), n_far))
        both = (np.hstack([far, model.shapes]), np.hstack([model.shapes] * 2))
        for shapes in both if n_far else (model.shapes,):
            turn = np.concatenate([turns[:n_far] - turns.max() - 1, turns])
            yield _come_again(replace(model, shapes=shapes), filled, turn)
    for name, flags in occasions.items():
        runs = np.cumsum(np.diff(flags.astype(np.int64), prepend=0) > 0, dtype=np.int64)
        shapes = flags.astype(np.float64)[None]
        one = Model(course="recurring", words=name, shapes=shapes, free=2, marks=[(None, None)], cycle=name)
        yield _come_again(one, filled, runs)


def _once(n: int, n_window: int) -> Iterator[Model]:
    """The courses that are not of a cycle."""
    slots = np.arange(n)
    places = np.unique(np.linspace(1, n - 1, _MOST_PLACES).astype(int))
    yield Model(course="undecided", words="constant", shapes=np.zeros((1, n)), free=0, marks=[(None, None)])
    yield Model(
        course="abrupt",
        words="step",
        shapes=(slots >= places[:, None]).astype(np.float64),
        free=2,
        marks=[(int(at), None) for at in places],
    )
    pairs = [(int(a), int(b)) for a in places for b in places if a < b and b > n - n_window]
    first, last = np.array(pairs).reshape(-1, 2, 1).transpose(1, 0, 2)
    shapes = ((slots >= first) & (slots < last)).astype(np.float64)
    yield Model(course="abrupt", words="step and back", shapes=shapes, free=3, marks=pairs)
    shortest = max(n_window, 3)
    rising = [(int(a), n) for a in np.append(0, places) if n - a >= shortest]
    settled = [(int(a), int(b)) for a in np.append(0, places) for b in places if b - a >= shortest]
    for words, pairs, free in (("line", rising, 2), ("line and level", settled, 3)):
        first, last = np.array(pairs).reshape(-1, 2, 1).transpose(1, 0, 2)
        shapes = np.clip((slots + 0.5 - first) / (last - first), 0.0, 1.0)
        marks = [(a, None if b == n else b) for a, b in pairs]
        yield Model(course="gradual", words=words, shapes=shapes, free=free, marks=marks)


def _of_cycle(name: str, cycle: Cycle, n: int) -> tuple[Model, NDArray[np.int64]]:
    """A level in one run of the cycle's slots, the same in each turn; and the turn of each slot."""
    times = np.arange(n) + cycle.phase
    parts = range(0, cycle.slots, cycle.step)
    runs = [(first, length) for first in parts for length in parts if length]
    shapes = [(times - first) % cycle.slots < length for first, length in runs]
    marks = [(first, (first + length) % cycle.slots) for first, length in runs]
    model = Model(
        course="recurring",
        words=name,
        shapes=np.array(shapes, dtype=np.float64).reshape(-1, n),
        free=3,
        marks=marks,
        cycle=name,
    )
    return model, times // cycle.slots


def _come_again(model: Model, filled: Flags, turns: NDArray[np.int64]) -> Model:
    """Of the shapes those that have rows with the shift, and without it, in two turns at least."""
    _, turn = np.unique(turns, return_inverse=True)
    of_turn = np.zeros((turn.max() + 1, turn.size))
    of_turn[turn, np.arange(turn.size)] = filled
    with_it, without = (
        (side.astype(np.float64) @ of_turn.T > 0).sum(axis=1)
        for side in (model.shapes > 0, model.shapes == 0)
    )
    seen = (with_it >= _FEWEST_TURNS) & (without >= _FEWEST_TURNS)
    marks = [mark for mark, one in zip(model.marks, seen, strict=True) if one]
    return replace(model, shapes=model.shapes[seen], marks=marks)


def _fit(model: Model, means: Floats, weights: Floats) -> _Fit | None:
    """The shape that leaves the least, of those that rise; None if none does."""
    total, shapes = weights.sum(), model.shapes
    centre = float((weights * means).sum() / total)
    apart = means - centre
    whole = float((weights * apart**2).sum())
    if not model.free:
        return _Fit(model, 0, whole, centre, centre)
    middle = shapes @ weights / total
    square = shapes**2 @ weights - total * middle**2
    common = shapes @ (weights * apart)
    with np.errstate(divide="ignore", invalid="ignore"):
        gained = np.where((square > 1e-9 * total) & (common > 0), common**2 / square, -1.0)
    best = int(gained.argmax())
    if gained[best] < 0:
        return None
    rise = float(common[best] / square[best])
    before = centre - rise * float(middle[best])
    return _Fit(model, best, max(whole - float(gained[best]), 0.0), before, before + rise)


def _decided(fits: list[_Fit], n: int) -> Course:
    # What the best fit leaves beyond chance is how much slots differ by themselves.
    left = min((fit.misfit / max(n - 1 - fit.model.free, 1) for fit in fits), default=1.0)
    scale = max(left, 1.0)
    criteria = [(fit.misfit / scale + (1 + fit.model.free) * math.log(n), fit) for fit in fits]
    best: dict[str, tuple[float, _Fit]] = {}
    for one in sorted(criteria, key=lambda pair: pair[0]):
        best.setdefault(one[1].model.course, one)
    ordered = sorted(best.values(), key=lambda pair: pair[0])
    words = ", ".join(f"{fit.model.words} {criterion:.1f}" for criterion, fit in ordered)
    why = f"Bayesian information criterion: {words}"
    chosen = ordered[0][1]
    if len(ordered) > 1 and ordered[1][0] - ordered[0][0] < SURE:
        return Course("undecided", f"{why}: too close")
    if chosen.model.course == "undecided" or chosen.before > _MOST_BEFORE * chosen.during:
        return Course("undecided", f"{why}: it was there from the first")
    first, last = chosen.model.marks[chosen.best]
    if chosen.model.course == "recurring":
        phases = None if first is None or last is None or chosen.model.cycle == "year" else (first, last)
        return Course("recurring", why, cycle=chosen.model.cycle, phases=phases)
    return Course(chosen.model.course, why, first, last)
