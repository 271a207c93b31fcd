"""Turns a fitted estimator into an ONNX graph that answers the same.

Trees need care: LightGBM and scikit-learn compare a float32 input with a float64 threshold, ONNX with
a float32 one. Rounding a threshold to the nearest float32 moves it above some inputs, which then take
the other branch. Rounding it *down* never does: for float32 ``x`` and the largest float32 ``t' <= t``,
``x <= t`` holds exactly when ``x <= t'``. skl2onnx does so itself; for LightGBM it is done here, on
the model before conversion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput
from headrace.core.project import Task
from headrace.training.baselines import ColumnModel, ConstantModel, DifferenceModel

if TYPE_CHECKING:
    from onnx import ModelProto

INPUT = "X"
PREDICT = "predict"
PROBABILITY = "probability"
_OPSET = 18
_ML_OPSET = 3
_IR_VERSION = 9
_ZERO = np.float32(1e-35)
_SUPPORTED = (
    "Return a scikit-learn estimator or Pipeline, a LightGBM estimator, or one of headrace's baselines."
)


def to_onnx(estimator: Any, *, n_features: int, task: Task) -> bytes:
    """The estimator as an ONNX model: float32 ``X`` of shape ``(n_rows, n_features)`` in.

    Outputs are ``predict`` (``(n_rows,)`` or ``(n_rows, 1)``) and for classification ``probability``
    (``(n_rows, n_classes)``). The same estimator always gives the same bytes.

    Raises:
        InvalidInput: the estimator expects other features, or has no equal in ONNX.
    """
    fitted = getattr(estimator, "n_features_in_", n_features)
    if fitted != n_features:
        raise InvalidInput(
            f"{_kind(estimator)} was fitted on {fitted} features, but data.X has {n_features}. Fit on the "
            "whole of data.X; select columns inside a scikit-learn Pipeline or with 'ignored' in "
            "headrace.yaml."
        )
    model = _converted(estimator, n_features)
    _name_outputs(model, [PREDICT, PROBABILITY] if task == "classification" else [PREDICT])
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _converted(estimator: Any, n_features: int) -> ModelProto:
    if isinstance(estimator, DifferenceModel):
        return _difference(estimator, n_features)
    if isinstance(estimator, ConstantModel | ColumnModel):
        return _baseline(estimator, n_features)
    if type(estimator).__module__.split(".")[0] == "lightgbm":
        return _lightgbm(estimator, n_features)
    return _sklearn(estimator, n_features)


def _kind(estimator: Any) -> str:
    return f"{type(estimator).__module__.split('.')[0]}.{type(estimator).__name__}"


def _sklearn(estimator: Any, n_features: int) -> ModelProto:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    try:
        model: ModelProto = convert_sklearn(
            estimator,
            name="headrace",
            initial_types=[(INPUT, FloatTensorType([None, n_features]))],
            target_opset={"": _OPSET, "ai.onnx.ml": _ML_OPSET},
            options={id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None,
        )
    except Exception as error:  # a converter is a plug-in: it raises whatever it likes
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InvalidInput(
            f"{_kind(estimator)} cannot be converted to ONNX: {reason.rstrip('.')}. {_SUPPORTED}"
        ) from error
    return model


def _lightgbm(estimator: Any, n_features: int) -> ModelProto:
    from lightgbm import Booster
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = getattr(estimator, "booster_", estimator)
    if not isinstance(booster, Booster):
        raise InvalidInput(f"{_kind(estimator)} cannot be converted to ONNX. {_SUPPORTED}")
    text = booster.model_to_string()
    for line, what in (("is_linear=1", "linear_tree=True"), ("[zero_as_missing: 1]", "zero_as_missing=True")):
        if line in text:
            raise InvalidInput(
                f"{_kind(estimator)} with {what} has no equal in ONNX. Train it without that parameter."
            )
    try:
        model: ModelProto = convert_lightgbm(
            Booster(model_str=round_thresholds_down(text)),
            name="headrace",
            initial_types=[(INPUT, FloatTensorType([None, n_features]))],
            target_opset=15,
            zipmap=False,
        )
    except Exception as error:  # a converter is a plug-in: it raises whatever it likes
        raise InvalidInput(
            f"{_kind(estimator)} cannot be converted to ONNX: {str(error)[:200]}. {_SUPPORTED}"
        ) from error
    return model


def round_thresholds_down(model: str) -> str:
    """A LightGBM model text with every threshold at the nearest float32 not above it.

    It answers as before for every float32 input; see the module's docstring.
    """
    lines = []
    for line in model.splitlines():
        if line.startswith("tree_sizes="):
            continue  # byte sizes of the trees, which change; LightGBM then reads them one by one
        if line.startswith("threshold="):
            values = np.array(line.partition("=")[2].split(), dtype=np.float64)
            lines.append("threshold=" + " ".join(repr(float(v)) for v in _as_compared(values)))
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _as_compared(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Thresholds with which ``x <= t`` holds for float32 ``x`` exactly where LightGBM goes left.

    LightGBM reads an input within ``_ZERO`` of zero as zero, so a threshold in there separates at one
    of the two ends.
    """
    rounded = float32_not_above(thresholds)
    near_zero = np.abs(thresholds) <= _ZERO
    ends = np.where(thresholds < 0, np.nextafter(-_ZERO, np.float32(-np.inf)), _ZERO)
    return np.where(near_zero, ends, rounded).astype(np.float32)


