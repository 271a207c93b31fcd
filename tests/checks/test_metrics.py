from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as reference

from headrace.checks.metrics import (
    SMALLEST_PROBABILITY,
    Interval,
    default_metric,
    labels_of,
    mean_interval,
    report,
    row_losses,
)
from headrace.core.canonical import canonical_json
from headrace.core.errors import InvalidInput
from tests.checks.simulated import DIFFERENCES

RANDOM = np.random.default_rng(0)
N = 500
POSITIVE = np.round(RANDOM.random(N), 2)
BINARY = {
    "predict": np.where(POSITIVE > 0.5, "late", "on time"),
    "probability": np.column_stack([1 - POSITIVE, POSITIVE]),
}
LATE = np.where(RANDOM.random(N) < POSITIVE, "late", "on time")
CLASSES = ["on time", "late"]
THREE = RANDOM.dirichlet([1, 1, 1], size=N)
KINDS = ["a", "b", "c"]
TRUE_KIND = np.array(KINDS)[[RANDOM.choice(3, p=p) for p in THREE]]
MULTI = {"predict": np.array(KINDS)[THREE.argmax(axis=1)], "probability": THREE}


def test_default_metrics_are_losses_that_average_over_rows() -> None:
    assert {task: default_metric(task) for task in ("classification", "regression", "forecasting")} == {
        "classification": "log_loss",
        "regression": "mae",
        "forecasting": "mae",
    }


@pytest.mark.requirement("GAT-02")
def test_losses_average_to_the_metrics_of_scikit_learn(random: np.random.Generator) -> None:
    truth, predicted = random.normal(size=N), random.normal(size=N)
    assert row_losses("mae", truth, {"predict": predicted}).mean() == pytest.approx(
        reference.mean_absolute_error(truth, predicted)
    )
    assert row_losses("mse", truth, {"predict": predicted}).mean() == pytest.approx(
        reference.mean_squared_error(truth, predicted)
    )
    clipped = np.clip(POSITIVE, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    assert row_losses("log_loss", LATE, BINARY, classes=CLASSES).mean() == pytest.approx(
        reference.log_loss(LATE == "late", clipped)
    )
    assert row_losses("brier", LATE, BINARY, classes=CLASSES).mean() == pytest.approx(
        reference.brier_score_loss(LATE == "late", POSITIVE)
    )
    assert row_losses("error_rate", LATE, BINARY).mean() == pytest.approx(
        1 - reference.accuracy_score(LATE, BINARY["predict"])
    )
    assert row_losses("log_loss", TRUE_KIND, MULTI, classes=KINDS).mean() == pytest.approx(
        reference.log_loss(TRUE_KIND, THREE)
    )


def test_reports_agree_with_scikit_learn(random: np.random.Generator) -> None:
    found = report("classification", LATE, BINARY, CLASSES)
    predicted = BINARY["predict"]
    assert found["auc"] == pytest.approx(reference.roc_auc_score(LATE == "late", POSITIVE))
    assert found["precision"] == pytest.approx(reference.precision_score(LATE, predicted, pos_label="late"))
    assert found["recall"] == pytest.approx(reference.recall_score(LATE, predicted, pos_label="late"))
    counts = reference.confusion_matrix(LATE, predicted, labels=CLASSES).ravel().tolist()
    assert [
        found[n] for n in ("true_negative", "false_positive", "false_negative", "true_positive")
    ] == counts
    multi = report("classification", TRUE_KIND, MULTI, KINDS)
    assert multi["precision"] == pytest.approx(
        reference.precision_score(TRUE_KIND, MULTI["predict"], average="macro")
    )
    assert multi["recall"] == pytest.approx(
        reference.recall_score(TRUE_KIND, MULTI["predict"], average="macro")
    )
    assert multi["confusion_2_0"] == reference.confusion_matrix(TRUE_KIND, MULTI["predict"])[2, 0]
    truth, guess = random.normal(5, 1, N), random.normal(5, 1, N)
    assert report("regression", truth, {"predict": guess}) == pytest.approx(
        {
            "mae": reference.mean_absolute_error(truth, guess),
            "rmse": reference.root_mean_squared_error(truth, guess),
            "r2": reference.r2_score(truth, guess),
            "mape": reference.mean_absolute_percentage_error(truth, guess),
        }
    )
    canonical_json(found | multi)


def test_what_cannot_be_measured_is_left_out() -> None:
    assert report("regression", np.zeros(3), {"predict": np.ones(3)}) == {"mae": 1.0, "rmse": 1.0}
    assert report("regression", np.array([np.nan]), {"predict": np.ones(1)}) == {}
    one_sided = {"predict": ["a"], "probability": np.array([[0.9, 0.1]])}
    assert "auc" not in report("classification", ["a"], one_sided, ["a", "b"])


def test_null_truth_and_answers_that_are_no_numbers_have_no_loss() -> None:
    losses = row_losses("mae", np.array([1.0, np.nan, 1.0]), {"predict": np.array([1.0, 1.0, np.inf])})
    np.testing.assert_array_equal(losses, [0, np.nan, np.nan])
    outputs = {
        "predict": ["a", "a", "b"],
        "probability": np.array([[0.9, 0.1], [0.9, 0.1], [np.nan, np.nan]]),
    }
    np.testing.assert_array_equal(
        np.isnan(row_losses("log_loss", ["a", None, "b"], outputs, classes=["a", "b"])), [False, True, True]
    )
    assert row_losses("error_rate", ["a", None], {"predict": ["b", "b"]})[0] == 1


def test_a_class_never_seen_is_as_wrong_as_can_be() -> None:
    outputs = {"predict": ["a"], "probability": np.array([[0.5, 0.5]])}
    loss = row_losses("log_loss", ["z"], outputs, classes=["a", "b"])
    assert loss.tolist() == [pytest.approx(-math.log(SMALLEST_PROBABILITY))]


@pytest.mark.parametrize(
    "truth", [[1.0, 0.0, 1.0], [True, False, True], np.array([1, 0, 1]), np.array([1, 0, 1], dtype=object)]
)
def test_labels_that_mean_the_same_are_the_same(truth: Any) -> None:
    assert labels_of(truth) == [1.0, 0.0, 1.0]
    assert labels_of(["late ", None, math.nan]) == ["late", None, None]
    assert labels_of([np.int64(1), 1, np.True_, np.float32("nan")]) == [1.0, 1.0, 1.0, None]


def test_classes_can_be_concluded() -> None:
    with_classes = row_losses("log_loss", LATE, BINARY, classes=CLASSES)
    assert row_losses("log_loss", LATE, BINARY).tolist() == with_classes.tolist()
    assert (
        row_losses("log_loss", TRUE_KIND, MULTI).tolist()
        == row_losses("log_loss", TRUE_KIND, MULTI, classes=KINDS).tolist()
    )
    never_late = {"predict": ["on time"] * 2, "probability": np.array([[0.8, 0.2], [0.6, 0.4]])}
    assert row_losses("brier", ["late", "on time"], never_late) == pytest.approx([0.64, 0.16])
    vector = {"predict": ["on time"] * 2, "probability": np.array([0.2, 0.4])}
    assert row_losses("brier", ["late", "on time"], vector) == pytest.approx([0.64, 0.16])
    unclear = {"predict": ["a"] * 2, "probability": np.array([[0.8, 0.1, 0.1]] * 2)}
    with pytest.raises(InvalidInput, match="Pass the model's classes"):
        row_losses("log_loss", ["b", "c"], unclear)


@pytest.mark.parametrize(
    ("metric", "truth", "outputs", "classes", "message"),
    [
        ("accuracy", [1.0], {"predict": [1.0]}, None, "'accuracy' is not known"),
        ("mae", [1.0], {}, None, "no output 'predict'"),
        ("mae", [1.0], {"predict": [1.0, 2.0]}, None, "2 rows. Expected 1"),
        ("mae", ["a"], {"predict": [1.0]}, None, "truth is not numeric"),
        ("log_loss", ["a"], {"predict": ["a"]}, None, "'probability' has shape"),
        ("brier", ["a"], {"predict": ["a"], "probability": [[0.5, 0.5]]}, ["a"], "1 classes but 2 columns"),
    ],
)
def test_bad_outputs(metric: str, truth: Any, outputs: Any, classes: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        row_losses(metric, truth, outputs, classes=classes)


def test_symmetric_values_have_students_interval() -> None:
    values = np.concatenate([np.arange(50.0), -np.arange(50.0)])
    found = mean_interval(values, 0.9)
    low, high = stats.t.interval(0.9, 99, loc=0, scale=stats.sem(values))
    assert [found.low, found.high] == pytest.approx([low, high])


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50), st.floats(0.5, 0.99))
def test_an_interval_holds_its_estimate_and_mirrors(values: list[float], confidence: float) -> None:
    found = mean_interval(np.array(values), confidence)
    assert found.low <= found.estimate <= found.high
    mirrored = mean_interval(-np.array(values), confidence)
    assert mirrored.low == pytest.approx(-found.high, abs=1e-6)
    assert mirrored.high == pytest.approx(-found.low, abs=1e-6)


