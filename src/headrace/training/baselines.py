"""The simplest models, which every other one has to beat, and one that builds on the simplest.

All follow scikit-learn's conventions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headrace.core.errors import InvalidInput
from headrace.core.project import Task

CONSTANT = "headrace.constant"
"""What stands for a trainer in the recipe of a run that needs none: :class:`ConstantModel`."""


class ConstantModel:
    """Always answers the same: the mean of ``y``, or for classification the share of each class.

    Example:
        >>> X = np.zeros((4, 1), dtype=np.float32)
        >>> ConstantModel(task="classification").fit(X, [0, 0, 0, 1]).predict_proba(X[:1])
        array([[0.75, 0.25]])
    """

    def __init__(self, task: Task = "regression") -> None:
        self.task = task

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's convention
        """What the constructor was given."""
        return {"task": self.task}

    def fit(self, X: ArrayLike, y: ArrayLike) -> ConstantModel:
        """Learn the constant.

        Args:
            X: ``(n_rows, n_features)``; only its width is kept.
            y: ``(n_rows,)``.
        """
        target = np.asarray(y)
        self.n_features_in_ = int(np.asarray(X).shape[1])
        if self.task == "classification":
            self.classes_, counts = np.unique(target, return_counts=True)
            self.prior_: NDArray[np.float64] = counts / counts.sum()
        else:
            self.mean_ = float(np.mean(target, dtype=np.float64))
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The constant for each row, ``(n_rows,)``."""
        n_rows = np.asarray(X).shape[0]
        if self.task == "classification":
            return np.full(n_rows, self.classes_[int(np.argmax(self.prior_))])
        return np.full(n_rows, self.mean_)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """The prior for each row, ``(n_rows, n_classes)``. Raises InvalidInput for other tasks."""
        if self.task != "classification":
            raise InvalidInput(f"A ConstantModel for {self.task} has no probabilities. Use predict.")
        return np.tile(self.prior_, (np.asarray(X).shape[0], 1))


class ColumnModel:
    """Answers with one of its inputs, such as the value of the same weekday a week ago.

    Where that input is missing it answers with the mean of ``y``.
    """

    def __init__(self, column: int = 0) -> None:
        self.column = column

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's convention
        """What the constructor was given."""
        return {"column": self.column}

    def fit(self, X: ArrayLike, y: ArrayLike) -> ColumnModel:
        """Learn what to answer where the column is missing.

        Args:
            X: ``(n_rows, n_features)``.
            y: ``(n_rows,)``.

        Raises:
            InvalidInput: ``X`` has no such column.
        """
        self.n_features_in_ = _width(X, self.column)
        self.mean_ = float(np.float32(np.mean(np.asarray(y), dtype=np.float64)))
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """The column, ``(n_rows,)``."""
        values = np.asarray(X, dtype=np.float64)[:, self.column]
        return np.where(np.isnan(values), self.mean_, values)


class DifferenceModel:
    """Answers with one of its inputs plus what an estimator has learnt about the difference to it.

    A forecast made so follows the level of last week, which trees cannot leave and few rows teach badly.

    Args:
        estimator: an unfitted regressor that converts to ONNX.
        column: position of the input; where it is missing, its mean stands in.
    """

    def __init__(self, estimator: Any, column: int = 0) -> None:
        self.estimator = estimator
        self.column = column

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's convention
        """What the constructor was given."""
        return {"estimator": self.estimator, "column": self.column}

    def fit(self, X: ArrayLike, y: ArrayLike) -> DifferenceModel:
        """Fit the estimator to ``y`` minus the column, on the rows that have it.

        Args:
            X: float32 ``(n_rows, n_features)``.
            y: ``(n_rows,)``.

        Raises:
            InvalidInput: ``X`` has no such column, or it is missing in every row.
        """
        features, target = np.asarray(X), np.asarray(y, dtype=np.float64)
        self.n_features_in_ = _width(features, self.column)
        base = features[:, self.column].astype(np.float64)
        known = np.isfinite(base)
        if not known.any():
            raise InvalidInput(
                f"DifferenceModel needs column {self.column}, which is missing in all {len(base)} rows. "
                "Name another column, or bring a longer history."
            )
        self.mean_ = float(np.float32(base[known].mean()))
        self.estimator.fit(features[known], target[known] - base[known])
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """The column plus the learnt difference, ``(n_rows,)``."""
        features = np.asarray(X)
        base = features[:, self.column].astype(np.float64)
        difference = np.asarray(self.estimator.predict(features), dtype=np.float64)
        return np.where(np.isnan(base), self.mean_, base) + difference


def _width(X: ArrayLike, column: int) -> int:
    n_features = int(np.asarray(X).shape[1])
    if not 0 <= column < n_features:
        raise InvalidInput(
            f"Column {column} was asked for, but there are {n_features}. "
            f"Expected a position from 0 to {n_features - 1}."
        )
    return n_features
