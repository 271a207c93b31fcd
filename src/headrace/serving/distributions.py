"""How what is asked and answered is distributed, by release: counted as it passes, in the bins of training.

The bins of a release never change, so counts of several processes add up to those of all.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from headrace.checks.columns import label
from headrace.checks.profiles import OTHER, FeatureProfile, NumericProfile
from headrace.serving.models import LoadedModels

_log = logging.getLogger(__name__)
FOLD_ROWS = 256
"""So many rows are counted at once, on the way, in about 0.1 ms. Longer requests wait for the background."""
MAX_WAITING_ROWS = 100_000
"""More are not kept waiting: they are counted on the way too."""


class Reference(NamedTuple):
    """What a release was trained on: profiles of its inputs by name, and of its predictions."""

    inputs: Mapping[str, FeatureProfile]
    predictions: FeatureProfile | None


class Distribution(NamedTuple):
    """Values of one input, or of the predictions, since this process started.

    Attributes:
        kind: ``input`` or ``prediction``.
        edges: of numbers, ascending; bin ``i`` holds ``(edges[i - 1], edges[i]]``. Empty for categories.
        counts: rows by bin, one more than there are edges; empty for categories.
        categories: rows by category that training saw; all others together are ``(other)``.
        missing: rows without a value.
        total: sum of the numbers.
    """

    name: str
    kind: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    categories: dict[str, int]
    missing: int
    total: float

    @property
    def n_rows(self) -> int:
        """Rows, those without a value included."""
        return sum(self.counts) + sum(self.categories.values()) + self.missing


class Distributions:
    """Counts rows of releases that routes name.

    Args:
        reference_of: release id to what it was trained on; asked once per release, in the background.

    Example::

        distributions.keep(routes.release_ids())  # now and then, in a thread
        distributions.note_rows("r1", [[15735.0, "a4"]], [16350.2])  # for each answer: two appends
        distributions.all()["r1"]
    """

    def __init__(self, reference_of: Callable[[str], Reference], models: LoadedModels) -> None:
        self._reference_of = reference_of
        self._models = models
        self._counted: dict[str, _Counted | None] = {}

    def keep(self, release_ids: Collection[str]) -> None:
        """Get ready for what routes name, forget everything else, and count long requests; may block.

        A release whose model is not in memory yet is looked at the next time. One without a readable
        profile is not counted, which the log says once.
        """
        counted = dict(self._counted)
        for release_id in release_ids:
            loaded = self._models.find(release_id)
            if release_id in counted or loaded is None:
                continue
            counted[release_id] = None
            try:
                names = [name for name, _ in loaded.kinds]
                counted[release_id] = _Counted(names, self._reference_of(release_id))
            except Exception:  # noqa: BLE001
                # Boundary: a baseline may be damaged, and answers do not depend on it.
                _log.exception("Values of release %s are not counted: its profile cannot be read", release_id)
        self._counted = {name: counted[name] for name in counted if name in release_ids}
        for one in self._counted.values():
            if one is not None:
                one.fold_tables()

    def note(
        self,
        release_id: str,
        columns: Mapping[str, Sequence[Any]],
        outputs: Mapping[str, Sequence[Any]],
        n_rows: int,
    ) -> None:
        """An answer as it is logged: by name, before any privacy rule; nothing of it is kept but counts."""
        counted = self._counted.get(release_id)
        if counted is not None:
            gap = [None] * n_rows
            table = [columns.get(name, gap) for name in counted.names]
            predictions = next(iter(outputs.values()), gap)
            if n_rows < FOLD_ROWS:
                counted.add(list(zip(*table, strict=True)), predictions)
            else:
                counted.add_table(table, predictions, n_rows)

    def note_rows(self, release_id: str, rows: Sequence[Sequence[Any]], predictions: Sequence[Any]) -> None:
        """Answered rows, their values in the model's order, and what was predicted for each."""
        counted = self._counted.get(release_id)
        if counted is not None:
            counted.add(rows, predictions)

    def fold(self) -> None:
        """Count what waits."""
        for counted in self._counted.values():
            if counted is not None:
                counted.fold()

    def all(self) -> dict[str, list[Distribution]]:
        """Everything that was counted so far, by release."""
        self.fold()
        return {name: counted.found() for name, counted in self._counted.items() if counted is not None}


