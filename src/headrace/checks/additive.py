"""A mean that follows from inputs and prediction: Bayesian linear regression on hat functions.

Each number is linear between knots and each category has a value of its own; the square of their sum is one
more feature, for what inputs do together. The prior is the one with the largest evidence (D. MacKay, Neural
Computation 4, 1992). :mod:`headrace.checks.estimation` regresses losses by it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from headrace.checks.columns import known_numbers, label_counts, labels
from headrace.checks.metrics import Floats, Outputs
from headrace.core.ports import Columns

MOST_INPUTS = 30
KNOTS = (0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 1.0)
"""Quantiles of a number between which the loss is taken as linear; losses often grow towards either end."""
MOST_CATEGORIES = 20
_FEWEST_IN_PART = 40
_MOST_SPLIT = 8
_UNDERSMOOTHING = 8.0
_PREDICTION = "(prediction)"


@dataclass(frozen=True, kw_only=True)
class Hats:
    """One column as features: linear between ``knots`` and constant beyond, or one per category; then null.

    Exactly one of ``knots`` and ``categories`` is used.
    """

    name: str
    knots: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    @classmethod
    def fit(cls, name: str, values: Any, role: str) -> Hats:
        """Knots at quantiles, or the most frequent categories."""
        if role == "numeric":
            known, _ = known_numbers(np.asarray(values))
            known = known[np.isfinite(known)]
            at = np.unique(np.quantile(known, KNOTS)) if known.size else np.zeros(0)
            # A slope between knots that are closer is beyond what a float can hold.
            at = at[np.diff(at, prepend=-np.inf) >= np.finfo(np.float64).tiny]
            return cls(name=name, knots=tuple(at.tolist()))
        named = [one for one in label_counts(np.asarray(values)) if one is not None]
        return cls(name=name, categories=tuple(named[:MOST_CATEGORIES]))

    @property
    def width(self) -> int:
        """Features that it gives."""
        return len(self.knots or self.categories) + 1

    def of(self, values: Any, n_rows: int) -> Floats:
        """Shape ``(n_rows, width)``; a column that did not come is null in every row."""
        made = np.zeros((n_rows, self.width))
        if values is None:
            made[:, -1] = 1.0
            return made
        if self.categories or not self.knots:
            place = {name: i for i, name in enumerate(self.categories)}
            for row, name in enumerate(labels(values)):
                at = -1 if name is None else place.get(name)
                if at is not None:
                    made[row, at] = 1.0
            return made
        known, _ = known_numbers(np.asarray(values))
        finite = np.isfinite(known)
        made[~finite, -1] = 1.0
        unit = np.eye(len(self.knots))
        for index in range(len(self.knots)):
            made[finite, index] = np.interp(known[finite], self.knots, unit[index])
        return made


class Beyond(NamedTuple):
    """Mean of the target over rows, the variance of that mean's error, and the rows' own variance."""

    value: float
    variance: float
    scatter: float


_ARRAYS = ("direction", "center", "deviation", "slopes", "slopes_of_square", "covariance")
_NUMBERS = ("mean_target", "mean_square", "skewness", "misfit", "n_test")


@dataclass(frozen=True, kw_only=True)
class Regression:
    """A target by hat functions of the inputs, at most 30 of them, and of the prediction.

    Attributes:
        hats: those that explain the target best alone, then the prediction.
        direction: in which the target changes with the hats, shape ``(n_hats,)``. Its square is the last
            feature, see :func:`_with_square`; empty where nothing changes, and there is no such feature.
        center: mean of each hat over the test rows, shape ``(n_hats,)``.
        deviation: of each feature over the test rows, shape ``(n_features,)``.
        mean_target, mean_square: over the test rows: of the target, and of its squared residual.
        skewness: of the residuals.
        slopes, slopes_of_square: of the target and of its squared residual, shape ``(n_features,)``.
        covariance: of ``mean_target`` and ``slopes``, shape ``(1 + n_features, 1 + n_features)``.
        misfit: variance of the error in the mean of rows that have moved by one deviation in one feature.
        n_test: rows it was fitted on.
    """

    hats: tuple[Hats, ...]
    direction: Floats
    center: Floats
    deviation: Floats
    mean_target: float
    mean_square: float
    skewness: float
    slopes: Floats
    slopes_of_square: Floats
    covariance: Floats
    misfit: float
    n_test: int

    @classmethod
    def fit(cls, target: Floats, rows: Columns, answers: Outputs, roles: Mapping[str, str]) -> Regression:
        """By the test rows, all of shape ``(n_test,)``."""
        n = target.size
        seen = _with_prediction(rows, answers)
        made = {name: Hats.fit(name, values, roles.get(name, _role(values))) for name, values in seen.items()}
        features = {name: hats.of(seen[name], n) for name, hats in made.items()}
        ranked = sorted(features, key=lambda name: -_explained(features[name], target))
        chosen = [*[name for name in ranked if name != _PREDICTION][:MOST_INPUTS], _PREDICTION]
        matrix = np.column_stack([features[name] for name in chosen])
        center = matrix.mean(axis=0)
        direction = _direction(matrix - center, target - target.mean())
        centred = _with_square(matrix - center, direction)
        solved = _regress(centred, target - target.mean())
        residual = target - target.mean() - centred @ solved.slopes
        square = residual**2 * (n / max(n - solved.degrees - 1, 1.0))
        deviation = np.maximum(centred.std(axis=0), 1.0 / math.sqrt(n))
        return cls(
            hats=tuple(made[name] for name in chosen),
            direction=direction,
            center=center,
            deviation=deviation,
            mean_target=float(target.mean()),
            mean_square=float(square.mean()),
            skewness=_skewness(residual),
            slopes=solved.slopes,
            slopes_of_square=_regress(centred, square - square.mean()).slopes,
            covariance=_covariance(centred, residual, solved),
            misfit=_misfit(centred / deviation, residual, [features[name] for name in chosen[:_MOST_SPLIT]]),
            n_test=n,
        )

    def mean(self, rows: Columns, answers: Outputs) -> Beyond:
        """Of the target over rows."""
        seen, n = _with_prediction(rows, answers), len(answers["predict"])
        matrix = np.column_stack([hats.of(seen.get(hats.name), n) for hats in self.hats])
        centred = _with_square(matrix - self.center, self.direction)
        moved = centred.mean(axis=0)
        distance = float(((moved / self.deviation) ** 2).sum())
        weights = np.concatenate([[1.0], moved])
        squares = np.maximum(self.mean_square + centred @ self.slopes_of_square, 0.05 * self.mean_square)
        return Beyond(
            value=self.mean_target + float(moved @ self.slopes),
            variance=float(weights @ self.covariance @ weights) + self.misfit * distance,
            scatter=float(squares.mean()),
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON form."""
        hats = [{"name": h.name, "knots": list(h.knots), "categories": list(h.categories)} for h in self.hats]
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        return {"hats": hats, **{name: getattr(self, name) for name in _NUMBERS}, **arrays}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Regression:
        """What :meth:`to_dict` wrote."""
        hats = tuple(
            Hats(name=h["name"], knots=tuple(h["knots"]), categories=tuple(h["categories"]))
            for h in data["hats"]
        )
        # Models of earlier releases know no direction and no skewness.
        data = {"direction": [], "skewness": 0.0, **data}
        arrays: dict[str, Any] = {name: np.array(data[name], dtype=np.float64) for name in _ARRAYS}
        return cls(hats=hats, **{name: data[name] for name in _NUMBERS}, **arrays)


