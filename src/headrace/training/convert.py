"""Turns a fitted estimator into an ONNX graph that answers the same.

Trees and linear models become graphs in double precision, as their libraries compute; see
:mod:`headrace.training.trees`. What is left goes through skl2onnx, whose graphs compute in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from headrace.checks.tasks import answers_classes
from headrace.core.errors import InvalidInput
from headrace.core.project import Task
from headrace.training.baselines import ColumnModel, ConstantModel, DifferenceModel
from headrace.training.fitted_trees import read_trees
from headrace.training.graphs import (
    INPUT,
    OPSET,
    PREDICT,
    PROBABILITY,
    Linear,
    baseline_model,
    linear_model,
    trees_model,
)
from headrace.training.trees import Link
from headrace.training.unlabelled import AnomalyModel, ClusterModel
from headrace.training.unlabelled_graphs import unlabelled_model

if TYPE_CHECKING:
    from onnx import ModelProto

_ML_OPSET = 3
_NARROWED = "X_float"
_SUPPORTED = (
    "Return a scikit-learn estimator or Pipeline, one of LightGBM, XGBoost or CatBoost, a linear model of "
    "statsmodels, or one of headrace's baselines."
)
_STRAIGHT = frozenset(
    "ARDRegression BayesianRidge ElasticNet ElasticNetCV HuberRegressor Lars LarsCV Lasso LassoCV LassoLars "
    "LassoLarsCV LassoLarsIC LinearRegression LinearSVR OrthogonalMatchingPursuit "
    "OrthogonalMatchingPursuitCV PassiveAggressiveRegressor QuantileRegressor Ridge RidgeCV SGDRegressor "
    "TheilSenRegressor".split()
)
_STATSMODELS = {**dict.fromkeys("GLS GLSAR OLS QuantReg RLM WLS".split(), "identity"), "Logit": "sigmoid"}
_LOGISTIC = frozenset("LinearDiscriminantAnalysis LogisticRegression LogisticRegressionCV".split())


class Unconvertible(InvalidInput):
    """The estimator has no equal in ONNX."""


def to_onnx(estimator: Any, *, n_features: int, task: Task) -> bytes:
    """The estimator as an ONNX model: float64 ``X`` of shape ``(n_rows, n_features)`` in.

    Outputs are ``predict`` (``(n_rows,)`` or ``(n_rows, 1)``) and for classification ``probability``
    (``(n_rows, n_classes)``). The same estimator always gives the same bytes.

    Raises:
        InvalidInput: the estimator expects other features.
        Unconvertible: it has no equal in ONNX.
    """
    fitted = getattr(estimator, "n_features_in_", 0) or n_features
    if fitted != n_features:
        raise InvalidInput(
            f"{kind_of_model(estimator)} was fitted on {fitted} features, but data.X has {n_features}. Fit "
            "on the whole of data.X; select columns inside a scikit-learn Pipeline or with 'ignored' in "
            "headrace.yaml."
        )
    model = _converted(estimator, n_features, classifies=answers_classes(task))
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def kind_of_model(estimator: Any) -> str:
    """Library and class, as in ``sklearn.Ridge``."""
    return f"{type(estimator).__module__.split('.')[0]}.{type(estimator).__name__}"


def read_linear(estimator: Any) -> Linear | None:
    """Weights of a fitted linear model of scikit-learn or statsmodels; None where it is something else."""
    name = type(estimator).__name__
    if type(estimator).__module__.partition(".")[0] == "statsmodels":
        return _read_statsmodels(estimator)
    if type(estimator).__module__.partition(".")[0] != "sklearn":
        return None
    link: Link
    if name in _STRAIGHT:
        link = "identity"
    elif name in ("PoissonRegressor", "GammaRegressor"):
        link = "exp"
    elif name in _LOGISTIC:
        link = "sigmoid" if len(estimator.classes_) == 2 else "softmax"
    else:
        return None
    weights = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64)).T
    base = np.broadcast_to(np.asarray(estimator.intercept_, dtype=np.float64).ravel(), (weights.shape[1],))
    return Linear(weights=weights, base=base, link=link)


def _read_statsmodels(results: Any) -> Linear | None:
    """Results of a model without a constant of its own, as they predict: from the columns that were given."""
    name = type(results.model).__name__
    known = _STATSMODELS if name != "GLM" else {"Identity": "identity", "Log": "exp", "Logit": "sigmoid"}
    link = known.get(name if name != "GLM" else type(results.model.family.link).__name__)
    if link is None or getattr(results.model, "formula", None) is not None:
        return None
    weights = np.asarray(results.params, dtype=np.float64).reshape(-1, 1)
    return Linear(weights=weights, base=np.zeros(1), link=cast("Link", link))


def _converted(estimator: Any, n_features: int, *, classifies: bool) -> ModelProto:
    if isinstance(estimator, DifferenceModel):
        return _difference(estimator, n_features)
    if isinstance(estimator, ConstantModel | ColumnModel):
        return baseline_model(estimator, n_features)
    if isinstance(estimator, AnomalyModel | ClusterModel):
        return unlabelled_model(estimator, n_features)
    if classifies and not hasattr(estimator, "predict_proba"):
        raise Unconvertible(f"{kind_of_model(estimator)} has no predict_proba, which classes need.")
    trees = read_trees(estimator)
    if trees is not None:
        return trees_model(trees, n_features, classifies=classifies)
    linear = read_linear(estimator)
    if linear is not None:
        return linear_model(linear, n_features, classifies=classifies)
    return _by_skl2onnx(estimator, n_features, [PREDICT, PROBABILITY] if classifies else [PREDICT])


def _by_skl2onnx(estimator: Any, n_features: int, names: list[str]) -> ModelProto:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    try:
        model: ModelProto = convert_sklearn(
            estimator,
            name="headrace",
            initial_types=[(_NARROWED, FloatTensorType([None, n_features]))],
            target_opset={"": OPSET, "ai.onnx.ml": _ML_OPSET},
            options={id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None,
        )
    except Exception as error:  # a converter is a plug-in: it raises whatever it likes
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise Unconvertible(
            f"{kind_of_model(estimator)} cannot be converted to ONNX: {reason.rstrip('.')}. {_SUPPORTED}"
        ) from error
    _name_outputs(model, names)
    _widen_input(model, n_features)
    return model


def _widen_input(model: ModelProto, n_features: int) -> None:
    """Let the graph take float64, and narrow it as its first node."""
    from onnx import TensorProto, helper

    graph = model.graph
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.append(helper.make_node("Cast", [INPUT], [_NARROWED], to=TensorProto.FLOAT))
    graph.node.extend(nodes)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, [None, n_features]))
    if not any(entry.domain == "" for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", OPSET))


def _difference(estimator: DifferenceModel, n_features: int) -> ModelProto:
    """The inner estimator's graph, and behind it the addition of the column."""
    from onnx import TensorProto, helper, numpy_helper

    model = _converted(estimator.estimator, n_features, classifies=False)
    _name_outputs(model, ["learnt"])
    graph = model.graph
    for name, value in (
        ("base_column", np.array([estimator.column])),
        ("one_column", np.array([-1, 1])),
        ("base_mean", np.float64(estimator.mean_)),
    ):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    graph.node.extend(
        [
            helper.make_node("Gather", [INPUT, "base_column"], ["base_given"], axis=1),
            helper.make_node("IsNaN", ["base_given"], ["base_missing"]),
            helper.make_node("Where", ["base_missing", "base_mean", "base_given"], ["base"]),
            helper.make_node("Reshape", ["learnt", "one_column"], ["learnt_column"]),
            helper.make_node("Cast", ["learnt_column"], ["learnt_double"], to=TensorProto.DOUBLE),
            helper.make_node("Add", ["base", "learnt_double"], [PREDICT]),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(PREDICT, TensorProto.DOUBLE, [None, 1]))
    return model


def _name_outputs(model: ModelProto, names: list[str]) -> None:
    """Give the graph's outputs, in their order, our names wherever they are mentioned."""
    if len(model.graph.output) != len(names):
        found = ", ".join(output.name for output in model.graph.output)
        raise Unconvertible(
            f"The converted model has the outputs {found}, but expected {len(names)}. For classification "
            "return an estimator with predict_proba; for other tasks one with a single output."
        )
    renamed = {output.name: name for output, name in zip(model.graph.output, names, strict=True)}
    for graph_node in model.graph.node:
        for mentions in (graph_node.input, graph_node.output):
            for index, mention in enumerate(mentions):
                mentions[index] = renamed.get(mention, mention)
    for output in model.graph.output:
        output.name = renamed[output.name]
        for dimension in output.type.tensor_type.shape.dim[:1]:
            dimension.Clear()  # some converters write 1 where any number of rows is meant
