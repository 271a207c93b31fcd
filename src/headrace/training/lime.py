"""LIME: what moved an answer, by the linear model that is nearest to it around the row.

Ribeiro, Singh and Guestrin, "Why should I trust you? Explaining the predictions of any classifier", 2016.
Here each raw column either has the value of the row or that of a training row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.core.ports import Columns
from headrace.core.record import Contributions, Explanation, Scale
from headrace.data.frames import as_column, n_rows
from headrace.training.mixing import Mixed, as_given, explained_class
from headrace.training.package import PackageScorer
from headrace.training.shapley import Worth

_SAMPLES = 2_000
_WIDTH = 0.25
_RIDGE = 1.0


class Local(NamedTuple):
    """A linear model around one row: ``intercept + weights @ mask`` with weights ``(n_columns,)``.

    ``fidelity`` is the share of the answers' variance around the row that it explains (its weighted R²).
    """

    intercept: float
    weights: NDArray[np.float64]
    fidelity: float


class LimeExplainer:
    """Explains rows of one package by LIME. Safe to call from several threads.

    Args:
        background: raw training rows.

    Example::

        explainer = LimeExplainer(scorer, take(rows.columns, rows.train[:100]))
        explainer.explain({"year": [2017.0], "fuel": ["Petrol"]}).rows[0].contributions
    """

    def __init__(self, scorer: PackageScorer, background: Columns) -> None:
        self._scorer = scorer
        self._names = scorer.encoding.columns
        self._background = {name: as_column(background[name], name) for name in self._names}

    def explain(self, columns: Mapping[str, Any]) -> Explanation:
        """Explain rows; of each, ``value`` is what the local model says of it.

        Raises:
            InvalidInput: an input is missing, or the model takes no such value.
        """
        rows = {one.name: as_given(columns.get(one.name), one) for one in self._scorer.encoding.inputs}
        classes = self._scorer.classes
        probability = None if classes is None else self._scorer.score(rows)["probability"]
        found = []
        for index in range(n_rows(rows)):
            row = {name: values[index : index + 1] for name, values in rows.items()}
            place = None if probability is None else explained_class(probability[index])
            # The same question gets the same answer.
            local = nearest(
                Mixed(self._scorer, row, self._background, place),
                len(self._names),
                n_rows(self._background),
                random=np.random.default_rng(0),
            )
            found.append(
                Contributions(
                    of=None if classes is None or place is None else classes[place],
                    base=local.intercept,
                    value=local.intercept + float(local.weights.sum()),
                    contributions=dict(zip(self._names, local.weights.tolist(), strict=True)),
                    confidence=None if probability is None else float(probability[index].max()),
                    fidelity=local.fidelity,
                )
            )
        scale: Scale = "output" if classes is None else "probability"
        return Explanation(method="lime", scale=scale, background_rows=n_rows(self._background), rows=found)


def nearest(worth: Worth, n_columns: int, n_background: int, *, random: np.random.Generator) -> Local:
    """The weighted ridge regression of a model's answers on which columns have the row's values.

    Args:
        worth: answers mixed rows, as in :mod:`headrace.training.shapley`.
    """
    masks = random.random((_SAMPLES, n_columns)) < 0.5
    masks[0] = True
    answers = worth(masks, random.integers(n_background, size=_SAMPLES))
    distance = 1.0 - np.sqrt(masks.mean(axis=1))  # of cosines
    weights = np.sqrt(np.exp(-((distance / _WIDTH) ** 2)))
    x, y = masks.astype(np.float64), answers.astype(np.float64)
    middle_x, middle_y = np.average(x, axis=0, weights=weights), np.average(y, weights=weights)
    centred, aside = x - middle_x, y - middle_y
    weighted = centred * weights[:, None]
    found = np.linalg.solve(weighted.T @ centred + _RIDGE * np.eye(n_columns), weighted.T @ aside)
    total = float(weights @ aside**2)
    left = float(weights @ (aside - centred @ found) ** 2)
    return Local(float(middle_y - middle_x @ found), found, 1.0 - left / total if total > 0 else 1.0)
