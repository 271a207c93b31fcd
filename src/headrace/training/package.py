"""The deployable artefact: one deterministic zip that answers without the code that trained it.

It holds ``package.json`` (what it is), ``encoding.json`` (what training saw of each input), ``plan.json``
(the fitted preparation, as data) and ``model.onnx``; a model that does not convert is ``model.pkl`` instead,
with the project's modules in ``code`` where it needs code of its own.
For forecasting ``history.npz`` has the values known when it was made. Loading a converted one needs numpy
and ONNX Runtime only.
"""

from __future__ import annotations

import json
import threading
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.checks.tasks import answers_classes
from headrace.core.canonical import canonical_json
from headrace.core.errors import InvalidInput, ModelFailed
from headrace.core.ports import Columns
from headrace.core.project import Task
from headrace.data.encoding import Encoding
from headrace.data.frames import as_column
from headrace.data.history import History, feature_columns
from headrace.store.documents import convert
from headrace.training.archives import pack_arrays, pack_files, unpack_arrays, unpack_files
from headrace.training.engines import Engine, NativeEngine, OnnxEngine
from headrace.training.isolated import Isolated, IsolatedEngine, Isolation
from headrace.training.own_code import CODE, MODEL
from headrace.training.preparing import Preparation, Refused

MEDIA_TYPE = "application/vnd.headrace.package+zip"
Label = str | float | bool
Kind = Literal["onnx", "native", "untouched", "own"]
_FORMAT = 2
_FILES = {"onnx": "model.onnx", "native": "model.pkl", "untouched": "model.pkl", "own": MODEL}
_ISOLATION = Isolation()


@dataclass(frozen=True, kw_only=True)
class PackageInfo:
    """What a package says about itself.

    Attributes:
        classes: classification only: the labels in the order of the probabilities.
        time, lags_days, horizon_days: forecasting only: how further inputs follow from a moment.
        engine: ``onnx``; ``native``, where the estimator's own ``predict`` stands behind the preparation;
            ``untouched``, where the whole pipeline answers raw rows in a process of its own; or ``own``,
            where the estimator, or with ``columns`` the whole pipeline, brings code to such a process.
        takes: what the preparation, or the untouched pipeline, was fitted on: the ``features`` of the
            encoding or the ``raw`` values.
        columns: of a pipeline that takes raw rows as they are, in its order.
    """

    project: str
    variant: str
    task: Task
    target: str
    classes: tuple[Label, ...] = ()
    time: str | None = None
    lags_days: tuple[int, ...] = ()
    horizon_days: int = 0
    engine: Kind = "onnx"
    takes: Literal["features", "raw"] = "features"
    columns: tuple[str, ...] = ()
    format: int = _FORMAT


class InputSpec(NamedTuple):
    """One input column: its kind is ``number``, ``text``, ``time`` or ``boolean``.

    An input that is not required may be left out or null: the package computes it.
    """

    name: str
    kind: str
    required: bool


def build_package(
    info: PackageInfo,
    encoding: Encoding,
    model: bytes,
    history: History | None = None,
    *,
    plan: Mapping[str, Any] | None = None,
    code: Mapping[str, bytes] | None = None,
) -> bytes:
    """The zip of one package: the same arguments always give the same bytes.

    Args:
        model: the ONNX graph, or the pickled estimator or pipeline.
        plan: what :class:`headrace.training.preparing.Preparation` takes; without one the model takes the
            encoded features as they are.
        code: the project's modules by their path, for an ``own`` engine.
    """
    files = {f"{CODE}{name}": content for name, content in (code or {}).items()} | {
        "package.json": canonical_json(info),
        "encoding.json": canonical_json(encoding.to_dict()),
        _FILES[info.engine]: model,
    }
    if not _takes_raw_rows(info):
        files["plan.json"] = canonical_json(dict(plan or _as_it_is(encoding)))
    if history is not None:
        files["history.npz"] = pack_arrays({"times": history.times, "values": history.values})
    return pack_files(files)


def _takes_raw_rows(info: PackageInfo) -> bool:
    """Whether nothing is prepared before the model is asked."""
    return info.engine == "untouched" or (info.engine == "own" and bool(info.columns))


