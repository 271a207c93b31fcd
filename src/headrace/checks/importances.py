"""Which inputs a model's answers hang on, and whether that is too good to be true, or has nothing to do with
the labels.

How far answers move when one input is shuffled among the rows says what a model relies on, whatever its kind
(A. Fisher, C. Rudin and F. Dominici, JMLR 20, 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from headrace.checks.metrics import Floats, Outputs
from headrace.checks.searching import ask_each
from headrace.core.ports import Columns

SAME = 0.05
"""Two lists of shares that differ by no more, half the sum of all differences, are as good as the same."""
FEWEST_CONTROLS = 3
ALMOST = 0.99
"""Of a target's spread, or of a constant's wrong decisions: an input that spares so much says nearly all."""
NEARLY_WHOLE = 0.8
_MOST_ROWS = 200
Ask = Callable[[Columns], Outputs]


def shares_of(ask: Ask, columns: Columns, names: Sequence[str]) -> Floats:
    """The share of each input in how far answers move when it is shuffled, ``(n_names,)``; they sum to 1.

    Zeros where no answer moves. Looks at up to 200 rows, and always shuffles the same way.

    >>> rows = {"a": np.arange(9.0), "b": np.arange(9.0)}
    >>> shares_of(lambda rows: {"predict": rows["a"] * 2}, rows, ["a", "b"]).tolist()
    [1.0, 0.0]
    """
    n_rows = len(next(iter(columns.values())))
    few = np.linspace(0, n_rows - 1, min(n_rows, _MOST_ROWS)).astype(np.intp)
    rows = {name: np.asarray(values)[few] for name, values in columns.items()}
    order = np.random.default_rng(0).permutation(len(few))
    stacked = {name: np.concatenate([values] * (len(names) + 1)) for name, values in rows.items()}
    for place, name in enumerate(names):
        part = slice((place + 1) * len(few), (place + 2) * len(few))
        stacked[name][part] = rows[name][order]
    answers = ask_each(ask, stacked)
    if not answers:
        return np.zeros(len(names))
    said = np.asarray(answers["probability" if "probability" in answers else "predict"], dtype=np.float64)
    said = said.reshape(len(names) + 1, len(few), -1)
    moved = np.nan_to_num(np.abs(said[1:] - said[0])).mean(axis=(1, 2))
    total = float(moved.sum())
    return moved / total if total > 0 else np.zeros(len(names))


def same_as_controls(shares: Floats, controls: Sequence[Floats]) -> bool | None:
    """Whether a model relies on its inputs just as models do that were given shuffled labels.

    Then what explains it says nothing of what it has learnt (J. Adebayo et al., "Sanity checks for saliency
    maps", NeurIPS 2018). It must be so of every one: by chance any two may agree.

    Returns:
        None where that cannot be asked: of a constant or one input, or with fewer than three controls.

    >>> same_as_controls(np.array([0.9, 0.1]), [np.array([0.9, 0.1])] * 3)
    True
    >>> same_as_controls(np.array([0.9, 0.1]), [np.array([0.9, 0.1])] * 2 + [np.array([0.5, 0.5])])
    False
    """
    if len(shares) < 2 or not shares.any() or len(controls) < FEWEST_CONTROLS:
        return None
    return all(float(np.abs(shares - one).sum()) / 2 <= SAME for one in controls)


def alone(said: Floats, truth: Floats, learnt: Floats, *, classifies: bool) -> float:
    """How well answers from one input alone say the target: 1 is wholly, 0 no better than a constant.

    Args:
        said, truth: of rows that were not learnt from, ``(n_rows,)``; classes by their codes.
        learnt: the target of those that were, whose mean or most frequent class is the constant.

    Returns:
        The share of the constant's squared errors, or wrong decisions, that is spared; below 0 it is worse.

    >>> alone(np.array([1.0, 0.0]), np.array([1.0, 0.0]), np.array([1.0, 0.0, 0.0]), classifies=True)
    1.0
    """
    known = np.isfinite(truth)
    said, truth = np.asarray(said)[known], np.asarray(truth)[known]
    usual = float(np.bincount(learnt.astype(np.int64)).argmax()) if classifies else float(learnt.mean())
    wrong, constant = (
        (said != truth, truth != usual) if classifies else ((said - truth) ** 2, (truth - usual) ** 2)
    )
    return 1 - float(wrong.mean()) / float(constant.mean()) if constant.any() else 0.0