def test_intervals_without_much_to_go_on() -> None:
    one = mean_interval(np.array([2.0]), 0.95)
    assert (one.estimate, one.low, one.high) == (2, -math.inf, math.inf)
    assert one.evidence() == {"estimate": 2, "low": None, "high": None, "confidence": 0.95, "n": 1}
    same = mean_interval(np.full(30, 0.1), 0.95)
    assert (same.low, same.high) == (same.estimate, same.estimate)
    assert math.isnan(mean_interval(np.array([1.0, np.nan]), 0.95).low)
    with pytest.raises(InvalidInput, match="no rows"):
        mean_interval(np.array([]), 0.95)
    with pytest.raises(InvalidInput, match="confidence is 95"):
        mean_interval(np.array([1.0]), 95)
    canonical_json(Interval(estimate=1, low=0, high=2, confidence=0.9, n=3).evidence())


@pytest.mark.parametrize("n", [30, 200])
@pytest.mark.parametrize("name", DIFFERENCES)
def test_intervals_cover_what_they_say(name: str, n: int) -> None:
    """95 % intervals; 1,000 repetitions have a standard error of 0.7 points."""
    losses = DIFFERENCES[name]
    values = losses.draw(np.random.default_rng(n), (1000, n))
    found = [mean_interval(row, 0.95) for row in values]
    covered = np.mean([i.low <= losses.mean <= i.high for i in found])
    assert 0.925 <= covered <= 0.985
