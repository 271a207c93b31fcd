"""Feature sets: named inputs, declared once, with a version that follows from what is declared.

What training reads of one is correct at each row's own time: a row gets the newest values that held, and were
known, at that moment, never later ones, and a row for which nothing was known stays, with nulls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.canonical import digest_of
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import Column, FeatureSpec, Owner, Project
from headrace.data.frames import Array, kind_of, n_rows, nulls, nulls_of
from headrace.store.engines import open_engine

REUSED = "project:"
"""How the source of a set begins that another project has: ``project:flights/weather``."""
OWN = "inputs"
"""The name of the set of those inputs that are in the project's own table."""


@dataclass(frozen=True, kw_only=True)
class FeatureSet:
    """Inputs of one table.

    Attributes:
        name: with its project, such as ``flights/weather``.
        columns: name, type (``role``) and description (``why``) of each.
        key: column that names the entity; None where none is declared.
        time: column that says since when values hold; ``known``: when they came to be known.
    """

    name: str
    columns: tuple[Column, ...]
    owner: Owner
    source: str
    key: str | None = None
    time: str | None = None
    known: str | None = None
    documentation: str = ""

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits that follow from all that values depend on.

        Whom to ask and what is said about it may change without another version.
        """
        read = [(column.name, column.role) for column in self.columns]
        return digest_of([self.name, read, self.source, self.key, self.time, self.known])[:12]

    @property
    def ref(self) -> str:
        """Name and version, such as ``flights/weather@0f3c5ab19d27``."""
        return f"{self.name}@{self.version}"


def feature_sets(project: Project, inputs: Sequence[Column]) -> list[FeatureSet]:
    """The sets that a project's inputs come from, its own table first.

    Args:
        inputs: all of the model's inputs, those that are computed included.

    Example::

        [one.ref for one in feature_sets(project, input_columns(project))]
    """
    data = project.data
    elsewhere = {name for spec in data.features for name in spec.columns}
    own = FeatureSet(
        name=f"{project.name}/{OWN}",
        columns=tuple(column for column in inputs if column.name not in elsewhere),
        owner=project.owner,
        source=data.source,
        key=data.key,
        time=data.time,
        documentation=data.documentation,
    )
    others = [
        FeatureSet(
            name=f"{project.name}/{spec.name}",
            columns=tuple(column for column in inputs if column.name in spec.columns),
            owner=spec.owner or project.owner,
            source=spec.source,
            key=spec.key,
            time=spec.time,
            known=spec.known,
            documentation=spec.documentation,
        )
        for spec in data.features
    ]
    return [own, *others]


def with_features(
    columns: Columns, time: str, specs: Sequence[tuple[FeatureSpec, Columns]]
) -> dict[str, Array]:
    """The project's own rows with the columns of each set, as they were at each row's time.

    Args:
        time: column of ``columns`` that says when a row happened.
        specs: each set with all rows of its table.

    Raises:
        InvalidInput: a column is missing or there twice, or a key or time is not of the same kind in both.
    """
    joined = dict(columns)
    for spec, table in specs:
        _check(columns, time, spec, table)
        at = as_of(
            columns[spec.key],
            columns[time],
            table[spec.key],
            table[spec.time],
            None if spec.known is None else table[spec.known],
        )
        for name in spec.columns:
            if name in joined:
                raise InvalidInput(
                    f"Column {name!r} of the feature set {spec.name!r} is in another table too. Each input "
                    "comes from one table: take it out of one of them, or rename it."
                )
            joined[name] = _picked(table[name], at)
    return joined


def as_of(
    keys: Array, times: Array, of_keys: Array, since: Array, known: Array | None = None
) -> NDArray[np.int64]:
    """For each row, the position of the newest values of its entity that held and were known at its time.

    Of values since the same moment those count that became known last, and of these the last one. ``-1``:
    there were none, or the row has no key or time.

    Args:
        keys, times: of the rows, ``(n_rows,)``.
        of_keys, since, known: of the values, ``(n_values,)``; known since they held unless that is given.

    >>> day = np.array(["2026-01-01", "2026-01-03"], dtype="datetime64[us]")
    >>> one = np.array(["a", "a"], dtype=object)
    >>> as_of(one, day, one, day + np.timedelta64(1, "D")).tolist()
    [-1, 0]
    """
    there = ~(nulls(of_keys) | nulls(since))
    if known is not None:
        there &= ~nulls(known)
    offered = np.flatnonzero(there)
    order = offered[np.lexsort((since[offered] if known is None else known[offered], since[offered]))]
    visible = since[order] if known is None else np.maximum(since, known)[order]
    with open_engine() as engine:
        engine.register("asked", {"row": np.arange(len(keys)), "key": keys, "at": times})
        engine.register("offered", {"key": of_keys[order], "visible": visible, "rank": np.arange(len(order))})
        # A value that came late must not hide one that is newer: at each moment the best so far counts.
        found = engine.execute(
            "SELECT coalesce(best, -1) AS best FROM asked ASOF LEFT JOIN ("
            "  SELECT DISTINCT key, visible, max(rank) OVER (PARTITION BY key ORDER BY visible) AS best"
            "  FROM offered"
            ") AS offered ON asked.key = offered.key AND asked.at >= offered.visible ORDER BY row"
        ).fetchnumpy()["best"]
    best = np.asarray(found, dtype=np.int64)
    best[nulls(keys) | nulls(times)] = -1
    return np.append(order, -1)[best]


def _picked(values: Array, at: NDArray[np.int64]) -> Array:
    if (at >= 0).all():
        return values[at]
    return np.concatenate([values, nulls_of(kind_of(values), 1)])[at]


def _check(columns: Columns, time: str, spec: FeatureSpec, table: Columns) -> None:
    needed = (*spec.columns, spec.key, spec.time, *([] if spec.known is None else [spec.known]))
    for name, owned, what in (
        *((name, table, f"{spec.source} of the feature set {spec.name!r}") for name in needed),
        (spec.key, columns, f"The project's own table, which the feature set {spec.name!r} is joined to,"),
        (time, columns, "The project's own table"),
    ):
        if name not in owned:
            raise InvalidInput(
                f"{what} has no column {name!r} (has: {', '.join(owned)[:500]}). "
                "Mend data.features in headrace.yaml or the file."
            )
    ours, theirs = kind_of(columns[spec.key]), kind_of(table[spec.key])
    if ours != theirs and n_rows(table):
        raise InvalidInput(
            f"The key {spec.key!r} of the feature set {spec.name!r} is a {theirs}, and in the project's own "
            f"table a {ours}. Expected the same kind in both, or no row would find its values."
        )
    moments = [(time, columns[time]), *((name, table[name]) for name in (spec.time, spec.known) if name)]
    for name, values in moments:
        if kind_of(values) != "time":
            raise InvalidInput(
                f"Column {name!r}, by which the feature set {spec.name!r} is joined, is a {kind_of(values)}. "
                "Expected dates or times, such as 2026-01-31."
            )
