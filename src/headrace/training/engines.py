"""What computes an answer from prepared numbers: ONNX Runtime, or the estimator's own ``predict``."""

from __future__ import annotations

import threading
import warnings
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.checks.loading import load_pickled
from headrace.core.errors import InvalidInput, ModelFailed

Floats = NDArray[np.float64]
_INPUT = "X"


class Engine(Protocol):
    """Answers prepared rows. Safe to call from several threads."""

    def ask(self, rows: Floats) -> Floats:
        """Predictions ``(n_rows,)`` or probabilities ``(n_rows, n_classes)`` of rows ``(n_rows, width)``."""

    def ask_row(self, row: list[float]) -> Any:
        """The same of one row: a number, or a list of one per class."""


class OnnxEngine:
    """A graph in ONNX Runtime.

    One row goes through memory that was bound beforehand, which spares half of what a call costs.

    Raises:
        InvalidInput: the graph cannot be loaded, or takes another number of columns.
    """

    def __init__(self, model: bytes, width: int, *, classifies: bool) -> None:
        self._session = _open_session(model, width)
        self._wanted = "probability" if classifies else "predict"
        self._classifies = classifies
        self._lock = threading.Lock()
        self._row = np.zeros((1, width), dtype=self._dtype())
        try:
            first = np.asarray(self._session.run([self._wanted], {_INPUT: self._row})[0])
        except Exception as error:  # the runtime has an exception type for each way a graph can be wrong
            raise InvalidInput(f"The package's model cannot answer: {_first(error)}. Rebuild it.") from error
        self._out = np.zeros(first.shape, dtype=first.dtype)
        bound = self._session.io_binding()
        bound.bind_input(_INPUT, "cpu", 0, self._row.dtype, self._row.shape, self._row.ctypes.data)
        bound.bind_output(self._wanted, "cpu", 0, self._out.dtype, self._out.shape, self._out.ctypes.data)
        self._bound = bound

    def ask(self, rows: Floats) -> Floats:
        """As :meth:`Engine.ask`."""
        out = self._session.run([self._wanted], {_INPUT: rows.astype(self._row.dtype, copy=False)})[0]
        answer = np.asarray(out, dtype=np.float64)
        return answer if self._classifies else answer.reshape(len(rows))

    def ask_row(self, row: list[float]) -> Any:
        """As :meth:`Engine.ask_row`."""
        with self._lock:
            self._row[0] = row
            self._session.run_with_iobinding(self._bound)
            return self._out[0].tolist() if self._classifies else self._out.item()

    def _dtype(self) -> Any:
        return np.float64 if self._session.get_inputs()[0].type == "tensor(double)" else np.float32


class NativeEngine:
    """An estimator of a library that is on the list of what may be loaded, with its own ``predict``.

    Raises:
        GateFailed, InvalidInput: it may not, or cannot, be loaded.
    """

    def __init__(self, pickled: bytes, *, classifies: bool) -> None:
        self._estimator = load_pickled(pickled, "model.pkl")
        self._classifies = classifies

    def ask(self, rows: Floats) -> Floats:
        """As :meth:`Engine.ask`."""
        return ask_estimator(self._estimator, rows, classifies=self._classifies)

    def ask_row(self, row: list[float]) -> Any:
        """As :meth:`Engine.ask_row`."""
        answer = self.ask(np.array([row], dtype=np.float64))[0]
        return answer.tolist() if self._classifies else float(answer)


def ask_estimator(estimator: Any, rows: Any, *, classifies: bool) -> Floats:
    """What an estimator says, checked for its form.

    Raises:
        ModelFailed: it raised, or answered something else than numbers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an array has no column names was settled at packaging
        try:
            answer = estimator.predict_proba(rows) if classifies else estimator.predict(rows)
            numbers = np.asarray(answer, dtype=np.float64)
        except Exception as error:  # a model may raise anything
            raise ModelFailed(f"the model raised {type(error).__name__}: {error}") from error
    if not classifies and numbers.shape == (len(rows), 1):
        numbers = numbers[:, 0]
    expected = 2 if classifies else 1
    if numbers.ndim != expected or len(numbers) != len(rows):
        raise ModelFailed(f"wrong shape: the model answered {numbers.shape} to {len(rows)} rows")
    return numbers


def _open_session(model: bytes, width: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread each: requests run side by side, and a sum has one order.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Small models by the hundred: no memory is set aside for each, and no plan of it is kept.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        shape = session.get_inputs()[0].shape
    except Exception as error:  # the runtime has an exception type for each way a file can be damaged
        raise InvalidInput(f"The package's model cannot be loaded: {_first(error)}. Rebuild it.") from error
    if shape[1] != width:
        raise InvalidInput(f"The package's model has {shape[1]} inputs, but its encoding {width}.")
    return session


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
