"""Looks for a row on which two models disagree, instead of hoping that a sample holds one.

Models that part their inputs disagree, if at all, in the gap between two neighbouring numbers. So the search
goes there: to every threshold that is known, and, where two rows get different answers, by bisection to the
place between them where the answer changes. Beside that it asks the whole training sample, extremes, gaps and
categories that were never seen, alone and together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import missing
from headrace.checks.equivalence import (
    Equivalence,
    compare_outputs,
    edges_of,
    probes,
    row_differences,
    spread_of,
)
from headrace.checks.metrics import Outputs
from headrace.core.errors import HeadraceError
from headrace.core.ports import Clock
from headrace.core.project import Column

Table = dict[str, NDArray[Any]]
Ask = Callable[[Mapping[str, Any]], Outputs]
_CHUNK = 2_000
_MOST_VARIED = 100
_CELLS = 4_000_000
_KEPT = 2_000
_WORST = 50
_PAIRS = 400
_STEPS = 70


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a search may ask: ``n_rows`` of each stage, and ``duration_s`` in all."""

    n_rows: int = 20_000
    duration_s: float = 120.0


@dataclass(kw_only=True)
class Search:
    """What a search found.

    Attributes:
        rows: rows to keep as evidence, those with the largest differences among them, as raw columns.
        original: what the original answers on them; NaN where it refuses a row.
        worst: the input with the largest difference, in plain values; None where nothing differs.
        n_rows: how many rows each stage asked.
        complete: whether the time sufficed for all stages.
        spread: of the original's predictions on the training rows, by which differences are measured.
    """

    rows: Table
    original: Outputs
    found: Equivalence
    worst: dict[str, Any] | None
    n_rows: dict[str, int] = field(default_factory=dict)
    complete: bool = True
    spread: float | None = None


def unheard(stage: str, n_rows: int) -> None:
    """Progress that nobody asked for."""


def search(
    original: Ask,
    package: Ask,
    columns: Mapping[str, Any],
    specs: Sequence[Column],
    tolerance: float,
    *,
    clock: Clock,
    seed: int = 0,
    thresholds: Mapping[str, NDArray[np.float64]] | None = None,
    budget: Budget = Budget(),
    progress: Callable[[str, int], None] = unheard,
) -> Search:
    """Ask both models for what they might disagree on.

    Args:
        original, package: give ``predict`` (numbers or positions of classes) and perhaps ``probability``
            for a table of raw columns; they raise where they refuse a row.
        columns: the training rows.
        thresholds: by input, raw values at which the original is known to part; their neighbours are asked.
        progress: is told how many rows of a stage were asked.

    Raises:
        InvalidInput: there are no rows.
    """
    hunt = _Hunt(
        original, package, columns, specs, tolerance=tolerance, clock=clock, seed=seed, budget=budget,
        progress=progress,
    )  # fmt: skip
    hunt.stage("edges", [probes(columns, specs, seed)], keep=True)
    hunt.stage("training", hunt.sample())
    hunt.stage("thresholds", hunt.at_thresholds(thresholds or {}), keep=True)
    hunt.stage("together", hunt.together(), keep=True)
    hunt.stage("bisection", hunt.between(), keep=True)
    return hunt.result()


def ask_each(ask: Ask, table: Mapping[str, Any], *, alone: bool = False) -> Outputs:
    """Ask for all rows, or for one after the other; where a row is refused its answers are NaN.

    A refusal of many is parted until it is known whose it is.
    """
    n_rows = len(next(iter(table.values())))
    singles = ({name: values[row : row + 1] for name, values in table.items()} for row in range(n_rows))
    parts = [part for one in (singles if alone else [table]) for part in _asked(ask, one)]
    if len(parts) == 1:
        return parts[0][1]
    known = next((outputs for _, outputs in parts if outputs), {})
    return {
        name: np.concatenate(
            [
                np.asarray(outputs[name], dtype=np.float64)
                if outputs
                else np.full((n_rows, *np.shape(values)[1:]), np.nan)
                for n_rows, outputs in parts
            ]
        )
        for name, values in known.items()
    }


def _asked(ask: Ask, table: Mapping[str, Any]) -> Iterator[tuple[int, Outputs]]:
    """Parts of the rows in their order: how many, and the answers to them; none to a row that is refused."""
    n_rows = len(next(iter(table.values())))
    try:
        outputs = dict(ask(table))
    except HeadraceError:
        if n_rows > 1:
            middle = n_rows // 2
            for part in (slice(None, middle), slice(middle, None)):
                yield from _asked(ask, {name: values[part] for name, values in table.items()})
            return
        outputs = {}
    yield n_rows, outputs


