"""Models that learn from rows without truth: whether a row is an anomaly, and which cluster it belongs to.

Each puts the features on a common scale, asks an estimator of scikit-learn, and answers as a classifier does:
the largest share is the answer. Their graphs are in :mod:`headrace.training.unlabelled_graphs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headrace.checks.unlabelled import middle_and_spread
from headrace.core.errors import InvalidInput

if TYPE_CHECKING:
    from headrace.training.definition import TrainingData

Floats = NDArray[np.float64]
_LEVELS = 33
FARTHEST = 1e4
"""Numbers further from the median, in robust standard deviations, are taken to be as far as this: sums of
squares stay exact."""
SMALLEST = 1e-12
"""Added to squared distances, so that a row that lies on a centre has one."""


class Scale:
    """Features on a common scale: numbers less their median, in robust standard deviations, and a column for
    each code of a category, so that rows of other categories are 1 apart. What is missing is 0."""

    def fit(self, X: ArrayLike, categorical_indexes: tuple[int, ...] = ()) -> Self:
        """Learn medians and spreads from ``X``, ``(n_rows, n_features)``."""
        rows = np.asarray(X, dtype=np.float64)
        self.numeric = [i for i in range(rows.shape[1]) if i not in categorical_indexes]
        found = [middle_and_spread(rows[:, i]) for i in self.numeric]
        self.middles = np.array([middle for middle, _ in found])
        self.spreads = np.array([spread for _, spread in found])
        self.codes = {i: int(np.nanmax(rows[:, i], initial=0)) + 1 for i in categorical_indexes}
        return self

    def apply(self, X: ArrayLike) -> Floats:
        """The rows on the common scale, ``(n_rows, n_scaled)``."""
        rows = np.asarray(X, dtype=np.float64)
        numbers = (rows[:, self.numeric] - self.middles) / self.spreads
        parts = [np.clip(np.where(np.isnan(numbers), 0.0, numbers), -FARTHEST, FARTHEST)]
        for index, n_codes in self.codes.items():
            parts.append((rows[:, [index]] == np.arange(n_codes)) * np.sqrt(0.5))
        return np.asarray(np.concatenate(parts, axis=1))


class MedianDistance:
    """The simplest anomaly detector: how far a row is from the median, over all scaled features."""

    def fit(self, Z: ArrayLike) -> Self:
        """Nothing is learnt that the scale has not."""
        self.n_features_in_ = int(np.asarray(Z).shape[1])
        return self

    def score_samples(self, Z: ArrayLike) -> Floats:
        """Minus the distance, ``(n_rows,)``: smaller is more unusual, as scikit-learn has it."""
        return np.asarray(-np.sqrt((np.asarray(Z, dtype=np.float64) ** 2).sum(axis=1)))


class OneCluster:
    """The simplest clustering: every row belongs to the first cluster."""

    def fit(self, Z: ArrayLike) -> Self:
        """Nothing is learnt."""
        self.n_features_in_ = int(np.asarray(Z).shape[1])
        return self


class AnomalyModel:
    """Ranks rows by how unusual they are, and flags the declared share of those it was trained on.

    ``probability[:, 1]`` is no probability but the rank among the training rows, 0 to 1, stretched so that
    flagging begins at 0.5: 0.75 is a row that is more unusual than half of the flagged training rows.

    Args:
        estimator: :class:`MedianDistance`, or an unfitted ``IsolationForest``, ``GaussianMixture`` or
            ``KMeans`` (then by the distance to the nearest centre).

    Example::

        @headrace.trainer
        def forest(data: headrace.TrainingData):
            return AnomalyModel(IsolationForest(random_state=data.seed)).fit(data)
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's convention
        """What the constructor was given."""
        return {"estimator": self.estimator}

    def fit(self, data: TrainingData) -> Self:
        """Fit scale and estimator to ``data.X``, and place the threshold by ``data.budget``.

        Raises:
            InvalidInput: an estimator of another kind.
        """
        if kind_of(self.estimator) not in UNUSUAL:
            raise InvalidInput(
                f"AnomalyModel takes one of {', '.join(UNUSUAL)}, but got a {kind_of(self.estimator)}. For "
                "any other estimator return one that has predict_proba with two columns."
            )
        self.n_features_in_ = data.X.shape[1]
        self.classes_ = np.arange(2)
        self.scale = Scale().fit(data.X, data.categorical_indexes)
        scaled = self.scale.apply(data.X)
        self.estimator.fit(scaled)
        self.knots, self.ranks = _ranks(self.unusual(scaled), data.budget)
        return self

    def unusual(self, scaled: Floats) -> Floats:
        """The estimator's own score, ``(n_rows,)``, larger for more unusual rows."""
        if kind_of(self.estimator) == "KMeans":
            return np.asarray(np.sqrt(_squares(scaled, self.estimator.cluster_centers_).min(axis=1)))
        return -np.asarray(self.estimator.score_samples(scaled), dtype=np.float64)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """One minus the score, and the score, ``(n_rows, 2)``."""
        score = np.interp(self.unusual(self.scale.apply(X)), self.knots, self.ranks)
        return np.column_stack([1 - score, score])

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """1 where a row is flagged, ``(n_rows,)``."""
        return np.asarray(self.predict_proba(X).argmax(axis=1))


