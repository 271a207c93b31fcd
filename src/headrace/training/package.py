"""The deployable artefact: one deterministic zip that answers without the code that trained it.

It holds ``package.json`` (what it is), ``encoding.json`` (raw values to features), ``model.onnx`` and,
for forecasting, ``history.npz`` (the values known when it was made). Loading needs numpy and ONNX
Runtime only.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.core.canonical import canonical_json
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import Task
from headrace.data.encoding import Encoding
from headrace.data.frames import as_column
from headrace.data.history import History, feature_columns
from headrace.training.archives import pack_arrays, pack_files, unpack_arrays, unpack_files

MEDIA_TYPE = "application/vnd.headrace.package+zip"
Label = str | float | bool
_FORMAT = 1
_INPUT = "X"


@dataclass(frozen=True, kw_only=True)
class PackageInfo:
    """What a package says about itself.

    Attributes:
        classes: classification only: the labels in the order of the probabilities.
        time, lags_days, horizon_days: forecasting only: how further inputs follow from a moment.
        refuses_missing: the original model refuses rows with a missing number, so the package does.
    """

    project: str
    variant: str
    task: Task
    target: str
    classes: tuple[Label, ...] = ()
    time: str | None = None
    lags_days: tuple[int, ...] = ()
    horizon_days: int = 0
    refuses_missing: bool = False
    format: int = _FORMAT


class InputSpec(NamedTuple):
    """One input column: its kind is ``number``, ``text``, ``time`` or ``boolean``.

    An input that is not required may be left out or null: the package computes it.
    """

    name: str
    kind: str
    required: bool


def build_package(
    info: PackageInfo, encoding: Encoding, model: bytes, history: History | None = None
) -> bytes:
    """The zip of one package: the same arguments always give the same bytes."""
    files = {
        "package.json": canonical_json(info),
        "encoding.json": canonical_json(encoding.to_dict()),
        "model.onnx": model,
    }
    if history is not None:
        files["history.npz"] = pack_arrays({"times": history.times, "values": history.values})
    return pack_files(files)


def load_scorer(package: bytes | Path) -> OnnxScorer:
    """Load a package, in milliseconds.

    Raises:
        InvalidInput: it is damaged, incomplete, or of a later format.

    Example::

        scorer = load_scorer(store.artifacts.path(run.package.digest))
        scorer.score_row([2017.0, "Petrol"])  # {'predict': 16350.2}
    """
    data = package if isinstance(package, bytes) else package.read_bytes()
    files = unpack_files(data, "The package")
    missing = [name for name in ("package.json", "encoding.json", "model.onnx") if name not in files]
    if missing:
        raise InvalidInput(f"The package has no {missing[0]} (has: {', '.join(sorted(files))}).")
    try:
        raw = json.loads(files["package.json"])
        if raw.get("format") != _FORMAT:
            raise InvalidInput(
                f"The package has format {raw.get('format')!r}, expected {_FORMAT}. "
                "Load it with the version of Headrace that wrote it."
            )
        info = msgspec.convert(raw, PackageInfo)
        encoding = Encoding.from_dict(json.loads(files["encoding.json"]))
        history = None
        if "history.npz" in files:
            arrays = unpack_arrays(files["history.npz"], "The package's history")
            history = History(arrays["times"], arrays["values"])
    except (ValueError, KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
        raise InvalidInput(f"The package's description cannot be read: {error!r}. Rebuild it.") from error
    return OnnxScorer(info, encoding, files["model.onnx"], history)


class OnnxScorer:
    """A loaded package. Safe to call from several threads.

    Attributes:
        info: what it says about itself.
        encoding: raw values to features.
        history: forecasting only: the values known so far; :meth:`observe` adds to it.
    """

    def __init__(self, info: PackageInfo, encoding: Encoding, model: bytes, history: History | None) -> None:
        self.info = info
        self.encoding = encoding
        self.history = history
        self._session = _open_session(model, len(encoding.columns))
        self._classified = info.task == "classification"
        self._wanted = ["probability" if self._classified else "predict"]
        self._labels = as_column(list(info.classes)) if self._classified else None
        computed = () if history is None else feature_columns(info.lags_days)
        self._computed = frozenset(column.name for column in computed)
        self._observing = threading.Lock()

    @property
    def task(self) -> Task:
        """What kind of answer it gives."""
        return self.info.task

    @property
    def classes(self) -> tuple[Label, ...] | None:
        """The labels in the order of the probabilities; None unless it classifies."""
        return self.info.classes if self._classified else None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, the prediction first."""
        return ("predict", "probability") if self._classified else ("predict",)

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """What it expects, in the order in which :meth:`score_row` takes values."""
        encoded = tuple(
            InputSpec(column.name, column.kind, column.name not in self._computed)
            for column in self.encoding.inputs
        )
        if self.history is None or self.info.time is None:
            return encoded
        return (InputSpec(self.info.time, "time", True), *encoded)

    def score(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """Predict rows.

        Returns:
            ``predict``: ``(n_rows,)``, float64, or labels of their original type (float64, object or
            bool); for classification also ``probability``: float64 ``(n_rows, n_classes)``.

        Raises:
            InvalidInput: an input is missing or has another type than in training.
        """
        if any(name not in columns for name in self.encoding.columns):
            columns = self.complete(columns)
        features = self.encoding.encode(columns)
        if self.info.refuses_missing and np.isnan(features).any():
            raise self._missing(self.encoding.columns[int(np.isnan(features).any(axis=0).argmax())])
        out = self._session.run(self._wanted, {_INPUT: features})[0]
        if self._labels is None:
            return {"predict": np.asarray(out, dtype=np.float64).reshape(len(features))}
        probability = np.asarray(out, dtype=np.float64)
        return {"predict": self._labels[probability.argmax(axis=1)], "probability": probability}

    def score_row(self, values: Sequence[object]) -> dict[str, Any]:
        """Predict one row, its values in the order of :attr:`inputs`; the fast path.

        Returns:
            ``predict``: a number or label; for classification also ``probability``: one number per
            class, in the order of :attr:`classes`.

        Raises:
            InvalidInput: another number of values, or one of another type than in training.
        """
        if self.history is not None:
            return self._score_moment(values)
        row = self.encoding.encode_row(values)
        if self.info.refuses_missing and any(map(isnan, row)):
            raise self._missing(self.encoding.columns[[isnan(value) for value in row].index(True)])
        out = self._session.run(self._wanted, {_INPUT: np.array([row], dtype=np.float32)})[0]
        if not self._classified:
            return {"predict": out.item()}
        probability = out[0].tolist()
        return {
            "predict": self.info.classes[probability.index(max(probability))],
            "probability": probability,
        }

    def complete(self, columns: Columns) -> Columns:
        """Add what follows from the moment and the history; identity unless it forecasts.

        Inputs that are given are kept; where one is absent or null it is computed.

        Raises:
            InvalidInput: the time is missing, or nothing is known about the days that it needs.
        """
        if self.history is None or self.info.time is None:
            return columns
        times = self._times(columns)
        computed = self.history.features(times, self.info.lags_days, self.info.horizon_days)
        filled = dict(columns)
        for name in self._computed.intersection(self.encoding.columns):
            given = as_column(columns[name], name) if name in columns else None
            filled[name] = computed[name] if given is None else _filled(given, computed[name], name)
        self._check_lags(times, filled)
        return filled

    def observe(self, times: NDArray[Any], values: NDArray[Any]) -> None:
        """Add to the history: ``datetime64[us]`` and float64, both ``(n,)``; nothing unless it forecasts."""
        if self.history is not None:
            with self._observing:
                self.history.observe(times, values)

    def _times(self, columns: Columns) -> NDArray[Any]:
        name = str(self.info.time)
        if name not in columns:
            raise InvalidInput(f"Column {name!r} is missing. A forecast needs the moment that it is for.")
        times = as_column(columns[name], name)
        if times.dtype.kind != "M" or np.isnat(times).any():
            raise InvalidInput(f"Column {name!r} holds something else than times. Expected one in each row.")
        return times

    def _check_lags(self, times: NDArray[Any], columns: Columns) -> None:
        lags = [name for name in self.encoding.columns if name.startswith("lag_")]
        if not lags or not len(times):
            return
        unknown = np.all([np.isnan(columns[name]) for name in lags], axis=0)
        if unknown.any():
            day = np.datetime_as_string(times[int(unknown.argmax())], unit="D")
            known = "nothing"
            if self.history is not None and len(self.history.times):
                known = f"values up to {np.datetime_as_string(self.history.times.max(), unit='D')}"
            raise InvalidInput(
                f"A forecast for {day} needs {' or '.join(lags)}, but only {known} are known. "
                "Send labels for the days in between, or the lags with the request."
            )

    def _score_moment(self, values: Sequence[object]) -> dict[str, Any]:
        names = [spec.name for spec in self.inputs]
        if len(values) != len(names):
            raise InvalidInput(f"A row has {len(values)} values. Expected {len(names)}: {names}.")
        row = {name: as_column([value], name) for name, value in zip(names, values, strict=True)}
        given = {name: value for name, value in row.items() if value.dtype.kind != "O"}
        return {"predict": float(self.score(self.complete(given))["predict"][0])}

    def _missing(self, name: str) -> InvalidInput:
        return InvalidInput(
            f"Column {name!r} holds a missing number, which this model refuses. Expected a finite number."
        )


def _filled(given: NDArray[Any], computed: NDArray[Any], name: str) -> NDArray[Any]:
    if given.dtype.kind == "O":
        if any(value is not None for value in given.tolist()):
            raise InvalidInput(f"Column {name!r} holds text. Expected numbers or null.")
        return computed
    return np.where(np.isnan(given), computed, given)


def _open_session(model: bytes, n_features: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread each: requests run side by side, and a sum has one order.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        shape = session.get_inputs()[0].shape
    except Exception as error:  # the runtime has an exception type for each way a file can be damaged
        first = str(error).strip().splitlines()[0][:200]
        raise InvalidInput(f"The package's model cannot be loaded: {first}. Rebuild it.") from error
    if shape[1] != n_features:
        raise InvalidInput(f"The package's model has {shape[1]} inputs, but its encoding {n_features}.")
    return session
