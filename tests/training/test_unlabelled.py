"""Models without truth: that they answer as scikit-learn does, and that their graphs answer as they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import Ridge
from sklearn.mixture import GaussianMixture

from headrace.core.errors import InvalidInput
from headrace.core.project import Task
from headrace.training.convert import to_onnx
from headrace.training.definition import TrainingData
from headrace.training.unlabelled import AnomalyModel, ClusterModel, MedianDistance, OneCluster

ANOMALIES = [
    MedianDistance(),
    IsolationForest(n_estimators=20, random_state=0),
    IsolationForest(n_estimators=20, max_features=2, max_samples=64, random_state=0),
    *(
        GaussianMixture(2, covariance_type=kind, reg_covar=0.01, random_state=0)
        for kind in ("full", "tied", "diag", "spherical")
    ),
    KMeans(3, n_init=1, random_state=0),
    KMeans(1, n_init=1, random_state=0),
]
CLUSTERS = [
    OneCluster(),
    KMeans(3, n_init=1, random_state=0),
    GaussianMixture(2, reg_covar=0.01, random_state=0),
]


def rows(n_rows: int = 400, *, seed: int = 0, spread: float = 1.0) -> Any:
    random = np.random.default_rng(seed)
    X = random.normal(size=(n_rows, 4)) * spread
    X[:, 2] *= 1e4
    X[:, 3] = random.integers(-1, 3, n_rows)
    X[::17, 0] = np.nan
    return X.astype(np.float32)


def training(task: Task, X: Any = None, *, budget: float = 0.05, n_clusters: int = 3) -> TrainingData:
    X = rows() if X is None else X
    return TrainingData(
        X=X,
        y=np.zeros(len(X)),
        feature_names=tuple("abcd"),
        categorical_indexes=(3,),
        task=task,
        classes=tuple(range(n_clusters)) if task == "clustering" else (False, True),
        budget=budget,
    )


@pytest.mark.parametrize("estimator", ANOMALIES, ids=lambda e: f"{type(e).__name__}")
def test_the_declared_share_is_flagged_and_the_graph_agrees(estimator: Any) -> None:
    model = AnomalyModel(estimator).fit(training("anomaly_detection"))
    assert model.predict(rows()).mean() == pytest.approx(0.05, abs=0.005)
    agrees(model, "anomaly_detection")


@pytest.mark.parametrize("estimator", CLUSTERS, ids=lambda e: type(e).__name__)
def test_memberships_sum_to_one_and_the_graph_agrees(estimator: Any) -> None:
    model = ClusterModel(estimator).fit(training("clustering"))
    counts = np.bincount(model.predict(rows()), minlength=3)
    assert counts.tolist() == sorted(counts.tolist(), reverse=True)
    assert model.predict_proba(rows()).sum(axis=1) == pytest.approx(1.0)
    agrees(model, "clustering")


def agrees(model: Any, task: Task) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(to_onnx(model, n_features=4, task=task))
    for X in (rows(), rows(seed=1, spread=30.0), rows(seed=2, spread=1e30)):
        predict, probability = session.run(None, {"X": X.astype(np.float64)})
        assert probability == pytest.approx(model.predict_proba(X), abs=1e-9)
        assert predict.tolist() == model.predict(X).tolist()


def test_rows_are_ranked_as_the_estimator_ranks_them() -> None:
    forest = IsolationForest(n_estimators=20, random_state=0)
    model = AnomalyModel(forest).fit(training("anomaly_detection"))
    score = model.predict_proba(rows())[:, 1]
    theirs = -forest.score_samples(model.scale.apply(rows()))
    order = np.argsort(theirs)
    assert (np.diff(score[order]) >= 0).all()
    assert score.min() == 0.0
    assert score.max() == 1.0


def test_clusters_are_those_of_the_estimator_the_largest_first() -> None:
    X = np.concatenate([rows(50), rows(200) + np.float32(9)])
    X[:, 3] = 0
    estimator = KMeans(2, n_init=1, random_state=0)
    model = ClusterModel(estimator).fit(training("clustering", X, n_clusters=2))
    theirs = estimator.predict(model.scale.apply(X))
    assert ((model.predict(X) == 0) == (theirs == theirs[-1])).all()


def test_equal_rows_are_no_anomalies() -> None:
    X = np.ones((50, 4), dtype=np.float32)
    model = AnomalyModel(MedianDistance()).fit(training("anomaly_detection", X))
    assert not model.predict(X).any()
    assert model.predict(X + np.float32(5)).all()


def test_other_estimators_and_too_many_clusters_are_refused() -> None:
    with pytest.raises(InvalidInput, match="got a Ridge"):
        AnomalyModel(Ridge()).fit(training("anomaly_detection"))
    with pytest.raises(InvalidInput, match="got a Ridge"):
        ClusterModel(Ridge()).fit(training("clustering"))
    with pytest.raises(InvalidInput, match="makes 4 clusters"):
        ClusterModel(KMeans(4, n_init=1)).fit(training("clustering"))
