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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from headrace.checks.additive import Regression
from headrace.checks.metrics import SMALLEST_PROBABILITY, Floats, Outputs, labels_of, reach_of, row_losses
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import Column

FEWEST_TEST_ROWS = 100
"""Test rows with a known loss, without which nothing is fitted."""
MOST_TEST_ROWS = 50_000
_NEWTON_STEPS = 50


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