class _Counted:
    """The counts of one release. Rows wait in plain lists until enough have come for one pass of numpy."""

    def __init__(self, names: Sequence[str], reference: Reference) -> None:
        self.names = names
        self._inputs = [
            (place, _column(name, "input", reference.inputs[name]))
            for place, name in enumerate(names)
            if name in reference.inputs
        ]
        profile = reference.predictions
        self._prediction = None if profile is None else _column("prediction", "prediction", profile)
        self._adding = threading.Lock()
        self._folding = threading.Lock()
        self._rows: list[Sequence[Any]] = []
        self._predictions: list[Any] = []
        self._tables: list[tuple[Sequence[Sequence[Any]], Sequence[Any]]] = []
        self._n_in_tables = 0

    def add(self, rows: Sequence[Sequence[Any]], predictions: Sequence[Any]) -> None:
        with self._adding:
            self._rows.extend(rows)
            self._predictions.extend(predictions)
            n_waiting = len(self._rows)
        if n_waiting >= FOLD_ROWS:
            self._fold_rows()

    def add_table(self, table: Sequence[Sequence[Any]], predictions: Sequence[Any], n_rows: int) -> None:
        with self._adding:
            self._tables.append((table, predictions))
            self._n_in_tables += n_rows
            n_waiting = self._n_in_tables
        if n_waiting > MAX_WAITING_ROWS:
            self.fold_tables()

    def fold(self) -> None:
        self.fold_tables()
        self._fold_rows()

    def fold_tables(self) -> None:
        """Not the rows: they are fewer than one pass is worth, and a hundred releases may have some."""
        with self._adding:
            tables, self._tables, self._n_in_tables = self._tables, [], 0
        for table, predictions in tables:
            self._count(table, predictions)

    def _fold_rows(self) -> None:
        with self._adding:
            rows, self._rows = self._rows, []
            predictions, self._predictions = self._predictions, []
        if rows:
            self._count(list(zip(*rows, strict=True)), predictions)

    def _count(self, table: Sequence[Sequence[Any]], predictions: Sequence[Any]) -> None:
        # Under a lock, because the event loop and the background may both count. It is held for one pass:
        # a long table in the background would keep the loop waiting, so that is counted in pieces.
        for start in range(0, len(predictions), FOLD_ROWS):
            piece = slice(start, start + FOLD_ROWS)
            with self._folding:
                for place, column in self._inputs:
                    column.count(table[place][piece])
                if self._prediction is not None:
                    self._prediction.count(predictions[piece])

    def found(self) -> list[Distribution]:
        with self._folding:
            found = [column.found() for _, column in self._inputs]
            return found if self._prediction is None else [*found, self._prediction.found()]


class _Numbers:
    def __init__(self, name: str, kind: str, profile: NumericProfile) -> None:
        self._name = name
        self._kind = kind
        self._edges = np.array(profile.edges, dtype=np.float64)
        self._counts = np.zeros(len(profile.edges) + 1, dtype=np.int64)
        self._missing = 0
        self._total = 0.0

    def count(self, values: Sequence[Any]) -> None:
        try:
            numbers = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            numbers = np.empty(0)
        if numbers.shape != (len(values),):
            # Such as several numbers for a row: no place in the bins of single ones.
            numbers = np.full(len(values), np.nan)
        total = float(numbers.sum())
        if total != total:  # noqa: PLR0124 - NaN differs from itself
            known = numbers[~np.isnan(numbers)]
            self._missing += numbers.size - known.size
            numbers, total = known, float(known.sum())
        # Which bin is in, as the profile counts; said again because this is all that a row costs.
        self._counts += np.bincount(self._edges.searchsorted(numbers), minlength=len(self._counts))
        self._total += total

    def found(self) -> Distribution:
        edges, counts = tuple(self._edges.tolist()), tuple(self._counts.tolist())
        return Distribution(self._name, self._kind, edges, counts, {}, self._missing, self._total)


class _Categories:
    def __init__(self, name: str, kind: str, known: Collection[str]) -> None:
        self._name = name
        self._kind = kind
        self._known = frozenset(known)
        self._counts = {**dict.fromkeys(known, 0), OTHER: 0}
        self._missing = 0

    def count(self, values: Sequence[Any]) -> None:
        try:
            found = Counter(values)
        except TypeError:  # several values for a row
            found = Counter(map(str, values))
        for value, count in found.items():
            name = label(value)
            if name is None:
                self._missing += count
            else:
                self._counts[name if name in self._known else OTHER] += count

    def found(self) -> Distribution:
        return Distribution(self._name, self._kind, (), (), dict(self._counts), self._missing, 0.0)


def _column(name: str, kind: str, profile: FeatureProfile) -> _Numbers | _Categories:
    if isinstance(profile, NumericProfile):
        return _Numbers(name, kind, profile)
    return _Categories(name, kind, profile.counts)
