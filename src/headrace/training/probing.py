"""In the worker: what tells whether a pipeline learns, beside the model that it made.

An ordinary model learns the same rows; and the project's own trainer learns shuffled labels a few times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headrace.checks.importances import shares_of
from headrace.checks.training_faults import some_rows
from headrace.checks.unlabelled import Ask
from headrace.core.errors import UserCodeError
from headrace.core.ports import Clock, Columns
from headrace.data.encoding import Encoding
from headrace.data.frames import take
from headrace.training.archives import pack_arrays
from headrace.training.definition import TrainingData
from headrace.training.job import MEASURED

REFITS = 5
_MOST_CELLS = 1_000_000
_MOST_SHUFFLED = 1_000
_ROUNDS = 50
_MOST_ALONE = 100
_FEWEST_IN_LEAF = 5
Answers = dict[str, Any]
"""By name of the model and of the output, such as ``ordinary_predict`` and ``shuffled0_probability``.

``alone0_predict`` is what one input says of the target by itself; ``importance0_shares``, ``(n_inputs,)``, on
which inputs the answers of a model with shuffled labels hang.
"""
Fit = Callable[[TrainingData], Ask]


def probe(
    data: TrainingData,
    test: Columns,
    encoding: Encoding,
    output: Path,
    fit: Fit,
    *,
    clock: Clock,
    for_s: float,
) -> str:
    """Leave the answers of each model about the test rows in ``output``, as far as it came.

    Args:
        fit: makes the project's own model from such data.
        for_s: no further refit begins when so much time has gone by with them.

    Returns:
        Why there are fewer refits than five; empty where there are as many.
    """
    features = encoding.encode(test)
    found = {f"ordinary_{name}": values for name, values in _ordinary(data, features).items()}
    found |= {f"alone{place}_predict": said for place, said in enumerate(_alone(data, features))}
    _leave(found, output)
    random = np.random.default_rng(data.seed)
    few = some_rows(len(data.y), _MOST_SHUFFLED, data.y if data.classes else None)
    end_s = clock.monotonic_s() + for_s
    for index in range(REFITS):
        if clock.monotonic_s() >= end_s:
            return "the time was over"
        shuffled = replace(
            data, X=data.X[few], y=random.permutation(data.y[few]), seed=data.seed + 1 + index,
            columns=take(data.columns, few),
        )  # fmt: skip
        try:
            ask = fit(shuffled)
            answers, shares = ask(test), shares_of(ask, test, encoding.columns)
        except UserCodeError as error:
            return f"the trainer does not take shuffled labels: {error}"
        found |= {f"shuffled{index}_{name}": values for name, values in answers.items()}
        found[f"importance{index}_shares"] = shares
        _leave(found, output)
    return ""


def _leave(found: Answers, output: Path) -> None:
    draft = output / f".{MEASURED}"
    draft.write_bytes(pack_arrays(found))
    draft.rename(output / MEASURED)


def _ordinary(data: TrainingData, test: Any) -> Answers:
    """Boosted trees with usual settings: they take numbers, categories and gaps as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    n_rows = min(len(data.X), max(200, _MOST_CELLS // max(1, data.X.shape[1])))
    rows = some_rows(len(data.X), n_rows, data.y if data.classes else None)
    X, y = data.X[rows], data.y[rows]
    settings: dict[str, Any] = {"max_iter": _ROUNDS, "early_stopping": False, "random_state": 0}
    if data.task != "classification":
        model = HistGradientBoostingRegressor(**settings).fit(X, y)
        return {"predict": np.asarray(model.predict(test), dtype=np.float64)}
    if len(np.unique(y)) < 2:
        return {}
    classifier = HistGradientBoostingClassifier(**settings).fit(X, y)
    probability = np.zeros((len(test), len(data.classes)))
    probability[:, classifier.classes_.astype(np.intp)] = classifier.predict_proba(test)
    return {"predict": probability.argmax(axis=1).astype(np.float64), "probability": probability}


def _alone(data: TrainingData, test: Any) -> list[Any]:
    """What a tree of one input says of the test rows, for each of the first 100 inputs."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeClassifier if data.task == "classification" else DecisionTreeRegressor
    return [
        np.asarray(
            kind(min_samples_leaf=_FEWEST_IN_LEAF, random_state=0)
            .fit(data.X[:, [place]], data.y)
            .predict(test[:, [place]]),
            dtype=np.float64,
        )
        for place in range(min(data.X.shape[1], _MOST_ALONE))
    ]
