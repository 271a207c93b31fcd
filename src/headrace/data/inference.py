"""What a table is for, concluded from the table: task, inputs and split, written down to be edited."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import Column, DataGate, DataSpec, SplitSpec, Task
from headrace.data.csv_files import UNNAMED
from headrace.data.frames import is_null, kind_of, n_rows, nulls

FEWEST_ROWS = 10
FEWEST_COUNTED = 200
MOST_CATEGORIES = 200
MOST_CLASSES = 20
_SOURCE = "project.py"
_PADDED = re.compile(r"(?<=-)\d(?!\d)")
_NUMBER = re.compile(r"[-+]?(\d+[.,]?\d*|[.,]\d+)([eE][-+]?\d+)?")
_MOST_ODD = 5
"""Different texts that may stand for no value in a column of numbers."""
_HORIZON_DAYS = 7
_QUESTIONS = 0.9
"""Share of the questions that are asked: a prompt learns from none of them."""
_LAGS_DAYS = (7, 14, 21, 28)


_ANSWERS: dict[Task, str] = {"anomaly_detection": "anomaly", "clustering": "cluster"}
"""What an answer is called where no column is predicted."""
_AFFIRMED = frozenset(("yes", "y", "true", "t", "ja", "j", "oui", "o", "si", "s\u00ed", "s", "sim", "tak"))


@dataclass(frozen=True, kw_only=True)
class Inference:
    """What was concluded. ``notes`` are sentences for the user to check."""

    task: Task
    data: DataSpec
    split: SplitSpec
    notes: tuple[str, ...]


def infer(
    columns: Columns,
    *,
    target: str | None,
    time: str | None = None,
    key: str | None = None,
    forecasting: bool = False,
    unsupervised: Task | None = None,
    generating: bool = False,
    unique_key: bool = False,
) -> Inference:
    """Conclude task, inputs and split from a table.

    Args:
        target: the column to predict; None of anomaly detection and clustering, which need none.
        time: the column that says when a row happened.
        key: the column that names the entity.
        forecasting: predict the target's own future, one value a day.
        unsupervised: which task it is where there is no target.
        generating: the target says what a good answer is to a question, which is a text.
        unique_key: every key may occur once.

    Raises:
        InvalidInput: fewer than 10 rows, a named column is missing, the target is constant, null or no
            label, the time does not parse, a unique key repeats, or a forecast has several rows a day.
    """
    n = n_rows(columns)
    if n < FEWEST_ROWS:
        raise InvalidInput(
            f"The table has {n} row{'' if n == 1 else 's'}. Expected at least {FEWEST_ROWS} to learn from."
        )
    named = {"target": target, "time": time, "key": key}
    for role, name in named.items():
        if name is not None:
            _check_present(columns, name, role)
    _check_distinct(named)
    notes: list[str] = []
    if time is not None:
        notes += _check_time(columns[time], time)
    if key is not None:
        notes += _check_key(columns[key], key, unique_key)
    if target is None and unsupervised is None:
        raise InvalidInput("Name the column to predict as the target.")
    task, target = _task_of(columns, target, unsupervised, forecasting=forecasting, generating=generating)
    if forecasting:
        inputs = _forecast_inputs(columns, target, time)
    else:
        roles = {target: "the target", time: "says when, which new rows do not repeat", key: "names the row"}
        inputs = tuple(_input(columns[name], name, roles.get(name)) for name in columns if name != target)
        if generating:
            inputs = _questions(columns, inputs, roles)
        if all(column.role == "ignored" for column in inputs):
            raise InvalidInput(_no_input(inputs, target))
    spec = DataSpec(
        source=_SOURCE,
        target=target,
        positive=_positive(columns[target]) if task == "classification" else None,
        time=time,
        key=key,
        columns=inputs,
        lags_days=_LAGS_DAYS if forecasting else (),
        horizon_days=_HORIZON_DAYS,
    )
    notes += _assumed(columns, spec, learnt=unsupervised is None)
    notes += [f"Column {c.name!r} is ignored: {c.why}." for c in inputs if c.role == "ignored"]
    notes += _almost_numbers(columns, inputs)
    return Inference(
        task=task,
        data=spec,
        split=SplitSpec(
            policy="random" if time is None else "sequential",
            test_fraction=_QUESTIONS if generating else SplitSpec.test_fraction,
        ),
        notes=tuple(notes),
    )


def _assumed(columns: Columns, spec: DataSpec, *, learnt: bool) -> Iterator[str]:
    """What was decided without being asked."""
    times = [repr(c.name) for c in spec.columns if c.role == "ignored" and kind_of(columns[c.name]) == "time"]
    if spec.time is None and times:
        yield (
            "No column says when a row happened, so rows are divided at random. If one does "
            f"({', '.join(times)}), name it with --time: then the newest rows test."
        )
    if spec.positive is not None:
        yield (
            f"Of its two classes {spec.positive!r} is the positive one, which precision and recall are "
            "about: data.positive in headrace.yaml."
        )
    missing = int(nulls(columns[spec.target]).sum()) if learnt and spec.target in columns else 0
    if missing:
        yield f"{missing} of {n_rows(columns)} rows have no {spec.target!r}; nothing is learnt from them."


def _almost_numbers(columns: Columns, inputs: tuple[Column, ...]) -> Iterator[str]:
    """Texts that would be numbers if a few cells said nothing: a table has many words for that."""
    for column in inputs:
        odd = _no_numbers(columns[column.name])
        if column.role in ("categorical", "ignored") and odd:
            yield (
                f"Column {column.name!r} is text because of {', '.join(map(repr, odd))}: all its other "
                "values are numbers. If that stands for no value, empty those cells in the table."
            )


def _no_numbers(values: NDArray[Any]) -> list[str]:
    """The few different texts that keep a column from being numbers; none where it is really text."""
    if kind_of(values) != "text":
        return []
    odd: set[str] = set()
    known = [one for one in values.tolist() if not is_null(one)]
    for text in known:
        if not _NUMBER.fullmatch(str(text).strip()):
            odd.add(str(text))
            if len(odd) > _MOST_ODD:
                return []
    return sorted(odd) if len(set(known)) > 2 * _MOST_ODD else []


def _task_of(
    columns: Columns, target: str | None, unsupervised: Task | None, *, forecasting: bool, generating: bool
) -> tuple[Task, str]:
    """The task, and what an answer is called."""
    if unsupervised is not None:
        return unsupervised, _ANSWERS[unsupervised]
    named = str(target)
    return ("text_generation" if generating else _task(columns[named], named, forecasting)), named


def _questions(
    columns: Columns, inputs: tuple[Column, ...], roles: dict[str | None, str]
) -> tuple[Column, ...]:
    """Inputs of which the longest text is the question; beside it only categories and numbers are any use."""
    texts = {
        one.name: float(np.mean([len(str(value)) for value in columns[one.name] if not is_null(value)]))
        for one in inputs
        if one.name not in roles
        and kind_of(columns[one.name]) == "text"
        and not nulls(columns[one.name]).all()
    }
    if not texts:
        raise InvalidInput("No column holds texts that could be questions. Add one, beside the good answers.")
    question = max(texts, key=lambda name: texts[name])
    return tuple(Column(name=one.name, role="text") if one.name == question else one for one in inputs)


def _no_input(inputs: tuple[Column, ...], target: str) -> str:
    if not inputs:
        return f"The table has no column but the target {target!r}. Add columns to predict it from."
    reasons = "; ".join(f"{column.name!r}: {column.why}" for column in inputs[:20])
    return f"No column can be an input ({reasons}). Add columns that say something about {target!r}."


def _check_present(columns: Columns, name: str, role: str) -> None:
    if name in columns:
        return
    lowered = {column.lower(): column for column in columns}
    close = get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
    hint = f" Did you mean {lowered[close[0]]!r}?" if close else ""
    listed = ", ".join(list(columns)[:20]) + (", ..." if len(columns) > 20 else "")
    raise InvalidInput(f"There is no column {name!r} to be the {role} (has: {listed}).{hint}")


def _check_distinct(named: dict[str, str | None]) -> None:
    taken: dict[str, str] = {}
    for role, name in named.items():
        if name is not None and name in taken:
            raise InvalidInput(f"Column {name!r} cannot be both {taken[name]} and {role}. Name two columns.")
        if name is not None:
            taken[name] = role


def _check_time(values: NDArray[Any], name: str) -> Iterator[str]:
    kind = kind_of(values)
    missing = int(nulls(values).sum())
    if missing == len(values):
        raise InvalidInput(f"Column {name!r} is empty, so it cannot say when rows happened.")
    if kind == "time":
        moments = np.unique(values[~nulls(values)])
        if len(moments) == 1:
            raise InvalidInput(
                f"Column {name!r} is {moments[0]} in every row, so later rows cannot test what earlier ones "
                "taught. Name another time column, or none."
            )
        return iter([f"{missing} rows have no {name!r} and are left out."] if missing else [])
    raise InvalidInput(
        f"Column {name!r} does not parse as a time: {_first_odd_time(values)}. "
        "Expected dates such as 2019-12-31 or 2019-12-31T23:59:00Z in every row."
    )


def _first_odd_time(values: NDArray[Any]) -> str:
    if kind_of(values) != "text":
        return f"it holds {'numbers' if kind_of(values) == 'number' else 'true and false'}"
    odd = "its rows mix several forms"
    n_odd = 0
    for row, value in reversed(list(enumerate(values.tolist(), start=1))):
        try:
            if value is not None:
                datetime.fromisoformat(_PADDED.sub(r"0\g<0>", value.strip().replace("/", "-")))
        except ValueError:
            odd, n_odd = f"row {row} is {value!r}", n_odd + 1
    return f"{odd}, the first of {n_odd} rows" if n_odd > 1 else odd


def _check_key(values: NDArray[Any], name: str, unique: bool) -> Iterator[str]:
    seen: dict[Any, int] = {}
    n_repeats, n_missing, first = 0, 0, ""
    for row, value in enumerate(values.tolist(), start=1):
        if is_null(value):
            n_missing += 1
            continue
        if value in seen and not n_repeats:
            first = f"{value!r} in rows {seen[value]} and {row}"
        n_repeats += value in seen
        seen.setdefault(value, row)
    if n_repeats and unique:
        raise InvalidInput(f"Key {name!r} is declared unique but repeats: first {first}. Remove duplicates.")
    if n_missing:
        yield f"{n_missing} rows have no key {name!r}: no label joins them by key."
    if n_repeats:
        yield f"Key {name!r} repeats in {n_repeats} rows, first {first}: a label joins all of them."


def _task(values: NDArray[Any], name: str, forecasting: bool) -> Task:
    known = values[~nulls(values)]
    if not len(known):
        raise InvalidInput(f"The target {name!r} is null in every row. Expected values to learn.")
    kind = kind_of(values)
    if kind == "number" and not np.isfinite(known).any():
        raise InvalidInput(f"The target {name!r} is never a finite number. Expected values to learn.")
    distinct = set(known.tolist())
    if len(distinct) == 1:
        raise InvalidInput(
            f"The target {name!r} is {next(iter(distinct))!r} in every row, so there is nothing to learn. "
            "Name a column that differs between rows, or bring rows in which it does."
        )
    if kind == "time":
        raise InvalidInput(f"The target {name!r} is a time. Expected a number, text, or true and false.")
    if forecasting:
        if kind != "number":
            raise InvalidInput(f"The target {name!r} is {kind}. A forecast needs a number.")
        return "forecasting"
    repeats = len(distinct) <= len(known) // 2
    if kind == "number" and not (
        len(distinct) <= MOST_CLASSES and repeats and bool((known == np.trunc(known)).all())
    ):
        return "regression"
    if len(distinct) > MOST_CATEGORIES:
        odd = ", ".join(map(repr, _no_numbers(values)))
        hint = f"Empty the cells with {odd}: all others are numbers" if odd else "Name another target"
        raise InvalidInput(
            f"The target {name!r} is text with {len(distinct)} different values, too many for classes "
            f"(at most {MOST_CATEGORIES}). {hint}, or group its values in project.py."
        )
    if not repeats:
        raise InvalidInput(
            f"The target {name!r} has {len(distinct)} different values in {len(known)} rows: too few rows of "
            "each to learn from. Name another target, or group its values in project.py."
        )
    return "classification"


def _positive(values: NDArray[Any]) -> str | None:
    """Of two texts the one that affirms, else the rarer: named also where it is the last anyway, so that it
    can be read which class precision and recall are about."""
    if kind_of(values) != "text":
        return None
    classes, counts = np.unique(values[~nulls(values)].astype(str), return_counts=True)
    if len(classes) != 2:
        return None
    affirmed = [one for one in classes if one.strip().casefold() in _AFFIRMED]
    found = affirmed[0] if len(affirmed) == 1 else classes[::-1][counts[::-1].argmin()]
    return str(found)


def _forecast_inputs(columns: Columns, target: str, time: str | None) -> tuple[Column, ...]:
    if time is None:
        raise InvalidInput("A forecast needs a time column. Name the one that holds the day.")
    days, counts = np.unique(columns[time].astype("datetime64[D]"), return_counts=True)
    counts = counts[~np.isnat(days)]
    if (counts > 1).any():
        day = days[int((counts > 1).argmax())]
        raise InvalidInput(
            f"Column {time!r} has up to {counts.max()} rows a day, first on {day}. A forecast needs one "
            "row a day; sum or average them in project.py."
        )
    why = "not known yet on the day that is forecast; the past of the target is used instead"
    return tuple(Column(name=n, role="ignored", why=why) for n in columns if n not in (target, time))


def _counts_rows(values: NDArray[Any]) -> bool:
    """Whether each value is one more than the one before; in a small table that may be a year."""
    is_long = kind_of(values) == "number" and len(values) >= FEWEST_COUNTED
    return is_long and bool((np.diff(values) == 1).all())


def _input(values: NDArray[Any], name: str, used_as: str | None) -> Column:
    if used_as is not None:
        return Column(name=name, role="ignored", why=used_as)
    kind = kind_of(values)
    known = values[~nulls(values)]
    if not len(known):
        return Column(name=name, role="ignored", why="no value in any row")
    missing = 1 - len(known) / len(values)
    if missing > DataGate.max_null_fraction:
        why = f"null in {missing:.0%} of the rows, more than gates.data.max_null_fraction lets through"
        return Column(name=name, role="ignored", why=why)
    distinct = len(set(known.tolist()))
    if distinct == 1:
        return Column(name=name, role="ignored", why="the same value in every row")
    if re.fullmatch(UNNAMED.format(r"\d+"), name):
        return Column(name=name, role="ignored", why="has no name in the file; it may be a row number")
    if _counts_rows(values):
        return Column(name=name, role="ignored", why="counts the rows one by one, as a row number does")
    if kind == "number":
        return Column(name=name, role="numeric")
    if kind == "boolean":
        return Column(name=name, role="categorical")
    if kind == "time":
        return Column(name=name, role="ignored", why="a time; make numbers of it in project.py")
    if distinct <= MOST_CATEGORIES and distinct < 0.5 * len(known):
        return Column(name=name, role="categorical")
    return Column(
        name=name, role="ignored", why=f"text with {distinct} different values in {len(known)} rows"
    )