class ClusterModel:
    """Groups rows; the first cluster is the largest among the training rows.

    ``probability`` is how far a row belongs to each: of a ``GaussianMixture`` the responsibilities, of
    ``KMeans`` the shares of the inverse squared distances to the centres (fuzzy memberships of Bezdek, 1981,
    for m = 2).

    Args:
        estimator: :class:`OneCluster`, or an unfitted ``KMeans`` or ``GaussianMixture`` of at most as many
            clusters as ``outputs.classes`` names.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's convention
        """What the constructor was given."""
        return {"estimator": self.estimator}

    def fit(self, data: TrainingData) -> Self:
        """Fit scale and estimator to ``data.X``.

        Raises:
            InvalidInput: an estimator of another kind, or more clusters than are declared.
        """
        if kind_of(self.estimator) not in GROUPING:
            raise InvalidInput(
                f"ClusterModel takes one of {', '.join(GROUPING)}, but got a {kind_of(self.estimator)}. For "
                "any other estimator return one that has predict_proba with a column for each cluster."
            )
        self.n_features_in_ = data.X.shape[1]
        self.classes_ = np.arange(len(data.classes))
        self.scale = Scale().fit(data.X, data.categorical_indexes)
        scaled = self.scale.apply(data.X)
        self.estimator.fit(scaled)
        found = self._unordered(scaled)
        if found.shape[1] > len(data.classes):
            raise InvalidInput(
                f"The {kind_of(self.estimator)} makes {found.shape[1]} clusters, but outputs.classes in "
                f"headrace.yaml names {len(data.classes)}. Name as many as it makes."
            )
        sizes = np.bincount(found.argmax(axis=1), minlength=found.shape[1])
        self.order = np.argsort(-sizes, kind="stable")
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Memberships, ``(n_rows, n_clusters)``; they sum to 1."""
        found = self._unordered(self.scale.apply(X))[:, self.order]
        return np.pad(found, ((0, 0), (0, len(self.classes_) - found.shape[1])))

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """The cluster of each row, ``(n_rows,)``."""
        return np.asarray(self.predict_proba(X).argmax(axis=1))

    def _unordered(self, scaled: Floats) -> Floats:
        if kind_of(self.estimator) == "OneCluster":
            return np.ones((len(scaled), 1))
        if kind_of(self.estimator) == "KMeans":
            near = 1 / (_squares(scaled, self.estimator.cluster_centers_) + SMALLEST)
            return np.asarray(near / near.sum(axis=1, keepdims=True))
        return np.asarray(self.estimator.predict_proba(scaled))


def kind_of(estimator: Any) -> str:
    """Name of the class."""
    return type(estimator).__name__


UNUSUAL = ("MedianDistance", "IsolationForest", "GaussianMixture", "KMeans")
GROUPING = ("OneCluster", "KMeans", "GaussianMixture")


def _squares(scaled: Floats, centres: Floats) -> Floats:
    """Squared distances, ``(n_rows, n_centres)``; column by column, so that memory stays small."""
    return np.stack([((scaled - centre) ** 2).sum(axis=1) for centre in centres], axis=1)


def _ranks(unusual: Floats, budget: float) -> tuple[Floats, Floats]:
    """Scores of training rows, ascending, and the rank of each; 0.5 where at most ``budget`` is beyond.

    Of equal scores the highest rank holds, but the score at the threshold has 0.5, whatever else shares it:
    rows that are alike are flagged together or not at all.
    """
    usual = np.linspace(0, 1 - budget, _LEVELS)
    levels = np.concatenate([usual, np.linspace(1 - budget, 1, _LEVELS)[1:]])
    ranks = np.concatenate([np.linspace(0, 0.5, _LEVELS), np.linspace(0.5, 1, _LEVELS)[1:]])
    found = np.quantile(unusual, levels)
    last = np.append(np.diff(found) > 0, True)
    knots, kept = found[last], ranks[last]
    kept[knots == found[_LEVELS - 1]] = 0.5
    if kept[-1] < 1:  # only what is beyond all training rows is flagged
        knots = np.append(knots, knots[-1] + (knots[-1] - knots[0] or 1.0))
        kept = np.append(kept, 1.0)
    return knots, kept
