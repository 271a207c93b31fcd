"""ONNX graphs in double precision: trees, linear models, and the baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.training.baselines import ColumnModel, ConstantModel
from headrace.training.trees import Link, Trees

if TYPE_CHECKING:
    from onnx import ModelProto

INPUT = "X"
PREDICT = "predict"
PROBABILITY = "probability"
OPSET = 18
_ML_OPSET = 5
_IR_VERSION = 10


@dataclass(frozen=True, kw_only=True)
class Linear:
    """``X @ weights + base``, then the link. ``weights`` is float64 ``(n_features, n_outputs)``."""

    weights: NDArray[np.float64]
    base: NDArray[np.float64]
    link: Link = "identity"


class Graph:
    """Collects the nodes of a graph; the last one's output is what the next one takes."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self._n = 0

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        from onnx import helper

        self._n += 1
        name = output or f"t{self._n}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any) -> str:
        """Add a constant; returns its name."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def finish(self, n_features: int, outputs: dict[str, tuple[int, list[Any]]], dtype: int) -> ModelProto:
        """The whole model; ``outputs`` gives element type and shape by name."""
        from onnx import helper, numpy_helper

        graph = helper.make_graph(
            self.nodes,
            "headrace",
            [helper.make_tensor_value_info(INPUT, dtype, [None, n_features])],
            [helper.make_tensor_value_info(name, *spec) for name, spec in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)


def trees_model(trees: Trees, n_features: int, *, classifies: bool) -> ModelProto:
    """Trees as a graph: float64 ``X`` in, float64 out."""
    graph = Graph()
    sums = tree_sums(graph, trees, INPUT)
    if any(trees.base):
        sums = graph.add("Add", sums, graph.constant(np.array([trees.base])))
    if trees.divide != 1.0:
        sums = graph.add("Div", sums, graph.constant(np.float64(trees.divide)))
    if trees.steep != 1.0:
        sums = graph.add("Mul", sums, graph.constant(np.float64(trees.steep)))
    return _ended(graph, sums, trees.link, n_features, trees.n_outputs, classifies=classifies)


def tree_sums(graph: Graph, trees: Trees, x: str) -> str:
    """Add the trees; returns the name of their sums, ``(n_rows, n_outputs)``, without base and link."""
    from onnx import TensorProto, helper

    if trees.float32:
        rounded = graph.add("Cast", x, to=TensorProto.FLOAT)
        x = graph.add("Cast", rounded, to=TensorProto.DOUBLE)
    n_nodes, n_leaves = len(trees.feature), len(trees.weight)
    tensor = helper.make_tensor
    # One list of members after the other, parted by NaN.
    members = [value for some in trees.members for value in (*some, float("nan"))]
    choices = (
        {"membership_values": tensor("members", TensorProto.DOUBLE, [len(members)], members)}
        if members
        else {}
    )
    return graph.add(
        "TreeEnsemble",
        x,
        domain="ai.onnx.ml",
        n_targets=trees.n_outputs,
        aggregate_function=1,
        post_transform=0,
        tree_roots=trees.roots,
        nodes_featureids=trees.feature,
        nodes_splits=tensor("splits", TensorProto.DOUBLE, [n_nodes], trees.split),
        nodes_modes=tensor("modes", TensorProto.UINT8, [n_nodes], trees.mode),
        nodes_missing_value_tracks_true=trees.missing_yes,
        nodes_truenodeids=trees.yes,
        nodes_trueleafs=trees.yes_leaf,
        nodes_falsenodeids=trees.no,
        nodes_falseleafs=trees.no_leaf,
        leaf_targetids=trees.target,
        leaf_weights=tensor("weights", TensorProto.DOUBLE, [n_leaves], trees.weight),
        **choices,
    )


def linear_model(linear: Linear, n_features: int, *, classifies: bool) -> ModelProto:
    """A linear model as a graph: float64 ``X`` in, float64 out."""
    graph = Graph()
    product = graph.add("MatMul", INPUT, graph.constant(linear.weights))
    sums = graph.add("Add", product, graph.constant(linear.base[None, :]))
    return _ended(graph, sums, linear.link, n_features, len(linear.base), classifies=classifies)


def _ended(
    graph: Graph, sums: str, link: Link, n_features: int, n_outputs: int, *, classifies: bool
) -> ModelProto:
    """Put the link behind the sums, and name the outputs."""
    from onnx import TensorProto

    double = TensorProto.DOUBLE
    operator = {"exp": "Exp", "sigmoid": "Sigmoid"}.get(link)
    if not classifies:
        graph.add(operator or "Identity", sums, output=PREDICT)
        return graph.finish(n_features, {PREDICT: (double, [None, 1])}, double)
    if link == "sigmoid":
        positive = graph.add("Sigmoid", sums)
        negative = graph.add("Sub", graph.constant(np.float64(1.0)), positive)
        graph.add("Concat", negative, positive, axis=1, output=PROBABILITY)
        n_outputs = 2
    elif link == "softmax":
        graph.add("Softmax", sums, axis=1, output=PROBABILITY)
    else:
        graph.add("Identity", sums, output=PROBABILITY)
    graph.add("ArgMax", PROBABILITY, axis=1, keepdims=0, output=PREDICT)
    outputs: dict[str, tuple[int, list[Any]]] = {
        PREDICT: (TensorProto.INT64, [None]),
        PROBABILITY: (double, [None, n_outputs]),
    }
    return graph.finish(n_features, outputs, double)


def read_graph(model: bytes) -> Trees | Linear | None:
    """What :func:`trees_model` or :func:`linear_model` wrote, read back; None for any other graph."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_model_from_string(model).graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    nodes = [node for node in graph.node if node.op_type != "Cast"]
    kinds = [node.op_type for node in nodes]
    links: dict[tuple[str, ...], Link] = {ends: link for link, ends in _ENDS.items()}
    sums = next((place for place, kind in enumerate(kinds) if kind not in _SUMS), len(kinds))
    link = links.get(tuple(kind for kind in kinds[sums:] if kind not in ("Concat", "ArgMax")))
    if link is None or not nodes:
        return None
    given = [constants.get(node.input[-1]) for node in nodes[:sums]]
    if kinds[:sums] == ["MatMul", "Add"] and given[0] is not None and given[1] is not None:
        return Linear(weights=given[0], base=given[1].reshape(-1), link=link)
    if kinds[0] != "TreeEnsemble" or len(set(kinds[:sums])) != sums or any(g is None for g in given[1:]):
        return None
    scaled = dict(zip(kinds[1:sums], given[1:], strict=True))
    trees = _read_ensemble(nodes[0])
    trees.link = link
    trees.float32 = any(node.op_type == "Cast" for node in graph.node)
    trees.base = tuple(np.ravel(scaled.get("Add", ())).tolist())
    trees.divide = float(scaled.get("Div", 1.0))
    trees.steep = float(scaled.get("Mul", 1.0))
    return trees


