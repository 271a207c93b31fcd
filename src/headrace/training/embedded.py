"""A model of Headrace in a program of one's own.

Example::

    load(folder).predict({"year": [2017], "fuel": ["Petrol"]})

It needs numpy and onnxruntime, and nothing of Headrace. What it answers is what the server answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from headrace.training.preparing import Preparation

DESCRIPTION = "model.json"
GRAPH = "model.onnx"


def load(folder: Path | str) -> EmbeddedModel:
    """Load the model in a folder that ``headrace serve export`` has written."""
    return EmbeddedModel(Path(folder))


class EmbeddedModel:
    """A loaded model. Safe to call from several threads.

    Attributes:
        inputs: name and kind (``number``, ``text`` or ``boolean``) of each column that it takes.
        classes: the labels in the order of the probabilities; empty unless it classifies.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if described["format"] != 1:
            raise ValueError(f"The model has format {described['format']!r}. Expected 1: export it again.")
        self.inputs = {str(one["name"]): str(one["kind"]) for one in described["inputs"]}
        self._gaps = {str(one["name"]) for one in described["inputs"] if one.get("empty_is_null")}
        self.classes = list(described["classes"])
        self.version = str(described["version"])
        self._stages = [Preparation(plan) for plan in described["stages"]]
        self._output = "probability" if self.classes else "predict"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            (folder / GRAPH).read_bytes(), options, providers=["CPUExecutionProvider"]
        )

    def predict(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Predict rows: one sequence of values per input, ``None`` or NaN where one is missing.

        Returns:
            ``predict``: numbers, an array ``(n_rows,)``, or a list of labels; for classification also
            ``probability``, ``(n_rows, n_classes)``.

        Raises:
            KeyError: an input is missing.
            ValueError: the model takes no such value.
        """
        missing = [name for name in self.inputs if name not in columns]
        if missing:
            raise KeyError(f"Column {missing[0]!r} is missing. Expected {', '.join(self.inputs)}.")
        arrays: Any = [
            _column(columns[name], kind, gaps=name in self._gaps) for name, kind in self.inputs.items()
        ]
        matrix = None
        for stage in self._stages:
            matrix = stage.matrix(arrays)
            arrays = list(matrix.T)
        out = np.asarray(self._session.run([self._output], {"X": matrix})[0], dtype=np.float64)
        if not self.classes:
            return {"predict": out.reshape(-1)}
        return {"predict": [self.classes[place] for place in out.argmax(axis=1)], "probability": out}

    def predict_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Predict one row, as :meth:`predict` does; plain values."""
        answer = self.predict({name: [row.get(name)] for name in self.inputs})
        return {name: np.asarray(value)[0].tolist() for name, value in answer.items()}


def _column(values: Sequence[Any], kind: str, *, gaps: bool) -> Any:
    if kind == "number":
        return np.array([nan if value is None else value for value in values], dtype=np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = [None if gaps and isinstance(value, str) and not value.strip() else value for value in values]
    return column