def _as_it_is(encoding: Encoding) -> dict[str, Any]:
    inputs = [
        {"name": name, "numbers": [{"at": at, "steps": []}]} for at, name in enumerate(encoding.columns)
    ]
    return {"width": len(inputs), "inputs": inputs}


def load_scorer(package: bytes | Path, isolation: Isolation = _ISOLATION) -> PackageScorer:
    """Load a package, in milliseconds.

    Args:
        isolation: how an untouched pipeline is kept.

    Raises:
        InvalidInput: it is damaged, incomplete, or of another format.
        GateFailed: it holds a model that is not trusted, and is not packaged with its code.

    Example::

        scorer = load_scorer(store.artifacts.path(run.package.digest))
        scorer.score_row([2017.0, "Petrol"])  # {'predict': 16350.2}
    """
    data = package if isinstance(package, bytes) else package.read_bytes()
    files = unpack_files(data, "The package")
    _require(files, "package.json", "encoding.json")
    try:
        raw = json.loads(files["package.json"])
        if raw.get("format") != _FORMAT:
            raise InvalidInput(
                f"The package has format {raw.get('format')!r}, expected {_FORMAT}. "
                "Load it with the version of Headrace that wrote it."
            )
        info = convert(raw, PackageInfo)
        encoding = Encoding.from_dict(json.loads(files["encoding.json"]))
        _require(files, _FILES[info.engine], *([] if _takes_raw_rows(info) else ["plan.json"]))
        preparation = Preparation(json.loads(files["plan.json"])) if "plan.json" in files else None
        history = None
        if "history.npz" in files:
            arrays = unpack_arrays(files["history.npz"], "The package's history")
            history = History(arrays["times"], arrays["values"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, msgspec.ValidationError) as error:
        raise InvalidInput(f"The package's description cannot be read: {error!r}. Rebuild it.") from error
    model, classifies = files[_FILES[info.engine]], answers_classes(info.task)
    apart: Isolated | None = None
    if info.engine in ("untouched", "own"):
        own = {name.removeprefix(CODE): content for name, content in files.items() if name.startswith(CODE)}
        code = own if info.engine == "own" else None
        apart = Isolated(model, info.columns, classifies=classifies, isolation=isolation, code=code)
        apart.start()
    if apart is not None and (preparation is None or _takes_raw_rows(info)):
        return PackageScorer(info, encoding, apart, history)
    if preparation is None:
        raise InvalidInput("The package has no plan.json. Rebuild it.")
    _check_names(info, encoding, preparation)
    engine: Engine
    if apart is not None:
        engine = IsolatedEngine(apart)
    elif info.engine == "onnx":
        engine = OnnxEngine(model, preparation.width, classifies=classifies)
    else:
        engine = NativeEngine(model, classifies=classifies)
    return PackageScorer(info, encoding, Prepared(info, encoding, preparation, engine), history)


def _require(files: Mapping[str, bytes], *names: str) -> None:
    missing = [name for name in names if name not in files]
    if missing:
        raise InvalidInput(f"The package has no {missing[0]} (has: {', '.join(sorted(files))}).")


def _check_names(info: PackageInfo, encoding: Encoding, preparation: Preparation) -> None:
    if preparation.names != encoding.columns:
        raise InvalidInput(
            f"The package's plan prepares {list(preparation.names)[:20]}, but its encoding has "
            f"{list(encoding.columns)[:20]}. Rebuild it."
        )
    if info.takes == "raw" and any(column.kind == "time" for column in encoding.inputs):
        raise InvalidInput("The package's plan takes a time. Rebuild it.")


class Prepared:
    """A preparation and the engine behind it."""

    def __init__(
        self, info: PackageInfo, encoding: Encoding, preparation: Preparation, engine: Engine
    ) -> None:
        self._raw = info.takes == "raw"
        self._encoding = encoding
        self._preparation = preparation
        self._direct = not self._raw and preparation.changes_nothing
        self._engine = engine

    def ask(self, columns: Columns) -> NDArray[np.float64]:
        """As :meth:`Isolated.ask`. Raises InvalidInput for what the model takes not."""
        return self._engine.ask(self.prepare(columns))

    def prepare(self, columns: Columns) -> NDArray[np.float64]:
        """Raw columns as the numbers ``(n_rows, width)`` that the estimator sees. Raises as :meth:`ask`."""
        try:
            if self._raw:
                checked = self._encoding.check(columns)
                arrays = [checked[name] for name in self._encoding.columns]
                return np.asarray(self._preparation.matrix(arrays))
            features = self._encoding.encode(columns).astype(np.float64)
            if self._direct:
                self._preparation.check(features)
                return features
            return np.asarray(self._preparation.matrix(list(features.T)))
        except Refused as error:
            raise InvalidInput(f"{error}.") from None

    def close(self) -> None:
        """End the engine's process, where it has one."""
        if isinstance(self._engine, IsolatedEngine):
            self._engine.close()

    @property
    def plan(self) -> Mapping[str, Any]:
        """What becomes of each input, as :class:`Preparation` takes it."""
        return self._preparation.plan

    def column_of(self) -> NDArray[np.int64]:
        """The position of the raw column that each prepared number is made of, ``(width,)``."""
        places: NDArray[np.int64] = self._preparation.column_of()
        return places

    def ask_row(self, values: Sequence[object]) -> Any:
        """One row, in the order of the encoding's columns: a number, or one per class."""
        try:
            if self._raw:
                row = self._preparation.row(self._encoding.without_empty(values))
            else:
                # Training saw float32, so the numbers are rounded to it before anything is computed.
                row = array("f", self._encoding.encode_row(values)).tolist()
                if self._direct:
                    self._preparation.check_row(row)
                else:
                    row = self._preparation.row(row)
        except Refused as error:
            raise InvalidInput(f"{error}.") from None
        except (TypeError, ValueError, IndexError):
            self._encoding.encode_row(values)  # says which value is of another type
            raise
        return self._engine.ask_row(row)


class PackageScorer:
    """A loaded package. Safe to call from several threads.

    Attributes:
        info: what it says about itself.
        encoding: what training saw of each input.
        history: forecasting only: the values known so far; :meth:`observe` adds to it.
        inline: whether one row takes microseconds; if not, it is better asked in a thread.
        prepared: its preparation and engine; none for a pipeline that takes raw rows as they are.
    """

    def __init__(
        self, info: PackageInfo, encoding: Encoding, model: Prepared | Isolated, history: History | None
    ) -> None:
        self.info = info
        self.encoding = encoding
        self.history = history
        self.inline = info.engine in ("onnx", "native")
        self._model = model
        self.prepared = model if isinstance(model, Prepared) else None
        self._row = model.ask_row if isinstance(model, Prepared) else None
        self._classified = answers_classes(info.task)
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
        if isinstance(self._model, Isolated):
            columns = self.encoding.check(columns)
        out = self._model.ask(columns)
        if self._labels is None:
            return {"predict": out}
        return {"predict": self._labels[self._likeliest(out)], "probability": out}

    def _likeliest(self, probability: NDArray[np.float64]) -> NDArray[np.int64]:
        if probability.shape[1:] != (len(self.info.classes),):
            raise ModelFailed(
                f"wrong shape: the model gives {probability.shape[1:]} probabilities for "
                f"{len(self.info.classes)} classes"
            )
        places: NDArray[np.int64] = probability.argmax(axis=1)
        return places

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
        if self._row is None:
            return self._score_apart(values)
        out = self._row(values)
        if not self._classified:
            return {"predict": out}
        return {"predict": self.info.classes[out.index(max(out))], "probability": out}

    def _score_apart(self, values: Sequence[object]) -> dict[str, Any]:
        self.encoding.encode_row(values)  # refuses what is of another type
        named = zip(self.encoding.inputs, values, strict=True)
        answer = self.score({column.name: _one(value, column.kind) for column, value in named})
        return {name: values_of.tolist()[0] for name, values_of in answer.items()}

    def close(self) -> None:
        """End the process of a model that has one; nothing else needs it."""
        self._model.close()

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


def _one(value: object, kind: str) -> NDArray[Any]:
    if kind == "number":
        return np.array([nan if value is None else value], dtype=np.float64)
    column = np.empty(1, dtype=object)
    column[0] = value
    return column


def _filled(given: NDArray[Any], computed: NDArray[Any], name: str) -> NDArray[Any]:
    if given.dtype.kind == "O":
        if any(value is not None for value in given.tolist()):
            raise InvalidInput(f"Column {name!r} holds text. Expected numbers or null.")
        return computed
    return np.where(np.isnan(given), computed, given)