_SUMS = ("TreeEnsemble", "MatMul", "Add", "Div", "Mul")
_ENDS: dict[Link, tuple[str, ...]] = {
    "identity": ("Identity",),
    "exp": ("Exp",),
    "sigmoid": ("Sigmoid", "Sub"),
    "softmax": ("Softmax",),
}


def _read_ensemble(node: Any) -> Trees:
    from onnx import helper, numpy_helper

    given = {one.name: helper.get_attribute_value(one) for one in node.attribute}

    def numbers(name: str) -> list[Any]:
        found: list[Any] = numpy_helper.to_array(given[name]).tolist()
        return found

    members: list[tuple[float, ...]] = []
    some: list[float] = []
    for value in numbers("membership_values") if "membership_values" in given else ():
        if value == value:  # noqa: PLR0124 - NaN ends the members of one node
            some.append(value)
        else:
            members.append(tuple(some))
            some = []
    return Trees(
        n_outputs=int(given["n_targets"]),
        roots=list(given["tree_roots"]),
        feature=list(given["nodes_featureids"]),
        split=numbers("nodes_splits"),
        mode=numbers("nodes_modes"),
        missing_yes=list(given["nodes_missing_value_tracks_true"]),
        yes=list(given["nodes_truenodeids"]),
        yes_leaf=list(given["nodes_trueleafs"]),
        no=list(given["nodes_falsenodeids"]),
        no_leaf=list(given["nodes_falseleafs"]),
        target=list(given["leaf_targetids"]),
        weight=numbers("leaf_weights"),
        members=members,
    )


def baseline_model(estimator: ConstantModel | ColumnModel, n_features: int) -> ModelProto:
    """A baseline as a graph: float64 ``X`` in."""
    from onnx import TensorProto, helper

    graph, double = Graph(), TensorProto.DOUBLE
    if isinstance(estimator, ColumnModel):
        value = graph.add("Gather", INPUT, graph.constant(np.array(estimator.column)), axis=1)
        missing = graph.add("IsNaN", value)
        graph.add("Where", missing, graph.constant(np.float64(estimator.mean_)), value, output=PREDICT)
        return graph.finish(n_features, {PREDICT: (double, [None])}, double)
    length = graph.add("Shape", INPUT, start=0, end=1)
    if estimator.task != "classification":
        mean = helper.make_tensor("value", double, [1], [estimator.mean_])
        graph.add("ConstantOfShape", length, value=mean, output=PREDICT)
        return graph.finish(n_features, {PREDICT: (double, [None])}, double)
    winner = int(estimator.classes_[int(np.argmax(estimator.prior_))])
    shape = graph.add("Concat", length, graph.constant(np.array([len(estimator.prior_)])), axis=0)
    graph.add("Expand", graph.constant(estimator.prior_[None, :]), shape, output=PROBABILITY)
    value = helper.make_tensor("value", TensorProto.INT64, [1], [winner])
    graph.add("ConstantOfShape", length, value=value, output=PREDICT)
    outputs: dict[str, tuple[int, list[Any]]] = {
        PREDICT: (TensorProto.INT64, [None]),
        PROBABILITY: (double, [None, len(estimator.prior_)]),
    }
    return graph.finish(n_features, outputs, double)
