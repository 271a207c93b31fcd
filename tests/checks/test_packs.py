"""Every metric by name, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from headrace.checks.metrics import LOSSES, NUMERIC_LOSSES, report
from headrace.checks.packs import METRICS, Scored, concluded, known_metrics, measure_metric, metric_of
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.project import MetricSpec

N = 400


def value(name: str, scored: Scored, task: Any = "classification", **spec: Any) -> float:
    measured = measure_metric(MetricSpec(name=name, **spec), task, scored)
    assert measured is not None
    return measured.value


def classified(n_classes: int) -> Scored:
    random = np.random.default_rng(n_classes)
    probability = random.dirichlet(np.ones(n_classes), N)
    classes = [f"class {index}" for index in range(n_classes)]
    names = np.array(classes, dtype=object)
    truth = names[[random.choice(n_classes, p=p) for p in probability]]
    predict = names[probability.argmax(axis=1)]
    return Scored(truth=truth, outputs={"predict": predict, "probability": probability}, classes=classes)


def numbers() -> Scored:
    random = np.random.default_rng(7)
    truth = random.gamma(2, 50, N) + 1
    return Scored(truth=truth, outputs={"predict": truth * random.lognormal(0, 0.2, N)})


@pytest.mark.requirement("EVA-16")
@pytest.mark.requirement("EVA-12")
@pytest.mark.parametrize("n_classes", [2, 4])
def test_classification_agrees_with_scikit_learn(n_classes: int) -> None:
    scored = classified(n_classes)
    truth, predict, probability = scored.truth, scored.outputs["predict"], scored.outputs["probability"]
    average: dict[str, Any] = {"average": "macro"} if n_classes > 2 else {"pos_label": "class 1"}
    counts = oracle.confusion_matrix(truth, predict, labels=scored.classes)
    hits = np.diag(counts)
    missed, alarms = counts.sum(axis=1) - hits, counts.sum(axis=0) - hits
    negatives = counts.sum() - counts.sum(axis=1)
    chosen = slice(None) if n_classes > 2 else slice(1, 2)
    expected = {
        "accuracy": oracle.accuracy_score(truth, predict),
        "error_rate": 1 - oracle.accuracy_score(truth, predict),
        "balanced_accuracy": oracle.balanced_accuracy_score(truth, predict),
        "precision": oracle.precision_score(truth, predict, **average),
        "recall": oracle.recall_score(truth, predict, **average),
        "f1": oracle.f1_score(truth, predict, **average),
        "log_loss": oracle.log_loss(truth, probability, labels=scored.classes),
        "false_negative_rate": (missed / counts.sum(axis=1))[chosen].mean(),
        "false_positive_rate": (alarms / negatives)[chosen].mean(),
    }
    if n_classes == 2:
        expected["auc"] = oracle.roc_auc_score(truth == "class 1", probability[:, 1])
        expected["brier"] = oracle.brier_score_loss(truth == "class 1", probability[:, 1])
        told = report("classification", truth, scored.outputs, scored.classes)
        cells = ("true_negative", "false_positive", "false_negative", "true_positive")
        assert [told[name] for name in cells] == counts.ravel().tolist()
    for name, right in expected.items():
        assert value(name, scored) == pytest.approx(right), name


def test_regression_and_forecasts_agree_with_scikit_learn() -> None:
    scored = numbers()
    truth, predict = scored.truth, scored.outputs["predict"]
    expected = {
        "mae": oracle.mean_absolute_error(truth, predict),
        "mse": oracle.mean_squared_error(truth, predict),
        "rmse": oracle.root_mean_squared_error(truth, predict),
        "r2": oracle.r2_score(truth, predict),
        "mape": oracle.mean_absolute_percentage_error(truth, predict),
        "median_error": oracle.median_absolute_error(truth, predict),
        "bias": (predict - truth).mean(),
        "pinball_10": oracle.mean_pinball_loss(truth, predict, alpha=0.1),
        "pinball_50": oracle.mean_pinball_loss(truth, predict, alpha=0.5),
        "pinball_90": oracle.mean_pinball_loss(truth, predict, alpha=0.9),
        "smape": (2 * abs(predict - truth) / (abs(predict) + abs(truth))).mean(),
    }
    for name, right in expected.items():
        assert value(name, scored, "forecasting") == pytest.approx(right), name


def test_scaled_error_is_one_for_the_naive_forecast_of_its_own_history() -> None:
    walk = np.random.default_rng(1).normal(size=500).cumsum()
    scored = Scored(truth=walk[1:], outputs={"predict": walk[:-1]}, history=walk)
    assert value("mase", scored, "forecasting") == pytest.approx(1.0)
    unknown = Scored(truth=walk[1:], outputs={"predict": walk[:-1]})
    assert measure_metric(MetricSpec(name="mase"), "forecasting", unknown) is None


def test_a_ranking_is_measured_per_list_that_an_input_names() -> None:
    random = np.random.default_rng(3)
    relevance, score = random.integers(0, 4, (30, 8)).astype(float), random.normal(size=(30, 8))
    lists = np.repeat(np.arange(30), 8)
    scored = Scored(truth=relevance.ravel(), outputs={"predict": score.ravel()}, columns={"query": lists})
    assert value("ndcg", scored, "regression", by="query") == pytest.approx(
        oracle.ndcg_score(relevance, score)
    )
    with pytest.raises(InvalidInput, match="'by'"):
        value("ndcg", scored, "regression")


@pytest.mark.requirement("EVA-10")
def test_an_unknown_name_is_refused_with_the_list() -> None:
    with pytest.raises(NotFound, match=r"no metric 'aucc' for classification.*auc.*@headrace.metric"):
        metric_of("aucc", "classification")
    with pytest.raises(NotFound, match="for regression"):
        metric_of("auc", "regression")


def test_each_loss_of_a_gate_is_a_metric_of_its_task() -> None:
    for task, names in LOSSES.items():
        assert set(names) <= known_metrics(task)
    assert all((name in NUMERIC_LOSSES) == ("regression" in METRICS[name].tasks) for name in NUMERIC_LOSSES)


def test_means_have_an_interval_and_what_cannot_be_told_is_nothing() -> None:
    mean = concluded(np.array([1.0, 2.0, np.nan, 3.0]))
    assert mean is not None
    assert mean.value == 2.0
    interval = mean.interval(0.9)
    assert interval is not None
    assert interval.low < 2.0 < interval.high
    assert concluded(float("nan")) is None
    assert concluded(np.array([np.nan])) is None
    assert value("accuracy", classified(2)) == 1 - value("error_rate", classified(2))
