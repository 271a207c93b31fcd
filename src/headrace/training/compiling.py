"""Reads a fitted scikit-learn pipeline: its preparation becomes data, and the estimator at its end is left.

Nothing is guessed. A transformer that is not on the list, or one that runs a function, makes the whole
pipeline unreadable, and it then answers as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.training.preparing import FLOAT32, Step, apply_steps

_MOST_CELLS = 5_000_000
_UNSEEN = "\x00never seen in training"


class Unreadable(ValueError):
    """The pipeline holds something that has no form as data; the message names it."""


class Compiled(NamedTuple):
    """``plan`` is what :class:`headrace.training.preparing.Preparation` takes; ``estimator`` comes behind."""

    plan: dict[str, Any]
    estimator: Any


@dataclass(frozen=True)
class _Number:
    """A number of one input, after some steps."""

    place: int
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class _Text:
    """Text as it came; ``fill`` stands for what is missing."""

    place: int
    fill: Any = None


@dataclass(frozen=True, eq=False)
class _Domain:
    """The values of an input that an encoder knows; behind them stand missing and never seen."""

    place: int
    values: tuple[Any, ...]
    refuses_missing: bool
    refuses_unknown: bool


@dataclass(frozen=True, eq=False)
class _Cells:
    """One number per value of a domain, ``(len(values) + 2,)``."""

    domain: _Domain
    numbers: NDArray[np.float64]


_Symbol = _Number | _Text | _Cells
_Symbols = list[_Symbol]


def compile_pipeline(model: Any, inputs: Sequence[tuple[str, str]]) -> Compiled:
    """Read a fitted pipeline, or an estimator without one.

    Args:
        inputs: name and kind (``number``, ``text`` or ``boolean``) of each column that it takes, in order.

    Raises:
        Unreadable: it holds what has no form as data.
    """
    symbols: _Symbols = [
        _Text(place) if kind == "text" else _Number(place) for place, (_, kind) in enumerate(inputs)
    ]
    estimator = model
    while hasattr(estimator, "steps"):
        *before, (_, last) = estimator.steps
        for _, step in before:
            symbols = _through(step, symbols)
        estimator = last
    if estimator is None or isinstance(estimator, str):
        raise Unreadable("the pipeline ends in no estimator")
    # CatBoost says 0 of a model that it has read from a file.
    fitted = getattr(estimator, "n_features_in_", 0) or len(symbols)
    if fitted != len(symbols):
        raise Unreadable(f"{_kind(estimator)} takes {fitted} columns, its preparation gives {len(symbols)}")
    plan = _plan(symbols, [name for name, _ in inputs])
    return Compiled({**plan, "refuses": sorted(_refusals(estimator, len(symbols)))}, estimator)


def _kind(thing: Any) -> str:
    return type(thing).__name__


def _through(transformer: Any, symbols: _Symbols) -> _Symbols:
    if transformer is None or (isinstance(transformer, str) and transformer == "passthrough"):
        return symbols
    if isinstance(transformer, str):
        return []
    if type(transformer).__module__.partition(".")[0] != "sklearn":
        raise Unreadable(f"{_kind(transformer)} is not of scikit-learn")
    if hasattr(transformer, "get_support"):
        return [symbols[index] for index in transformer.get_support(indices=True)]
    read = _READERS.get(_kind(transformer))
    if read is None:
        raise Unreadable(f"{_kind(transformer)} has no form as data")
    return read(transformer, symbols)


def _pipeline(transformer: Any, symbols: _Symbols) -> _Symbols:
    for _, step in transformer.steps:
        symbols = _through(step, symbols)
    return symbols


def _column_transformer(transformer: Any, symbols: _Symbols) -> _Symbols:
    if transformer.transformer_weights:
        raise Unreadable("ColumnTransformer has weights")
    names = list(getattr(transformer, "feature_names_in_", range(len(symbols))))
    out: _Symbols = []
    for _, inner, columns in transformer.transformers_:
        chosen = _chosen(columns, names)
        if chosen:
            out += _through(inner, [symbols[index] for index in chosen])
    return out


def _chosen(columns: Any, names: list[Any]) -> list[int]:
    if isinstance(columns, str):
        return [names.index(columns)]
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            raise Unreadable("ColumnTransformer selects by a range of names")
        return list(range(len(names)))[columns]
    if np.isscalar(columns):
        return [range(len(names))[int(np.asarray(columns))]]
    listed = np.asarray(columns)
    if listed.dtype.kind == "b":
        return [int(index) for index in np.flatnonzero(listed)]
    return [
        names.index(one) if isinstance(one, str) else range(len(names))[int(one)] for one in listed.tolist()
    ]


def _union(transformer: Any, symbols: _Symbols) -> _Symbols:
    if transformer.transformer_weights:
        raise Unreadable("FeatureUnion has weights")
    return [symbol for _, inner in transformer.transformer_list for symbol in _through(inner, symbols)]


def _function(transformer: Any, symbols: _Symbols) -> _Symbols:
    if transformer.func is not None:
        raise Unreadable("FunctionTransformer runs a function")
    return symbols


def _imputer(transformer: Any, symbols: _Symbols) -> _Symbols:
    missing = transformer.missing_values
    if missing is not None and not (isinstance(missing, float) and isnan(missing)):
        raise Unreadable(f"SimpleImputer takes {missing!r} for missing")
    out: _Symbols = []
    for symbol, learnt in zip(symbols, transformer.statistics_, strict=True):
        is_empty = isinstance(learnt, float) and isnan(learnt)
        if is_empty and not transformer.keep_empty_features:
            continue  # a column without any value is dropped
        value = 0.0 if is_empty else learnt
        if isinstance(symbol, _Text):
            out.append(replace(symbol, fill=symbol.fill if symbol.fill is not None else str(value)))
        else:
            out.append(_stepped(symbol, ("fill", float(value))))
    if transformer.add_indicator:
        for index in transformer.indicator_.features_:
            symbol = symbols[int(index)]
            if isinstance(symbol, _Text):
                raise Unreadable("SimpleImputer marks missing text")
            out.append(_stepped(symbol, ("missing",)))
    return out


def _stepped(symbol: _Symbol, *steps: Step) -> _Symbol:
    if isinstance(symbol, _Number):
        return replace(symbol, steps=(*symbol.steps, *steps))
    if isinstance(symbol, _Cells):
        return replace(symbol, numbers=apply_steps(symbol.numbers, steps))
    raise Unreadable("text goes into a transformer of numbers")


def _each(symbols: _Symbols, steps: Callable[[int], Sequence[Step]]) -> _Symbols:
    return [_stepped(symbol, *steps(index)) for index, symbol in enumerate(symbols)]


def _of(values: Any, index: int, otherwise: float) -> float:
    return otherwise if values is None else float(values[index])


def _standard(t: Any, symbols: _Symbols) -> _Symbols:
    mean, scale = (t.mean_ if t.with_mean else None), (t.scale_ if t.with_std else None)
    return _each(symbols, lambda i: [("affine", _of(mean, i, 0.0), _of(scale, i, 1.0))])


def _robust(t: Any, symbols: _Symbols) -> _Symbols:
    centre, scale = (t.center_ if t.with_centering else None), (t.scale_ if t.with_scaling else None)
    return _each(symbols, lambda i: [("affine", _of(centre, i, 0.0), _of(scale, i, 1.0))])


def _max_abs(t: Any, symbols: _Symbols) -> _Symbols:
    if getattr(t, "clip", False):
        raise Unreadable("MaxAbsScaler clips")
    return _each(symbols, lambda i: [("affine", 0.0, float(t.scale_[i]))])


def _min_max(t: Any, symbols: _Symbols) -> _Symbols:
    low, high = t.feature_range
    clip: list[Step] = [("clip", float(low), float(high))] if t.clip else []
    return _each(symbols, lambda i: [("scaled", float(t.scale_[i]), float(t.min_[i])), *clip])


def _binarizer(t: Any, symbols: _Symbols) -> _Symbols:
    return _each(symbols, lambda _: [("above", float(t.threshold))])


def _bins(t: Any, symbols: _Symbols) -> _Symbols:
    if t.encode != "ordinal":
        raise Unreadable(f"KBinsDiscretizer encodes by {t.encode!r}")
    return _each(symbols, lambda i: [("bins", [float(edge) for edge in t.bin_edges_[i][1:-1]])])


def _encoder(encoder: Any, symbols: _Symbols) -> _Symbols:
    """One row of numbers per known value of each column, as the fitted encoder itself gives them.

    The encoder looks at each column alone, so the others stay at a value that it knows.
    """
    known = [_known(categories) for categories in encoder.categories_]
    size = sum(len(values) for values in known)
    if size * size > _MOST_CELLS:
        raise Unreadable(f"{_kind(encoder)} knows {size:,} categories")
    usual: list[Any] = [values[0] if values else nan for values in known]
    width = len(_encoded(encoder, [usual])[0])
    out: list[_Symbol | None] = [None] * width
    constant: _Cells | None = None
    for place, symbol in enumerate(symbols):
        domain, rows = _domain(encoder, symbol, known[place], usual, place)
        varies = (rows != rows[0]).any(axis=0) & ~np.isnan(rows).all(axis=0)
        for varying in np.flatnonzero(varies).tolist():
            out[varying] = _Cells(domain, rows[:, varying])
        constant = constant or _Cells(domain, rows[:, 0])
    for column, found in enumerate(out):
        if found is None and constant is not None:
            value = float(_encoded(encoder, [usual])[0][column])
            out[column] = _Cells(constant.domain, np.full(len(constant.numbers), value))
    return [symbol for symbol in out if symbol is not None]


def _known(categories: Any) -> list[Any]:
    plain = [one.item() if isinstance(one, np.generic) else one for one in list(categories)]
    return [one for one in plain if one is not None and not (isinstance(one, float) and isnan(one))]


def _domain(
    encoder: Any, symbol: _Symbol, known: list[Any], usual: list[Any], place: int
) -> tuple[_Domain, NDArray[np.float64]]:
    if isinstance(symbol, _Text):
        fill: Any = symbol.fill
    elif isinstance(symbol, _Number) and [step[0] for step in symbol.steps] in ([], ["fill"]):
        fill = symbol.steps[0][1] if symbol.steps else None
    else:
        raise Unreadable(f"{_kind(encoder)} encodes what was computed before")

    def row(value: Any) -> list[Any]:
        return [*usual[:place], value, *usual[place + 1 :]]

    numeric = all(isinstance(value, int | float) for value in known)
    unseen: Any = max([0.0, *(abs(value) for value in known)]) + 1.5 if numeric else _UNSEEN
    rows = [_encoded(encoder, [row(value)])[0] for value in known]
    absent = _maybe(encoder, row(nan if fill is None else fill))
    unknown = _maybe(encoder, row(unseen))
    blank = np.full(len(rows[0]) if rows else len(_encoded(encoder, [usual])[0]), nan)
    domain = _Domain(symbol.place, tuple(known), absent is None, unknown is None)
    # What is refused has no numbers of its own; those of the first value keep the columns as they are.
    blank = rows[0] if rows else blank
    specials = [blank if special is None else special for special in (absent, unknown)]
    return domain, np.array([*rows, *specials], dtype=np.float64)


def _encoded(encoder: Any, rows: list[list[Any]]) -> NDArray[np.float64]:
    table = np.empty((len(rows), len(rows[0])), dtype=object)
    table[:] = rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no column names, and values never seen, are on purpose
        out = encoder.transform(table)
    return np.asarray(out.toarray() if hasattr(out, "toarray") else out, dtype=np.float64)


def _maybe(encoder: Any, row: list[Any]) -> NDArray[np.float64] | None:
    """The numbers of a row; None where the encoder refuses it."""
    try:
        return np.asarray(_encoded(encoder, [row])[0], dtype=np.float64)
    except (ValueError, TypeError):
        return None


_READERS: dict[str, Callable[[Any, _Symbols], _Symbols]] = {
    "Pipeline": _pipeline,
    "ColumnTransformer": _column_transformer,
    "FeatureUnion": _union,
    "FunctionTransformer": _function,
    "SimpleImputer": _imputer,
    "StandardScaler": _standard,
    "RobustScaler": _robust,
    "MaxAbsScaler": _max_abs,
    "MinMaxScaler": _min_max,
    "Binarizer": _binarizer,
    "KBinsDiscretizer": _bins,
    "OneHotEncoder": _encoder,
    "OrdinalEncoder": _encoder,
    "TargetEncoder": _encoder,
}


def _plan(symbols: _Symbols, names: list[str]) -> dict[str, Any]:
    inputs: list[dict[str, Any]] = [{"name": name, "numbers": [], "tables": []} for name in names]
    tables: dict[_Domain, list[tuple[int, _Cells]]] = {}
    for at, symbol in enumerate(symbols):
        if isinstance(symbol, _Number):
            steps = [list(step) for step in symbol.steps]
            inputs[symbol.place]["numbers"].append({"at": at, "steps": steps})
        elif isinstance(symbol, _Cells):
            tables.setdefault(symbol.domain, []).append((at, symbol))
        else:
            raise Unreadable(f"column {names[symbol.place]!r} goes into the estimator as text")
    for domain, cells in tables.items():
        inputs[domain.place]["tables"].append(_table(domain, cells))
    return {"width": len(symbols), "inputs": inputs}


def _table(domain: _Domain, cells: list[tuple[int, _Cells]]) -> dict[str, Any]:
    numbers = np.array([cell.numbers for _, cell in cells]).T
    base = numbers[0].copy()
    for column in range(numbers.shape[1]):
        values, counts = np.unique(numbers[:, column], return_counts=True)
        base[column] = values[counts.argmax()]
    differ = (numbers != base) & ~(np.isnan(numbers) & np.isnan(base))
    writes = [
        [[int(k), _plain(row[k])] for k in np.flatnonzero(other)]
        for row, other in zip(numbers, differ, strict=True)
    ]
    return {
        "at": [at for at, _ in cells],
        "values": list(domain.values),
        "base": [_plain(value) for value in base],
        "writes": writes[:-2],
        "missing": None if domain.refuses_missing else writes[-2],
        "unknown": None if domain.refuses_unknown else writes[-1],
    }


def _plain(value: Any) -> float | None:
    """NaN has no form in JSON."""
    return None if isnan(value) else float(value)


def _refusals(estimator: Any, width: int) -> set[str]:
    """What the estimator raises on: ``missing``, ``infinite``, or already what is ``large`` in float32."""
    odd = {"missing": nan, "infinite": float("inf"), "large": 2 * FLOAT32}
    return {name for name, value in odd.items() if width and not _takes(estimator, width, value)}


def _takes(estimator: Any, width: int, value: float) -> bool:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            estimator.predict(np.array([[value, *[0.0] * (width - 1)]]))
        except Exception:  # noqa: BLE001 - an estimator may raise anything: that it does is the answer
            return False
    return True
