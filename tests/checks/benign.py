"""Real model files that do no harm, made when a test runs."""

from __future__ import annotations

import datetime as dt
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from tests.checks.hostile import stack_global


def _packed(value: Any, compress: Any = 0) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, compress=compress)
    return buffer.getvalue()


def estimators() -> dict[str, Any]:
    """Fitted models of many kinds, by name."""
    import pandas as pd
    from lightgbm import LGBMClassifier
    from sklearn import (
        compose,
        feature_selection,
        impute,
        linear_model,
        model_selection,
        pipeline,
        preprocessing,
    )  # fmt: skip
    from sklearn.feature_extraction.text import TfidfVectorizer

    random = np.random.default_rng(0)
    X = random.normal(size=(60, 3))
    y = (X[:, 0] + 0.1 * random.normal(size=60) > 0).astype(int)
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": np.where(X[:, 2] > 0, "x", "y")})
    columns = compose.ColumnTransformer(
        [
            ("numbers", preprocessing.StandardScaler(), ["a", "b"]),
            ("words", preprocessing.OneHotEncoder(), ["c"]),
            ("log", preprocessing.FunctionTransformer(np.log1p), ["a"]),
        ]
    )
    grid = model_selection.GridSearchCV(linear_model.Ridge(), {"alpha": [1.0, 2.0]}, cv=2)
    made: dict[str, Any] = {
        "searched": grid.fit(X, y),
        "columns": columns.fit(frame.assign(a=frame["a"].abs())),
        "pipeline": pipeline.make_pipeline(
            impute.SimpleImputer(),
            preprocessing.PolynomialFeatures(2, include_bias=False),
            feature_selection.SelectKBest(feature_selection.f_classif, k=3),
            linear_model.LogisticRegression(),
        ).fit(X, y),
        "words": TfidfVectorizer().fit(["a short text", "another text"]),
        "lightgbm": LGBMClassifier(n_estimators=2, verbose=-1).fit(X, y),
        "frame": frame.assign(
            c=frame["c"].astype(object), day=pd.Timestamp("2026-01-01"), kind=pd.Categorical([1] * 60)
        ).set_axis(pd.Index(["a", "b", "c", "day", "kind"], dtype=object), axis=1),
    }  # fmt: skip
    return _estimators(X, y) | made


def _estimators(X: Any, y: Any) -> dict[str, Any]:
    from sklearn import (
        calibration,
        cluster,
        ensemble,
        isotonic,
        kernel_ridge,
        linear_model,
        naive_bayes,
        neighbors,
        neural_network,
        svm,
        tree,
    )  # fmt: skip

    small = {"n_estimators": 3, "random_state": np.random.RandomState(0)}
    return {
        "linear": linear_model.LinearRegression().fit(X, y),
        "logistic": linear_model.LogisticRegression().fit(X, y),
        "sgd": linear_model.SGDClassifier(random_state=0).fit(X, y),
        "tree": tree.DecisionTreeClassifier(max_depth=3).fit(X, y),
        "forest": ensemble.RandomForestClassifier(**small).fit(X, y),
        "boosting": ensemble.GradientBoostingClassifier(**small).fit(X, y),
        "histogram": ensemble.HistGradientBoostingClassifier(max_iter=2).fit(X, y),
        "isolation": ensemble.IsolationForest(n_estimators=3).fit(X),
        "voting": ensemble.VotingClassifier([("a", naive_bayes.GaussianNB())]).fit(X, y),
        "svc": svm.SVC().fit(X, y),
        "neighbours": neighbors.KNeighborsClassifier(algorithm="kd_tree").fit(X, y),
        "ball_tree": neighbors.KNeighborsClassifier(algorithm="ball_tree").fit(X, y),
        "network": neural_network.MLPClassifier((4,), tol=1.0).fit(X, y),
        "kmeans": cluster.KMeans(2, n_init=1).fit(X),
        "isotonic": isotonic.IsotonicRegression().fit(X[:, 0], y),
        "kernel": kernel_ridge.KernelRidge().fit(X, y),
        "calibrated": calibration.CalibratedClassifierCV(naive_bayes.GaussianNB(), cv=2).fit(X, y),
    }


