"""A model of river in scikit-learn's conventions, kept by the list of what is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import compose, forest, linear_model, naive_bayes, optim, preprocessing, tree

from headrace.checks.loading import load_pickled, pickled
from headrace.core.errors import InvalidInput
from headrace.core.project import Task
from headrace.training.online import OnlineModel

_RANDOM = np.random.default_rng(0)
X = _RANDOM.random((600, 3)).astype(np.float32)
X[:, 2] = _RANDOM.integers(0, 3, 600)
X[::50, 1] = np.nan
Y = X[:, 0] * 3 + X[:, 2] + _RANDOM.normal(0, 0.1, 600)


@dataclass(frozen=True)
class Data:
    """What a trainer is given of the table."""

    task: Task
    feature_names: tuple[str, ...] = ("a", "b", "kind")
    categorical_indexes: tuple[int, ...] = (2,)


def of_text(model: Any) -> Any:
    """A pipeline that tells numbers from text."""
    numbers = compose.SelectType(float) | preprocessing.StandardScaler()
    return (numbers + (compose.SelectType(str) | preprocessing.OneHotEncoder())) | model


@pytest.mark.parametrize(
    ("model", "task", "text"),
    [
        (of_text(linear_model.LinearRegression()), "regression", True),
        (of_text(linear_model.LogisticRegression(optim.Adam())), "classification", True),
        (tree.HoeffdingTreeRegressor(), "regression", False),
        (tree.HoeffdingTreeClassifier(), "classification", False),
        (tree.HoeffdingAdaptiveTreeClassifier(seed=1), "classification", False),
        (forest.ARFRegressor(n_models=3, seed=1), "regression", False),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "learn_one") else str(value),
)
def test_what_is_kept_answers_and_learns_on_as_the_original(model: Any, task: Task, text: bool) -> None:
    y = Y if task == "regression" else (Y > 2).astype(int)
    original = OnlineModel(model, Data(task), text=text).fit(X[:500], y[:500])
    kept = load_pickled(pickled(original, "it"), "model.pkl")
    assert (kept.predict(X) == original.predict(X)).all()
    before = original.learn(X[500:], y[500:])
    assert (kept.learn(X[500:], y[500:]) == before).all()
    assert (kept.predict(X) == original.predict(X)).all()
    if task == "classification":
        assert np.allclose(original.predict_proba(X).sum(axis=1), 1)
        assert (original.predict(X) == y).mean() > 0.8
    else:
        assert np.abs(original.predict(X) - y).mean() < np.abs(y - y.mean()).mean()


def test_what_a_row_is_answered_does_not_know_its_truth() -> None:
    model = OnlineModel(preprocessing.StandardScaler() | linear_model.LinearRegression(), Data("regression"))
    model.fit(X[:100], Y[:100])
    expected = model.predict(X[100:101])
    assert model.learn(X[100:101], Y[100:101] + 1e6) == expected
    assert model.predict(X[100:101]) != expected


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 60), max_size=4).map(sorted))
def test_batches_teach_what_all_rows_at_once_do(cuts: list[int]) -> None:
    def fresh() -> OnlineModel:
        return OnlineModel(
            preprocessing.StandardScaler() | linear_model.LinearRegression(), Data("regression")
        )

    whole, parts = fresh(), fresh()
    answers = whole.learn(X[:60], Y[:60])
    said = [parts.learn(X[a:b], Y[a:b]) for a, b in zip([0, *cuts], [*cuts, 60], strict=True)]
    assert (np.concatenate(said) == answers).all()
    assert (parts.predict(X) == whole.predict(X)).all()


def test_a_class_that_is_not_known_is_answered_and_not_learnt() -> None:
    model = OnlineModel(tree.HoeffdingTreeClassifier(), Data("classification")).fit(X, (Y > 2).astype(int))
    before = model.predict_proba(X)
    assert model.learn(X[:5], [-1] * 5).shape == (5, 2)
    assert (model.predict_proba(X) == before).all()


def test_what_holds_a_function_is_not_kept() -> None:
    bayes: Any = naive_bayes.GaussianNB
    model = OnlineModel(bayes(), Data("classification")).fit(X, (Y > 2).astype(int))
    with pytest.raises(InvalidInput, match="functools.partial, which is not trusted"):
        pickled(model, "river.GaussianNB")