def _with_prediction(rows: Columns, answers: Outputs) -> dict[str, Any]:
    return {**rows, _PREDICTION: np.asarray(answers["predict"])}


def _role(values: Any) -> str:
    return "numeric" if np.asarray(values).dtype.kind in "fiu" else "categorical"


class _Solved(NamedTuple):
    """Posterior of a Bayesian linear regression; ``prior`` is the ratio of noise to prior variance."""

    slopes: Floats
    inverse: Floats
    prior: float
    degrees: float


def _regress(centred: Floats, target: Floats) -> _Solved:
    """The prior with the largest evidence, of a grid from none to one that shrinks nearly all; then less.

    What is smoothed best for a single row is smoothed too much for an interval: its bias has to be small
    beside its width (undersmoothing; P. Hall, Annals of Statistics 20, 1992).
    """
    n = target.size
    values, vectors = np.linalg.eigh(centred.T @ centred)
    values = np.maximum(values, 0.0)
    along = vectors.T @ (centred.T @ target)
    total = float(target @ target)
    best, prior = -math.inf, 1.0
    for tried in np.geomspace(0.1, 1e6, 22):
        shrunk = values + tried
        misfit = max(total - float((along**2 / shrunk).sum()), 1e-12 * total + 1e-300)
        evidence = -n / 2 * math.log(misfit) - float(np.log(shrunk / tried).sum()) / 2
        if evidence > best:
            best, prior = evidence, float(tried)
    prior /= _UNDERSMOOTHING
    inverse = (vectors / (values + prior)) @ vectors.T
    return _Solved(inverse @ (centred.T @ target), inverse, prior, float((values / (values + prior)).sum()))


