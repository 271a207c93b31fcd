"""ONNX graphs, in double precision, of the models that learn without truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.training.fitted_trees import isolation_trees
from headrace.training.graphs import INPUT, PREDICT, PROBABILITY, Graph, tree_sums
from headrace.training.unlabelled import FARTHEST, SMALLEST, AnomalyModel, ClusterModel, Scale, kind_of

if TYPE_CHECKING:
    from onnx import ModelProto

Floats = NDArray[np.float64]


def unlabelled_model(model: AnomalyModel | ClusterModel, n_features: int) -> ModelProto:
    """The fitted model as a graph: float64 ``X`` in, ``predict`` and ``probability`` out."""
    from onnx import TensorProto

    graph = Graph()
    scaled = _scaled(graph, model.scale)
    n_classes = len(model.classes_)
    if isinstance(model, AnomalyModel):
        score = _ranked(graph, _unusual(graph, scaled, model.estimator), model.knots, model.ranks)
        rest = graph.add("Sub", graph.constant(np.float64(1.0)), score)
        graph.add("Concat", rest, score, axis=1, output=PROBABILITY)
    else:
        found = graph.add(
            "Gather", _grouped(graph, scaled, model.estimator), graph.constant(model.order), axis=1
        )
        missing = n_classes - len(model.order)
        graph.add("Pad", found, graph.constant(np.array([0, 0, 0, missing])), output=PROBABILITY)
    graph.add("ArgMax", PROBABILITY, axis=1, keepdims=0, output=PREDICT)
    double = TensorProto.DOUBLE
    outputs: dict[str, tuple[int, list[Any]]] = {
        PREDICT: (TensorProto.INT64, [None]),
        PROBABILITY: (double, [None, n_classes]),
    }
    return graph.finish(n_features, outputs, double)


def _scaled(graph: Graph, scale: Scale) -> str:
    parts = []
    if scale.numeric:
        given = graph.add("Gather", INPUT, graph.constant(np.array(scale.numeric)), axis=1)
        moved = graph.add("Sub", given, graph.constant(scale.middles[None, :]))
        numbers = graph.add("Div", moved, graph.constant(scale.spreads[None, :]))
        known = graph.add("Where", graph.add("IsNaN", numbers), graph.constant(np.float64(0.0)), numbers)
        ends = (graph.constant(np.float64(end)) for end in (-FARTHEST, FARTHEST))
        parts.append(graph.add("Clip", known, *ends))
    for index, n_codes in scale.codes.items():
        given = graph.add("Gather", INPUT, graph.constant(np.array([index])), axis=1)
        same = graph.add("Equal", given, graph.constant(np.arange(n_codes, dtype=np.float64)[None, :]))
        parts.append(_times(graph, graph.add("Cast", same, to=11), np.sqrt(0.5)))
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def _times(graph: Graph, name: str, value: float) -> str:
    return graph.add("Mul", name, graph.constant(np.float64(value)))


def _unusual(graph: Graph, scaled: str, estimator: Any) -> str:
    """The estimator's own score, ``(n_rows, 1)``."""
    kind = kind_of(estimator)
    if kind == "IsolationForest":
        trees, typical = isolation_trees(estimator)
        return graph.add("Exp", _times(graph, tree_sums(graph, trees, scaled), -float(np.log(2)) / typical))
    one = graph.constant(np.array([1]))
    if kind == "MedianDistance":
        return graph.add("Sqrt", graph.add("ReduceSumSquare", scaled, one, keepdims=1))
    if kind == "KMeans":
        squares = _squares(graph, scaled, estimator.cluster_centers_)
        return graph.add("Sqrt", graph.add("ReduceMin", squares, one, keepdims=1))
    likely = graph.add("ReduceLogSumExp", _densities(graph, scaled, estimator), one, keepdims=1)
    return graph.add("Neg", likely)


def _grouped(graph: Graph, scaled: str, estimator: Any) -> str:
    """Memberships in the estimator's own order, ``(n_rows, n_clusters)``."""
    kind = kind_of(estimator)
    if kind == "OneCluster":
        none = graph.add("ReduceSum", _times(graph, scaled, 0.0), graph.constant(np.array([1])), keepdims=1)
        return graph.add("Add", none, graph.constant(np.float64(1.0)))
    if kind == "GaussianMixture":
        return graph.add("Softmax", _densities(graph, scaled, estimator), axis=1)
    squares = _squares(graph, scaled, estimator.cluster_centers_)
    far = graph.add("Add", squares, graph.constant(np.float64(SMALLEST)))
    near = graph.add("Div", graph.constant(np.float64(1.0)), far)
    whole = graph.add("ReduceSum", near, graph.constant(np.array([1])), keepdims=1)
    return graph.add("Div", near, whole)


def _squares(graph: Graph, scaled: str, centres: Floats) -> str:
    """Squared distances to the centres, ``(n_rows, n_centres)``."""
    one = graph.constant(np.array([1]))
    apart = [
        graph.add(
            "ReduceSumSquare",
            graph.add("Sub", scaled, graph.constant(np.asarray(centre, dtype=np.float64)[None, :])),
            one,
            keepdims=1,
        )
        for centre in centres
    ]
    return apart[0] if len(apart) == 1 else graph.add("Concat", *apart, axis=1)


def _densities(graph: Graph, scaled: str, mixture: Any) -> str:
    """Log of weight times density of each component, ``(n_rows, n_components)``."""
    n_features = mixture.means_.shape[1]
    one, parts = graph.constant(np.array([1])), []
    for index, mean in enumerate(mixture.means_):
        root = _root(mixture, index, n_features)
        shift = graph.constant((mean @ root)[None, :])
        moved = graph.add("Sub", graph.add("MatMul", scaled, graph.constant(root)), shift)
        square = graph.add("ReduceSumSquare", moved, one, keepdims=1)
        base = float(
            np.log(mixture.weights_[index])
            + np.log(np.diag(root)).sum()
            - 0.5 * n_features * np.log(2 * np.pi)
        )
        parts.append(graph.add("Add", _times(graph, square, -0.5), graph.constant(np.float64(base))))
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def _root(mixture: Any, index: int, n_features: int) -> Floats:
    """Cholesky factor of a component's precision, ``(n_features, n_features)``, of any kind of covariance."""
    roots = np.asarray(mixture.precisions_cholesky_, dtype=np.float64)
    if mixture.covariance_type == "tied":
        return roots
    root = roots[index]
    return root if root.ndim == 2 else np.diag(np.broadcast_to(root, n_features))


def _ranked(graph: Graph, unusual: str, knots: Floats, ranks: Floats) -> str:
    """Linear between the knots, and flat beyond them: a sum of clipped ramps, ``(n_rows, 1)``."""
    widths = np.diff(knots)
    gone = graph.add("Sub", unusual, graph.constant(knots[None, :-1]))
    ramps = graph.add("Div", gone, graph.constant(widths[None, :]))
    held = graph.add("Clip", ramps, graph.constant(np.float64(0.0)), graph.constant(np.float64(1.0)))
    risen = graph.add("MatMul", held, graph.constant(np.diff(ranks)[:, None]))
    return graph.add("Add", risen, graph.constant(np.float64(ranks[0])))
