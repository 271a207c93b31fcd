from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.core.errors import UserCodeError
from headrace.core.project import Task
from headrace.training.original import Original

X = np.array([[1.0, 2.0], [np.nan, 1.0], [0.0, 0.0]], dtype=np.float32)
FOLDER = Path("/projects/cars")


class Fitted:
    """Answers with what it is told to."""

    def __init__(self, predict: Any = None, probability: Any = None, classes: Any = (0, 1)) -> None:
        self._predict = predict
        self._probability = probability
        self.classes_ = np.array(classes)

    def predict(self, X: np.ndarray[Any, Any]) -> Any:
        if isinstance(self._predict, Exception):
            raise self._predict
        return self._predict[: len(X)]

    def predict_proba(self, X: np.ndarray[Any, Any]) -> Any:
        return self._probability[: len(X)]


def _ask(estimator: Any, task: Task = "classification") -> Original:
    return Original(estimator, task, 2 if task == "classification" else 0, FOLDER, "project.py:7")


def test_answers_are_numbers_of_the_right_shape() -> None:
    answers = _ask(Fitted([0, 1, 1], np.tile([0.25, 0.75], (3, 1)))).answers(X)
    assert answers["predict"].tolist() == [0.0, 1.0, 1.0]
    assert answers["probability"].dtype == np.float64
    assert set(_ask(Fitted([1.5, 2.5, 3.5]), "regression").answers(X)) == {"predict"}


def test_no_rows_are_no_question() -> None:
    answers = _ask(Fitted(ValueError("never asked"))).answers(X[:0])
    assert answers["probability"].shape == (0, 2)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (None, r"^project\.py:7: the trainer returned None. Expected a fitted estimator"),
        (7, "returned a int, which has no predict_proba"),
        (Fitted(classes=(3, 4)), r"knows the classes \[3, 4\]. Expected 0 to 1"),
        (Fitted(classes=(0,)), r"knows the classes \[0\]"),
    ],
)
def test_what_is_no_classifier_is_refused(estimator: Any, message: str) -> None:
    with pytest.raises(UserCodeError, match=message):
        _ask(estimator)


def test_what_cannot_predict_is_refused() -> None:
    from sklearn.linear_model import Ridge

    for estimator, message in (
        (Ridge(), "the Ridge cannot predict: NotFittedError"),
        (Fitted(np.zeros((3, 2))), r"predict of the Fitted has shape \(3, 2\). Expected \(3,\)"),
        (Fitted(["a", "b", "c"]), "cannot predict: ValueError"),
    ):
        with pytest.raises(UserCodeError, match=message):
            _ask(estimator, "regression").answers(X)
    with pytest.raises(UserCodeError, match=r"predict_proba of the Fitted has shape \(3, 1\)"):
        _ask(Fitted([0, 1, 1], np.ones((3, 1)))).answers(X)


def test_labels_of_an_estimator_that_was_fitted_elsewhere_become_codes() -> None:
    labelled = Fitted(["no", "yes", "no"], np.tile([0.25, 0.75], (3, 1)), classes=("no", "yes"))
    original = Original(labelled, "classification", 2, FOLDER, "project.py:7", ("no", "yes"))
    assert original.answers(X)["predict"].tolist() == [0.0, 1.0, 0.0]
    with pytest.raises(UserCodeError, match="knows the classes"):
        Original(labelled, "classification", 2, FOLDER, "project.py:7", ("yes", "no"))


@pytest.mark.requirement("EXP-01")
def test_an_estimator_is_described_with_its_parameters() -> None:
    from sklearn.linear_model import Ridge

    described = _ask(Ridge(alpha=2.5), "regression").description()
    assert described["type"] == "sklearn.linear_model._ridge.Ridge"
    assert described["params"]["alpha"] == "2.5"
    assert described["params"]["fit_intercept"] is True