class _Hunt:
    """One search: the rows that are asked, and the worst that was found."""

    def __init__(
        self,
        original: Ask,
        package: Ask,
        columns: Mapping[str, Any],
        specs: Sequence[Column],
        *,
        tolerance: float,
        clock: Clock,
        seed: int,
        budget: Budget,
        progress: Callable[[str, int], None],
    ) -> None:
        self._original, self._package = original, package
        self._specs = [spec for spec in specs if spec.role != "ignored"]
        self._table: Table = {spec.name: np.asarray(columns[spec.name]) for spec in self._specs}
        self._tolerance = tolerance
        self._clock, self._budget, self._progress = clock, budget, progress
        self._until_s = clock.monotonic_s() + budget.duration_s
        self._random = np.random.default_rng(seed)
        self._n = len(next(iter(self._table.values())))
        self._spread: float | None = None
        self._kept: list[tuple[Table, Outputs, Outputs]] = []
        self._worst: list[tuple[float, Table, Outputs, Outputs]] = []
        self._n_rows: dict[str, int] = {}
        self._complete = True
        self._numeric = [name for name, values in self._table.items() if values.dtype.kind == "f"]
        sample = self._rows(self._random.choice(self._n, min(self._n, 5_000), replace=False))
        self._spread = spread_of(ask_each(original, sample))

    def stage(self, name: str, tables: Any, *, keep: bool = False) -> None:
        """Ask all rows of a stage; with ``keep`` some of them are evidence also where nothing differs."""
        asked = kept = 0
        for table in tables:
            n_rows = len(next(iter(table.values())))
            if not n_rows:
                continue
            self._ask(table, keep=keep and (kept < _KEPT or name == "edges"))
            asked, kept = asked + n_rows, kept + n_rows
            self._progress(name, asked)
            if self._clock.monotonic_s() > self._until_s:
                self._complete = False
                break
        self._n_rows[name] = asked

    def result(self) -> Search:
        parts = [*self._kept, *[(table, before, after) for _, table, before, after in self._worst]]
        rows = {name: np.concatenate([table[name] for table, _, _ in parts]) for name in self._table}
        original = _stacked([before for _, before, _ in parts])
        package = _stacked([after for _, _, after in parts])
        found = compare_outputs(original, package, self._tolerance, spread=self._spread)
        worst = None
        if found.worst_row is not None and found.outcome != "passed":
            worst = {name: _plain(values[found.worst_row]) for name, values in rows.items()}
        return Search(
            rows=rows,
            original=original,
            found=found,
            worst=worst,
            n_rows=self._n_rows,
            complete=self._complete,
            spread=self._spread,
        )

    def sample(self) -> Iterator[Table]:
        """The training rows, in parts."""
        order = self._random.permutation(self._n)[: 5 * self._budget.n_rows]
        for start in range(0, len(order), _CHUNK):
            yield self._rows(order[start : start + _CHUNK])

    def at_thresholds(self, thresholds: Mapping[str, NDArray[np.float64]]) -> Iterator[Table]:
        """Each threshold and its neighbours, in rows that are otherwise ordinary."""
        places = [
            (name, value)
            for name, values in thresholds.items()
            if name in self._numeric
            for value in neighbours(values).tolist()
        ]
        if not places:
            return
        chosen = self._random.permutation(len(places))
        # Rows of very many inputs are long: they are fewer, so that a stage stays a matter of seconds.
        most = min(self._budget.n_rows, max(_CHUNK, _CELLS // len(self._specs)))
        rounds = max(1, min(4, most // len(places)))
        wanted = np.tile(chosen, rounds)[:most]
        for start in range(0, len(wanted), _CHUNK):
            part = wanted[start : start + _CHUNK]
            table = self._rows(self._random.integers(0, self._n, len(part)))
            for row, index in enumerate(part.tolist()):
                name, value = places[index]
                table[name][row] = value
            yield table

    def together(self) -> Iterator[Table]:
        """Ordinary rows in which some inputs at once are at an edge, missing or never seen; of very many
        inputs, some, because each edge is asked by itself first."""
        varied = self._random.permutation(len(self._specs))[:_MOST_VARIED]
        edges = self._answered([self._specs[i] for i in varied.tolist()])
        table = self._rows(self._random.integers(0, self._n, _CHUNK))
        share = min(0.5, 3 / len(edges))
        for name, values in edges.items():
            for row in np.flatnonzero(self._random.random(_CHUNK) < share).tolist():
                if values:
                    table[name][row] = values[int(self._random.integers(len(values)))]
        yield table

    def _answered(self, specs: Sequence[Column]) -> dict[str, list[Any]]:
        """By input, the edges that the package answers by themselves: rows that are refused for one of them
        would hide the others."""
        ranked = {spec.name: enumerate(edges_of(self._table[spec.name], spec)) for spec in specs}
        edges = [(rank, name, value) for name, values in ranked.items() for rank, value in values]
        # Edges of one kind stand side by side: if one is refused, so are most of them.
        edges.sort(key=lambda edge: edge[0])
        rows = self._rows(np.zeros(len(edges), dtype=np.intp))
        for row, (_, name, value) in enumerate(edges):
            rows[name][row] = value
        answered = [bool(outputs) for n, outputs in _asked(self._package, rows) for _ in range(n)]
        kept: dict[str, list[Any]] = {spec.name: [] for spec in specs}
        for (_, name, value), is_answered in zip(edges, answered, strict=True):
            if is_answered:
                kept[name].append(value)
        return kept

    def between(self) -> Iterator[Table]:
        """By bisection: the two sides of places where the original's answer changes."""
        if not self._numeric or self._n < 2:
            return
        first = self._rows(self._random.integers(0, self._n, _PAIRS))
        second = self._rows(self._random.integers(0, self._n, _PAIRS))
        inputs = [self._numeric[i] for i in self._random.integers(0, len(self._numeric), _PAIRS)]
        low = np.array([first[name][row] for row, name in enumerate(inputs)])
        high = np.array([second[name][row] for row, name in enumerate(inputs)])
        before = _key(ask_each(self._original, self._with(first, inputs, low)))
        after = _key(ask_each(self._original, self._with(first, inputs, high)))
        parted = np.flatnonzero(
            (before != after).any(axis=1)
            & np.isfinite(low)
            & np.isfinite(high)
            & np.isfinite(before).all(axis=1)
        )
        if not len(parted):
            return
        rows = {name: values[parted] for name, values in first.items()}
        inputs = [inputs[i] for i in parted]
        low, high, before = low[parted], high[parted], before[parted]
        for _ in range(_STEPS):
            middle = low / 2 + high / 2
            if self._clock.monotonic_s() > self._until_s or ((middle == low) | (middle == high)).all():
                break
            same = (_key(ask_each(self._original, self._with(rows, inputs, middle))) == before).all(axis=1)
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        for values in (
            low,
            high,
            low.astype(np.float32),
            high.astype(np.float32),
            np.nextafter(low, -np.inf),
        ):
            yield self._with(rows, inputs, values.astype(np.float64))

    def _with(self, rows: Table, inputs: Sequence[str], values: NDArray[Any]) -> Table:
        changed = {name: column.copy() for name, column in rows.items()}
        for row, (name, value) in enumerate(zip(inputs, values.tolist(), strict=True)):
            changed[name][row] = value
        return changed

    def _rows(self, index: NDArray[Any]) -> Table:
        return {name: values[index] for name, values in self._table.items()}

    def _ask(self, table: Table, *, keep: bool) -> None:
        before, after = _numbers(ask_each(self._original, table)), _numbers(ask_each(self._package, table))
        if not before or not after:
            before, after = _both(before, after, len(next(iter(table.values()))))
        if not before:
            return
        if keep:
            self._kept.append((table, before, after))
        differences = row_differences(before, after, self._spread)
        for row in np.argsort(-differences)[:5].tolist():
            if differences[row] > 0:
                one = np.array([row])
                self._worst.append(
                    (
                        float(differences[row]),
                        {name: values[one] for name, values in table.items()},
                        {name: values[one] for name, values in before.items()},
                        {name: values[one] for name, values in after.items()},
                    )
                )
        self._worst = sorted(self._worst, key=lambda entry: -entry[0])[:_WORST]


def neighbours(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value, the next numbers below and above it, and the same of float32; sorted, each once."""
    finite = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        single = finite.astype(np.float32)
        near = [
            finite,
            np.nextafter(finite, -np.inf),
            np.nextafter(finite, np.inf),
            single,
            np.nextafter(single, np.float32(-np.inf)),
            np.nextafter(single, np.float32(np.inf)),
        ]
    every = np.unique(np.concatenate([one.astype(np.float64) for one in near]))
    numbers: NDArray[np.float64] = every[np.isfinite(every)]
    return numbers


def _key(outputs: Outputs) -> NDArray[np.float64]:
    """What tells one answer from another, ``(n_rows, k)``."""
    numbers: NDArray[np.float64] = np.asarray(
        outputs.get("probability", outputs["predict"]), dtype=np.float64
    )
    return numbers.reshape(len(numbers), -1)


def _numbers(outputs: Outputs) -> Outputs:
    return {name: np.asarray(values, dtype=np.float64) for name, values in outputs.items()}


def _both(before: Outputs, after: Outputs, n_rows: int) -> tuple[Outputs, Outputs]:
    """Where one side refuses every row: NaN in the other's form."""
    known = before or after
    nothing: Outputs = {name: np.full(np.shape(values), np.nan) for name, values in known.items()}
    if not known:
        nothing = {"predict": np.full(n_rows, np.nan)}
    return before or nothing, after or nothing


def _stacked(parts: list[Outputs]) -> Outputs:
    return {name: np.concatenate([part[name] for part in parts if name in part]) for name in parts[0]}


def _plain(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    return None if missing(np.array([value], dtype=object))[0] else plain
