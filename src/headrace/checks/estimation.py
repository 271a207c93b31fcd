"""How good are answers whose truth has not come yet?

A model of the loss is fitted on the test rows, whose truth is known, and asked about rows whose truth is not.
It holds while truth depends on what the model sees as it did then: *whatever* rows come (covariate shift),
but not once that relation itself has moved (concept drift). Whoever shows an estimate has to refuse it then.

1. Classification starts from the model's own probabilities, recalibrated on the test rows: the expected loss
   of a row follows from them (C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017;
   M. Kull et al., "Beta calibration", AISTATS 2017). Predicted numbers have none and start from zero.
2. What the losses are beyond that is regressed on inputs and prediction: Bayesian linear regression on hat
   functions and the square of their sum, its prior chosen by the evidence (D. MacKay, Neural Computation 4,
   1992).

The interval has three parts: what the test rows leave open about the parameters; how far the regression is
off in parts of the test rows that it was not made for, such as where two inputs are high, in proportion to
how far the rows have moved; and by how much the mean loss of ``n`` rows varies around its expectation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from headrace.checks.columns import known_numbers, label, label_counts
from headrace.checks.metrics import SMALLEST_PROBABILITY, Floats, Outputs, labels_of, reach_of, row_losses
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import Column

FEWEST_TEST_ROWS = 100
"""Test rows with a known loss, without which nothing is fitted."""
MOST_TEST_ROWS = 50_000
MOST_INPUTS = 30
KNOTS = (0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 1.0)
"""Quantiles of a number between which the loss is taken as linear; losses often grow towards either end."""
MOST_CATEGORIES = 20
_FEWEST_IN_PART = 40
_MOST_SPLIT = 8
_NEWTON_STEPS = 50
_UNDERSMOOTHING = 8.0
_PREDICTION = "(prediction)"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The mean loss that ``n`` rows are expected to have.

    Attributes:
        uncertainty: standard deviation of ``value`` as the parameters are known from the test rows.
        scatter: standard deviation of the mean of the ``n`` losses around their expectation.
        skewness: of a single loss around its expectation.
    """

    value: float
    uncertainty: float
    scatter: float
    n: int
    skewness: float = 0.0

    @property
    def deviation(self) -> float:
        """Of the mean loss that will be seen, from ``value``."""
        return math.hypot(self.uncertainty, self.scatter)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Covers the mean loss that truth will show, when it comes; never below 0.

        Rare large losses make it longer above: test rows without them look better than they are, and surer.
        """
        from scipy.special import ndtri

        reach = float(ndtri((1 + confidence) / 2)) * self.deviation
        one = self.scatter * math.sqrt(self.n)
        if not one:
            return max(self.value - reach, 0.0), self.value + reach
        # So many independent losses would leave their mean as uncertain.
        n_worth = max((one / self.deviation) ** 2, 1.0)
        below, above = reach_of(reach / one, self.skewness, n_worth)
        return max(self.value - one * below, 0.0), self.value + one * above


@dataclass(frozen=True, kw_only=True)
class LossModel:
    """What a release keeps to estimate with.

    Attributes:
        calibration: of a classification.
        slope: of the mean loss of the test rows by each parameter of it; empty without one.
        regression: of what the losses are beyond what the calibration expects.
    """

    metric: str
    calibration: Calibration | None
    slope: Floats
    regression: Regression

    @classmethod
    def fit(
        cls,
        metric: str,
        truth: Any,
        columns: Columns,
        outputs: Outputs,
        inputs: Sequence[Column],
        *,
        classes: Sequence[Any] | None = None,
    ) -> LossModel | None:
        """Fit on test rows; None where fewer than 100 have a loss, or a class has no probability.

        Args:
            truth: labels of the test rows, shape ``(n_test,)``.
            columns: their raw inputs, each ``(n_test,)``.
            outputs: ``predict`` and, for classification, ``probability`` ``(n_test, n_classes)``.
            inputs: declared columns.
            classes: of a classification, in the order of the probabilities.

        >>> random = np.random.default_rng(0)
        >>> km = random.uniform(0, 100, 2000)
        >>> truth, spec = km + random.normal(0, 1 + km / 10), [Column(name="km", role="numeric")]
        >>> model = LossModel.fit("mae", truth, {"km": km}, {"predict": km}, spec)
        >>> far = np.full(500, 90.0)
        >>> low, high = model.estimate({"km": far}, {"predict": far}).interval(0.99)
        >>> low < 0.8 * 10 < high  # a normal error of deviation 10 is 8 in the mean; over all rows it is 4.8
        True
        """
        losses = row_losses(metric, truth, outputs, classes=classes)
        calibration = None
        if classes is not None:
            calibration = Calibration.fit(truth, outputs, classes)
            if calibration is None:
                return None
        known = np.flatnonzero(np.isfinite(losses))[-MOST_TEST_ROWS:]
        if known.size < FEWEST_TEST_ROWS:
            return None
        answers = {name: np.asarray(values)[known] for name, values in outputs.items()}
        roles = {c.name: c.role for c in inputs if c.role not in ("text", "image")}
        rows = {name: np.asarray(columns[name])[known] for name in roles if name in columns}
        target = losses[known]
        slope = np.zeros(0)
        if calibration is not None:
            expected = calibration.expected(metric, answers)
            target, slope = target - expected.losses, expected.slope
        return cls(
            metric=metric,
            calibration=calibration,
            slope=slope,
            regression=Regression.fit(target, rows, answers, roles),
        )

    def estimate(self, columns: Columns, outputs: Outputs) -> Estimate | None:
        """The mean loss of rows without truth; None where no row was answered as the test rows were.

        Args:
            columns: raw inputs by name, each ``(n_rows,)``.
            outputs: as for :meth:`fit`.
        """
        known = self._known(outputs)
        n = int(known.sum())
        if not n:
            return None
        answers = {name: np.asarray(values)[known] for name, values in outputs.items()}
        rows = {name: np.asarray(values)[known] for name, values in columns.items()}
        beyond = self.regression.mean(rows, answers)
        value, uncertainty, variance = beyond.value, beyond.variance, beyond.scatter
        if self.calibration is not None:
            expected = self.calibration.expected(self.metric, answers)
            value += float(expected.losses.mean())
            # The mean over the test rows is known, whatever the parameters are.
            slope = expected.slope - self.slope
            uncertainty += float(slope @ self.calibration.covariance @ slope)
            variance = float(expected.variances.mean())
        return Estimate(
            value=max(value, 0.0),
            uncertainty=math.sqrt(max(uncertainty, 0.0)),
            scatter=math.sqrt(max(variance, 0.0) / n),
            n=n,
            skewness=self.regression.skewness,
        )

    def _known(self, outputs: Outputs) -> Any:
        """Rows that were answered as the test rows were."""
        if self.calibration is None:
            return np.isfinite(np.asarray(outputs["predict"], dtype=np.float64))
        probability = np.asarray(outputs.get("probability", np.zeros((0, 0))), dtype=np.float64)
        if probability.ndim != 2 or probability.shape[1] != len(self.calibration.classes):
            return np.zeros(len(outputs["predict"]), dtype=bool)
        return np.isfinite(probability).all(axis=1)

    def to_dict(self) -> dict[str, Any]:
        """A JSON form; :meth:`from_dict` reads it."""
        calibration = self.calibration
        return {
            "metric": self.metric,
            "calibration": None if calibration is None else calibration.to_dict(),
            "slope": self.slope.tolist(),
            "regression": self.regression.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LossModel:
        """What :meth:`to_dict` wrote. Raises InvalidInput for anything else."""
        try:
            calibration = data["calibration"]
            return cls(
                metric=data["metric"],
                calibration=None if calibration is None else Calibration.from_dict(calibration),
                slope=np.array(data["slope"]),
                regression=Regression.from_dict(data["regression"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"A loss model cannot be read: {error!r}. Rebuild the release.") from error


class _Expected(NamedTuple):
    """Losses, their variances, both ``(n_rows,)``, and the slope of the mean loss by each parameter."""

    losses: Floats
    variances: Floats
    slope: Floats


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What the model's probabilities are worth: ``q = softmax(slopes * log p + intercepts)``.

    For two classes this is beta calibration, for more vector scaling. A weak prior around "as they are" keeps
    classes finite that hardly occurred.

    Attributes:
        classes: in the order of the probabilities.
        parameters: slopes, then intercepts, shape ``(2 * n_classes,)``.
        covariance: of them, shape ``(2 * n_classes, 2 * n_classes)``.
    """

    classes: tuple[Any, ...]
    parameters: Floats
    covariance: Floats

    @classmethod
    def fit(cls, truth: Any, outputs: Outputs, classes: Sequence[Any]) -> Calibration | None:
        """By maximum a posteriori (Newton's method), its covariance by Laplace's approximation."""
        if "probability" not in outputs:
            return None
        said = _logs(outputs["probability"])
        if said.ndim != 2 or said.shape[1] != len(classes):
            return None
        place = {label: i for i, label in enumerate(labels_of(list(classes)))}
        true = np.array([place.get(label, -1) if label is not None else -1 for label in labels_of(truth)])
        known = np.flatnonzero((true >= 0) & np.isfinite(said).all(axis=1))[-MOST_TEST_ROWS:]
        if known.size < FEWEST_TEST_ROWS:
            return None
        fitted = _calibrate(said[known], np.eye(len(classes))[true[known]])
        return cls(classes=tuple(classes), parameters=fitted.at, covariance=fitted.covariance)

    def expected(self, metric: str, answers: Outputs) -> _Expected:
        """Of each row, over what may turn out to be true."""
        logs = _logs(answers["probability"])
        q = _shares(logs, self.parameters)
        losses = np.column_stack(
            [row_losses(metric, [label] * len(q), answers, classes=self.classes) for label in self.classes]
        )
        expected = (q * losses).sum(axis=1)
        by_logit = q * (losses - expected[:, None])
        return _Expected(
            losses=expected,
            variances=(q * losses**2).sum(axis=1) - expected**2,
            slope=np.concatenate([(by_logit * logs).mean(axis=0), by_logit.mean(axis=0)]),
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON form."""
        arrays = {"parameters": self.parameters.tolist(), "covariance": self.covariance.tolist()}
        return {"classes": list(self.classes), **arrays}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """What :meth:`to_dict` wrote."""
        return cls(
            classes=tuple(data["classes"]),
            parameters=np.array(data["parameters"]),
            covariance=np.array(data["covariance"]),
        )


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
            for row, name in enumerate(map(label, np.asarray(values).tolist())):
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


class _Beyond(NamedTuple):
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

    def mean(self, rows: Columns, answers: Outputs) -> _Beyond:
        """Of the target over rows."""
        seen, n = _with_prediction(rows, answers), len(answers["predict"])
        matrix = np.column_stack([hats.of(seen.get(hats.name), n) for hats in self.hats])
        centred = _with_square(matrix - self.center, self.direction)
        moved = centred.mean(axis=0)
        distance = float(((moved / self.deviation) ** 2).sum())
        weights = np.concatenate([[1.0], moved])
        squares = np.maximum(self.mean_square + centred @ self.slopes_of_square, 0.05 * self.mean_square)
        return _Beyond(
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


class _Calibrated(NamedTuple):
    at: Floats
    covariance: Floats


def _logs(probability: Any) -> Floats:
    """Logarithms of probabilities, ``(n_rows, n_classes)``, held off the ends."""
    values = np.asarray(probability, dtype=np.float64)
    return np.asarray(np.log(np.clip(values, SMALLEST_PROBABILITY, 1.0)))


def _shares(logs: Floats, parameters: Floats) -> Floats:
    from scipy.special import softmax

    n_classes = logs.shape[1]
    return np.asarray(softmax(logs * parameters[:n_classes] + parameters[n_classes:], axis=1))


def _calibrate(logs: Floats, true: Floats) -> _Calibrated:
    """Newton's method on the concave posterior; the prior is normal, around 1 and 0, of deviation 3."""
    n_classes = logs.shape[1]
    prior = np.concatenate([np.ones(n_classes), np.zeros(n_classes)])
    precision = np.full(2 * n_classes, 1 / 9.0)
    at = prior.copy()
    features = [np.column_stack([logs[:, c], np.ones(len(logs))]) for c in range(n_classes)]

    def posterior(point: Floats) -> float:
        likelihood = (true * np.log(np.maximum(_shares(logs, point), 1e-300))).sum()
        return float(likelihood - (precision * (point - prior) ** 2).sum() / 2)

    best, information = posterior(at), np.diag(precision)
    for _ in range(_NEWTON_STEPS):
        q = _shares(logs, at)
        gap = true - q
        gradient = np.concatenate([(gap * logs).sum(axis=0), gap.sum(axis=0)]) - precision * (at - prior)
        information = _information(features, q) + np.diag(precision)
        step = np.linalg.solve(information, gradient)
        scale = 1.0
        while scale > 1e-6 and posterior(at + scale * step) < best:
            scale /= 2
        at = at + scale * step
        best, before = posterior(at), best
        if best - before < 1e-9 * abs(before):
            break
    return _Calibrated(at, np.linalg.inv(information))


def _information(features: Sequence[Floats], q: Floats) -> Floats:
    """Fisher information of slopes and intercepts, ``(2 * n_classes, 2 * n_classes)``."""
    n_classes = len(features)
    total = np.zeros((2 * n_classes, 2 * n_classes))
    for one in range(n_classes):
        for other in range(one, n_classes):
            weight = q[:, one] * ((one == other) - q[:, other])
            block = (features[one] * weight[:, None]).T @ features[other]
            rows, columns = [one, n_classes + one], [other, n_classes + other]
            total[np.ix_(rows, columns)] = block
            total[np.ix_(columns, rows)] = block.T
    return total
