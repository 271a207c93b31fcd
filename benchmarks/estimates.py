"""Do intervals of estimated performance cover what labels show later, also when the rows have moved?

    python benchmarks/estimates.py              # 60 models, 20 windows of each kind
    python benchmarks/estimates.py --models 10

Gradient-boosted trees are trained on 3,000 rows and their loss model on 2,000 test rows, by
:class:`headrace.checks.estimation.LossModel`. Windows of 300 and 2,000 rows come without truth: as in
training, and moved by half a standard deviation in one input, with the shares of a category changed by 20
points. Truth still depends on the inputs as it did. Prints the share of 90 % intervals that cover the mean
loss of the window (bar: 87 to 93 %) with its standard error, beside what the loss on the test rows and the
interval of its mean would say. The windows of one model share what its loss model got wrong, so models are
the independent units: 60 of them tell a share to within four points, 240 to within two. Ends with 1 if a
share of moved windows is outside the bar.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from scipy.special import expit

from headrace.checks.estimation import LossModel
from headrace.checks.metrics import mean_interval, row_losses
from headrace.core.project import Column

SPEC = [*(Column(name=f"x{i}", role="numeric") for i in range(4)), Column(name="c", role="categorical")]
LABELS = np.array(["a", "b", "c"], dtype=object)
METRICS = {"classification": ("log_loss", "brier", "error_rate"), "regression": ("mae", "mse")}
CLASSES = [0.0, 1.0]


def draw(random: np.random.Generator, n_rows: int, moved: bool) -> dict[str, Any]:
    """Inputs."""
    rows: dict[str, Any] = {f"x{i}": random.normal(0.5 * (moved and i == 0), 1, n_rows) for i in range(4)}
    shares = (0.3, 0.3, 0.4) if moved else (0.5, 0.3, 0.2)
    return {**rows, "c": random.choice(LABELS, n_rows, p=shares)}


def matrix(rows: dict[str, Any]) -> Any:
    """As the trees take them."""
    return np.column_stack([*(rows[f"x{i}"] for i in range(4)), rows["c"] == "a", rows["c"] == "b"])


def signal(rows: dict[str, Any]) -> Any:
    """What truth depends on, with an interaction that no sum of inputs explains."""
    return 1.2 * rows["x0"] + np.sin(2 * rows["x1"]) + 0.7 * rows["x2"] * (rows["c"] == "c")


def true(random: np.random.Generator, rows: dict[str, Any], task: str) -> Any:
    """Labels."""
    if task == "classification":
        return (random.random(len(rows["c"])) < expit(signal(rows))).astype(float)
    deviation = 0.3 + 0.3 * np.abs(rows["x1"]) + 0.6 * (rows["c"] == "c") + 0.2 * np.maximum(rows["x0"], 0)
    return signal(rows) + random.normal(size=deviation.size) * deviation


def answers(model: Any, rows: dict[str, Any], task: str) -> dict[str, Any]:
    """As a release gives them."""
    if task == "regression":
        return {"predict": model.predict(matrix(rows))}
    probability = model.predict_proba(matrix(rows))
    return {"predict": probability.argmax(axis=1).astype(float), "probability": probability}


def covered(random: np.random.Generator, task: str, n_models: int) -> dict[tuple[str, bool, int], Any]:
    """By metric, movement and rows: whether each window was covered, by the estimate and by the test loss."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    classes = CLASSES if task == "classification" else None
    found: dict[tuple[str, bool, int], Any] = {}
    for _ in range(n_models):
        train, test = draw(random, 3_000, False), draw(random, 2_000, False)
        model = kind(max_iter=60).fit(matrix(train), true(random, train, task))
        truth, said = true(random, test, task), answers(model, test, task)
        for metric in METRICS[task]:
            loss_model = LossModel.fit(metric, truth, test, said, SPEC, classes=classes)
            reference = mean_interval(row_losses(metric, truth, said, classes=classes), 0.9)
            assert loss_model is not None
            for moved in (False, True):
                for n_rows in (300, 2_000):
                    for _ in range(20):
                        rows = draw(random, n_rows, moved)
                        now = answers(model, rows, task)
                        estimate = loss_model.estimate(rows, now)
                        assert estimate is not None
                        low, high = estimate.interval(0.9)
                        loss = row_losses(metric, true(random, rows, task), now, classes=classes).mean()
                        pair = (low <= loss <= high, reference.low <= loss <= reference.high)
                        found.setdefault((metric, moved, n_rows), []).append(pair)
    return found


def main() -> int:
    """Simulate, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=int, default=60)
    arguments = parser.parse_args()
    random, missed = np.random.default_rng(0), False
    print(f"{'metric':12}{'rows':>7}{'inputs':>10}{'covered':>9}{'+-':>7}{'by the test loss':>18}")
    for task in METRICS:
        for (metric, moved, n_rows), pairs in covered(random, task, arguments.models).items():
            ours, plain = np.mean(pairs, axis=0)
            by_model = np.reshape([inside for inside, _ in pairs], (arguments.models, -1)).mean(axis=1)
            error = by_model.std(ddof=1) / np.sqrt(arguments.models)
            missed |= moved and not 0.87 <= ours <= 0.93
            words = "moved" if moved else "as before"
            print(f"{metric:12}{n_rows:7,}{words:>10}{ours:9.3f}{error:7.3f}{plain:18.3f}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