def _torch() -> bytes:
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00(K\x02K\x02t(K\x02K\x01t\x89}tR"
    index = b"\x80\x02}X\x06\x00\x00\x00weight" + rebuilt + b"s."
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/data.pkl", index)
        archive.writestr("model/byteorder", "little")
        archive.writestr("model/data/0", struct.pack("<4f", 1, 2, 3, 4))
        archive.writestr("model/version", "3\n")
    return buffer.getvalue()


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=np.arange(10), b=np.array(["x", "y"]), c=np.zeros((3, 0)))
    return buffer.getvalue()


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("model/weights.npy")
        content = _npy(np.arange(3.0))
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _onnx() -> bytes:
    from onnx import TensorProto, helper

    node = helper.make_node("Neg", ["x"], ["y"])
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("x", "y")]
    data: bytes = helper.make_model(
        helper.make_graph([node], "g", values[:1], values[1:])
    ).SerializeToString()
    return data


@cache
def contents() -> dict[str, bytes]:
    """File name to content."""
    from skops.io import dumps

    made: dict[str, bytes] = {}
    for index, (name, model) in enumerate(estimators().items()):
        made[f"{name}.pkl"] = pickle.dumps(model, protocol=index % 6)
        made[f"{name}.joblib"] = _packed(model, compress=(0, 3, ("gzip", 3), ("xz", 3))[index % 4])
        if name in ("linear", "tree", "pipeline", "svc", "histogram"):
            made[f"{name}.skops"] = dumps(model)
    plain = {
        "values": [1, 2.5, True, None, "text", b"bytes", (1, 2), {3}, frozenset({4}), {"k": [5]}, 10**40, 1j],
        "kept": [OrderedDict(a=1), defaultdict(list, b=[2]), Counter("aab"), deque([1], 3), bytearray(b"x")],
        "times": [
            dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            dt.timedelta(1),
            np.datetime64("2026"),
        ],
        "random": [np.random.default_rng(3), np.random.RandomState(3)],
    }
    for protocol in (0, 2, 5):
        made[f"plain_{protocol}.pkl"] = pickle.dumps(plain, protocol=protocol)
    record = np.zeros(3, dtype=[("a", "f8"), ("b", "i4", 2), ("c", "U3")])
    arrays = [
        record,
        np.asfortranarray(np.ones((3, 2))),
        np.array([object]),
        np.array(1.5),
        np.array([b"a", b"bc"]),
    ]
    arrays[2] = np.array(["x", None, {"a": 1}], dtype=object)
    return made | {
        "arrays.joblib": _packed(arrays),
        "arrays.joblib.gz": _packed(arrays, ("gzip", 1)),
        "zeros.joblib": _packed(np.zeros(1_000_000), 9),
        "two.pkl": pickle.dumps(1) + pickle.dumps({"a": 2}),
        "numbers.npy": _npy(np.arange(10.0)),
        "objects.npy": _npy(np.array(["x", None], dtype=object)),
        "arrays.npz": _npz(),
        "record.npy": _npy(record),
        "torch.pt": _torch(),
        "weights.tar": _tar(),
        "model.onnx": _onnx(),
        "weights.safetensors": struct.pack("<Q", 2) + b"{}",
        "model.json": json.dumps({"a": 1}).encode(),
        "requirements.txt": b"catboost\nnumpy\nidna\nscipy\n",
        "notes.md": "cos\nsystem is what a pickle would name. Grüße.\n".encode(),
        "columns.csv": b"a,b\n1,2\n",
        "empty.txt": b"",
        "named.pkl": b"\x80\x04" + stack_global("numpy", "float64") + b".",
    }


def _mlflow(folder: Path) -> Path:
    folder.mkdir()
    described = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n"
    (folder / "MLmodel").write_text(f"{described}  sklearn:\n    code: null\n    pickled_model: model.pkl\n")
    (folder / "model.pkl").write_bytes(pickle.dumps(estimators()["linear"]))
    (folder / "requirements.txt").write_text("scikit-learn\n")
    return folder


def _external(folder: Path) -> Path:
    from onnx import load_model_from_string, numpy_helper, save_model

    folder.mkdir()
    model = load_model_from_string(_onnx())
    model.graph.initializer.append(numpy_helper.from_array(np.ones(1000, dtype=np.float32), "w"))
    save_model(
        model, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    return folder


def folders() -> dict[str, Callable[[Path], Path]]:
    """Name to what makes a harmless folder at a path."""
    return {"mlflow": _mlflow, "external": _external}