def float32_not_above(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """For each value the largest float32 that does not exceed it; same shape."""
    with np.errstate(over="ignore"):  # beyond float32's range it becomes infinity, stepped back from
        nearest = values.astype(np.float32)
        below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) > values, below, nearest).astype(np.float32)


def _baseline(estimator: ConstantModel | ColumnModel, n_features: int) -> ModelProto:
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: dict[str, Any] = {}

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    outputs = [helper.make_tensor_value_info(PREDICT, TensorProto.DOUBLE, [None])]
    if isinstance(estimator, ColumnModel):
        constants = {"column": np.array(estimator.column), "mean": np.float64(estimator.mean_)}
        node("Gather", [INPUT, "column"], "value", axis=1)
        node("Cast", ["value"], "double", to=TensorProto.DOUBLE)
        node("IsNaN", ["double"], "missing")
        node("Where", ["missing", "mean", "double"], PREDICT)
    elif estimator.task == "classification":
        winner = int(estimator.classes_[int(np.argmax(estimator.prior_))])
        constants = {"prior": estimator.prior_[None, :], "width": np.array([len(estimator.prior_)])}
        node("Shape", [INPUT], "length", start=0, end=1)
        node("Concat", ["length", "width"], "shape", axis=0)
        node("Expand", ["prior", "shape"], PROBABILITY)
        value = helper.make_tensor("value", TensorProto.INT64, [1], [winner])
        node("ConstantOfShape", ["length"], PREDICT, value=value)
        outputs = [
            helper.make_tensor_value_info(PREDICT, TensorProto.INT64, [None]),
            helper.make_tensor_value_info(PROBABILITY, TensorProto.DOUBLE, [None, len(estimator.prior_)]),
        ]
    else:
        value = helper.make_tensor("value", TensorProto.DOUBLE, [1], [estimator.mean_])
        node("Shape", [INPUT], "length", start=0, end=1)
        node("ConstantOfShape", ["length"], PREDICT, value=value)
    graph = helper.make_graph(
        nodes,
        "headrace",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, n_features])],
        outputs,
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)


def _difference(estimator: DifferenceModel, n_features: int) -> ModelProto:
    """The inner estimator's graph, and behind it the addition of the column."""
    from onnx import TensorProto, helper, numpy_helper

    model = _converted(estimator.estimator, n_features)
    _name_outputs(model, ["learnt"])
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([estimator.column]), "base_column"))
    graph.initializer.append(numpy_helper.from_array(np.array([-1, 1]), "one_column"))
    # Only operators whose meaning is the same in every version that a converter may have chosen.
    imputed: dict[str, Any] = {
        "imputed_value_floats": [estimator.mean_],
        "replaced_value_float": float("nan"),
    }
    graph.node.extend(
        [
            helper.make_node("Gather", [INPUT, "base_column"], ["base_given"], axis=1),
            helper.make_node("Imputer", ["base_given"], ["base"], domain="ai.onnx.ml", **imputed),
            helper.make_node("Reshape", ["learnt", "one_column"], ["learnt_column"]),
            helper.make_node("Cast", ["learnt_column"], ["learnt_float"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["base", "learnt_float"], [PREDICT]),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(PREDICT, TensorProto.FLOAT, [None, 1]))
    if "ai.onnx.ml" not in {entry.domain for entry in model.opset_import}:
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    return model


def _name_outputs(model: ModelProto, names: list[str]) -> None:
    """Give the graph's outputs, in their order, our names wherever they are mentioned."""
    if len(model.graph.output) != len(names):
        found = ", ".join(output.name for output in model.graph.output)
        raise InvalidInput(
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
