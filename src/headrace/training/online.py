"""Models that learn one row after the other, and the learning of a batch in a process of its own.

The estimator or pipeline is one of river, or anything else with ``learn_one`` and ``predict_one`` or
``predict_proba_one`` that may be kept as a pickle.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headrace.core.data import Artifact
from headrace.core.ports import ArtifactStore, Columns
from headrace.core.project import Task
from headrace.data.encoding import Encoding
from headrace.data.sources import write_parquet
from headrace.training.archives import pack_arrays, unpack_arrays, unpack_files
from headrace.training.job import LEARNT, STATE
from headrace.training.launch import run_worker
from headrace.training.lock import unpack_code

TRAINER = "headrace.online"
"""What stands for a trainer in the recipe of a run whose model has learnt since it was trained."""
MEDIA_TYPE = "application/vnd.headrace.online-model"
TIMEOUT_S = 3600.0


class _Data(Protocol):
    """What is needed of :class:`headrace.TrainingData`."""

    @property
    def feature_names(self) -> Sequence[str]: ...

    @property
    def categorical_indexes(self) -> Sequence[int]: ...

    @property
    def task(self) -> Task: ...


class OnlineModel:
    """A model of river in scikit-learn's conventions: it is proved, packaged and served like any other.

    A row is handed over as a dictionary of its features; a missing number is left out.

    Args:
        model: not fitted yet.
        data: what the trainer was given.
        text: whether categories are handed over as text, which river's ``SelectType(str)`` finds and
            ``OneHotEncoder`` takes, and not as numbers.

    Example::

        from river import linear_model, preprocessing

        model = preprocessing.StandardScaler() | linear_model.LinearRegression()
        return OnlineModel(model, data).fit(data.X, data.y)
    """

    def __init__(self, model: Any, data: _Data, *, text: bool = False) -> None:
        self.model = model
        self.names = tuple(data.feature_names)
        self.text = frozenset(data.categorical_indexes) if text else frozenset()
        self.task = data.task
        self.n_features_in_ = len(self.names)

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's convention
        """The model, as text."""
        return {"model": repr(self.model)}

    def fit(self, X: ArrayLike, y: ArrayLike) -> OnlineModel:
        """Learn all rows in their order.

        Args:
            X: ``(n_rows, n_features)``.
            y: ``(n_rows,)``; for classification codes from 0.
        """
        if self.task == "classification":
            self.classes_ = np.arange(int(np.max(np.asarray(y))) + 1)
        self.learn(X, y)
        return self

    def learn(self, X: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Answer each row, then learn it; a row whose class is none of those that are known is only answered.

        Returns:
            The answers before each row was learnt: ``(n_rows,)``, or probabilities ``(n_rows, n_classes)``.
        """
        answers = []
        classifies = self.task == "classification"
        for row, truth in zip(self._rows(X), np.asarray(y).tolist(), strict=True):
            answers.append(self._probabilities(row) if classifies else self._number(row))
            if not classifies:
                self.model.learn_one(row, float(truth))
            elif truth >= 0:
                self.model.learn_one(row, int(truth))
        width = (len(answers), len(self.classes_)) if classifies else (len(answers),)
        return np.array(answers, dtype=np.float64).reshape(width)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Answers ``(n_rows,)``, for classification codes."""
        if self.task == "classification":
            return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])
        return np.array([self._number(row) for row in self._rows(X)], dtype=np.float64)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities ``(n_rows, n_classes)``."""
        found = np.array([self._probabilities(row) for row in self._rows(X)], dtype=np.float64)
        return found.reshape(-1, len(self.classes_))

    def _rows(self, X: ArrayLike) -> Iterator[dict[str, float | str]]:
        # In single precision: what was learnt and what is asked have to be the same number.
        for values in np.asarray(X, dtype=np.float32).tolist():
            yield {
                name: f"{value:g}" if at in self.text else value
                for at, (name, value) in enumerate(zip(self.names, values, strict=True))
                if value == value  # noqa: PLR0124 - a missing one is not equal to itself
            }

    def _number(self, row: Mapping[str, float | str]) -> float:
        return float(self.model.predict_one(row) or 0.0)

    def _probabilities(self, row: Mapping[str, float | str]) -> list[float]:
        said = self.model.predict_proba_one(row) or {}
        shares = [max(float(said.get(code, 0.0)), 0.0) for code in range(len(self.classes_))]
        total = sum(shares)
        return [share / total for share in shares] if total > 0 else [1 / len(shares)] * len(shares)


class Batch(NamedTuple):
    """Rows to learn, in their order.

    Attributes:
        code: archive of the project's code, whose classes the model may need.
        encoding: that the model was trained with.
        columns: the raw inputs; ``y`` ``(n_rows,)`` their truth, for classification codes.
    """

    code: Artifact
    encoding: Encoding
    columns: Columns
    y: NDArray[Any]


class Learnt(NamedTuple):
    """What a batch has made of a model, and its answers before it learnt each row."""

    state: Artifact
    answers: dict[str, NDArray[np.float64]]


def state_of(package: bytes) -> bytes | None:
    """The pickled model in a package; None where it is of another kind."""
    return unpack_files(package, "The package").get("model.pkl")


def learn_batch(artifacts: ArtifactStore, state: Artifact, batch: Batch, scratch: Path) -> Learnt:
    """Let a kept model learn rows in a process of its own; the same gives the same.

    Args:
        scratch: a folder for temporary files; it is gone afterwards.

    Raises:
        UserCodeError: the model raised.
        GateFailed, InvalidInput: it cannot be kept.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        folder = scratch / "code"
        unpack_code(artifacts.get(batch.code.digest), folder)
        model, inputs, table = scratch / STATE, scratch / "inputs.npz", scratch / "rows.parquet"
        model.write_bytes(artifacts.get(state.digest))
        inputs.write_bytes(pack_arrays({"y": batch.y}))
        write_parquet({name: batch.columns[name] for name in batch.encoding.columns}, table)
        job = {
            "kind": "learn",
            "folder": str(folder.resolve()),
            "model": str(model.resolve()),
            "inputs": str(inputs.resolve()),
            "train": str(table.resolve()),
            "encoding": batch.encoding.to_dict(),
        }
        result = run_worker(job, scratch / "worker", cwd=folder, timeout_s=TIMEOUT_S)
        kept = artifacts.put((result.output / STATE).read_bytes(), MEDIA_TYPE)
        said = unpack_arrays((result.output / LEARNT).read_bytes(), "What the model answered")["answers"]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if said.ndim == 1:
        return Learnt(kept, {"predict": said})
    return Learnt(kept, {"predict": said.argmax(axis=1).astype(np.float64), "probability": said})