def _skewness(residual: Floats) -> float:
    spread = float(residual.std())
    return float(((residual / spread) ** 3).mean()) if spread > 0 else 0.0


def _direction(centred: Floats, target: Floats) -> Floats:
    """Slopes of a regression on hats alone, as one score of deviation 1 over the rows; empty for no slope."""
    slopes = _regress(centred, target).slopes
    deviation = float((centred @ slopes).std())
    return slopes / deviation if deviation > 0 else np.zeros(0)


def _with_square(centred: Floats, direction: Floats) -> Floats:
    """Hats, then the centred square of their score along ``direction``.

    A sum of inputs says too little where several that raise the loss are high together; one feature says most
    of it (one degree of freedom for non-additivity: J. Tukey, Biometrics 5, 1949).
    """
    if not direction.size:
        return centred
    return np.column_stack([centred, (centred @ direction) ** 2 - 1])


def _covariance(centred: Floats, residual: Floats, solved: _Solved) -> Floats:
    """Of the mean and the slopes' posterior, with the rows' own variances.

    A row that pulls the fit towards itself leaves a small residual, which is scaled up (HC3: J. MacKinnon and
    H. White, Journal of Econometrics 29, 1985).
    """
    pull = np.einsum("ij,jk,ik->i", centred, solved.inverse, centred)
    scaled = residual / np.maximum(1 - pull, 0.1)
    spread = np.vstack([scaled / scaled.size, solved.inverse @ (centred * scaled[:, None]).T])
    covariance = spread @ spread.T
    covariance[1:, 1:] += float((residual**2).mean()) * solved.prior * solved.inverse @ solved.inverse
    return np.asarray(covariance)


def _explained(features: Floats, target: Floats) -> float:
    """Share of the variance that one column explains alone."""
    total = float(((target - target.mean()) ** 2).sum())
    if total == 0:
        return 0.0
    centred = features - features.mean(axis=0)
    fitted = centred @ _regress(centred, target - target.mean()).slopes
    return float((fitted**2).sum()) / total


def _misfit(scaled: Floats, residual: Floats, columns: Sequence[Floats]) -> float:
    """How far means over parts of the test rows are off, beyond chance, per squared distance of the part."""
    excess = distance = 0.0
    for part in _parts(columns):
        mine = residual[part]
        excess += float(mine.mean() ** 2 - mine.var(ddof=1) / mine.size)
        distance += float((scaled[part].mean(axis=0) ** 2).sum())
    return max(excess, 0.0) / distance if distance else 0.0


def _parts(columns: Sequence[Floats]) -> Iterator[Any]:
    """Rows in which two columns are both on one side of the middle of their hats."""
    sides = []
    for features in columns:
        score = features @ np.arange(features.shape[1])
        side = score > np.median(score)
        sides.append(side if side.any() else score >= np.median(score))
    for one, other in combinations(sides, 2):
        for first in (one, ~one):
            for second in (other, ~other):
                part = np.flatnonzero(first & second)
                if _FEWEST_IN_PART <= part.size < first.size:
                    yield part
