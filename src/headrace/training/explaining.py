"""Why a packaged model answered a row as it did: what each raw column contributed.

What is explained is the package, which is what answers; see :mod:`headrace.training.shapley` for the game.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InternalError, InvalidInput
from headrace.core.ports import Columns
from headrace.core.record import Contributions, Explanation, Method, Scale
from headrace.data.frames import as_column, n_rows
from headrace.training.archives import unpack_files
from headrace.training.graphs import Linear, read_graph
from headrace.training.mixing import Mixed, as_given, explained_class
from headrace.training.package import PackageScorer
from headrace.training.shapley import Shares, TreeShares, all_subsets, linear_shares, sampled
from headrace.training.tree_paths import TreePaths
from headrace.training.trees import Link, Trees

BACKGROUND_ROWS = 100
_ASKED_ROWS = 50
"""Rows of the background where every mixed row is asked of the model."""
_MOST_CELLS = 400_000_000
_INLINE_ROWS, _APART_ROWS = 60_000, 15_000
"""How many mixed rows one explanation may ask: of a model in this process, and in another one."""
_PASSES = 8
_CLOSE = 1e-6


class Explainer:
    """Explains rows of one package. Safe to call from several threads.

    Args:
        package: the same that ``scorer`` was loaded from.
        background: raw training rows, of which as many as the model's size allows are used, from the start.

    Attributes:
        row_cells: conditions of trees that one row is held against; some 10^8 take a second. 0 of others.

    Raises:
        InvalidInput: there is no background.

    Example::

        explainer = Explainer(path, scorer, take(rows.columns, rows.train[:100]))
        explainer.explain({"year": [2017.0], "fuel": ["Petrol"]}).rows[0].contributions
    """

    def __init__(self, package: bytes | Path, scorer: PackageScorer, background: Columns) -> None:
        self._scorer = scorer
        self._names = scorer.encoding.columns
        self._prepared = scorer.prepared
        if not n_rows({name: background[name] for name in self._names}):
            raise InvalidInput(
                "No training row is left to compare with, so that nothing can be explained. Retrain on data "
                "that is kept."
            )
        graph = None
        if self._prepared is not None and scorer.info.engine == "onnx":
            data = package if isinstance(package, bytes) else package.read_bytes()
            graph = read_graph(unpack_files(data, "The package")["model.onnx"])
        self._link: Link = "identity" if graph is None else graph.link
        self._graph: TreeShares | Linear | None = graph if isinstance(graph, Linear) else None
        self.method: Method = "linear" if graph is not None else "sampled"
        self._paths: TreePaths | None = None
        used = BACKGROUND_ROWS if graph is not None else _ASKED_ROWS
        if self._prepared is not None and graph is not None:
            self._column_of = self._prepared.column_of()
            if isinstance(graph, Trees):
                self._graph, self.method = TreeShares(graph, self._column_of), "trees"
                self._paths = TreePaths(scorer, self._prepared, graph, self._graph, self._column_of)
                used = max(10, min(used, _MOST_CELLS // max(1, self._graph.n_cells)))
        self._background = {name: as_column(background[name], name)[:used] for name in self._names}
        self.background_rows = n_rows(self._background)
        self.row_cells = self.background_rows * (
            self._graph.n_cells if isinstance(self._graph, TreeShares) else 0
        )
        if self._prepared is not None and graph is not None:
            self._numbers = self._prepared.prepare(self._background)
        elif 2 ** len(self._names) * self.background_rows <= self._most_rows:
            self.method = "all_subsets"

    @property
    def scale(self) -> Scale:
        """What the contributions add up to."""
        if self._link == "identity":
            return "output" if self._scorer.classes is None else "probability"
        return "log" if self._link == "exp" else "log_odds"

    def explain(self, columns: Mapping[str, Any]) -> Explanation:
        """Explain rows.

        Args:
            columns: by name a sequence or array of values for each of the model's inputs, ``None`` or NaN
                where one is missing; others are left aside.

        Raises:
            InvalidInput: an input is missing, or the model takes no such value.
            InternalError: the contributions do not add up to what the model answers.
        """
        rows = {
            column.name: as_given(columns.get(column.name), column) for column in self._scorer.encoding.inputs
        }
        answers = self._scorer.score(rows)
        classes = self._scorer.classes
        found = []
        for index in range(n_rows(rows)):
            row = {name: values[index : index + 1] for name, values in rows.items()}
            place = None if classes is None else explained_class(answers["probability"][index])
            shares = self._shares(row, place)
            output = 0 if place is None or shares.shares.shape[1] == 1 else place
            value = float(shares.base[output] + shares.shares[:, output].sum())
            answered = answers["predict"] if place is None else answers["probability"][:, place]
            self._check(value, shares, place, float(answered[index]))
            errors = shares.errors
            found.append(
                Contributions(
                    of=None if classes is None or place is None else classes[place],
                    base=float(shares.base[output]),
                    value=value,
                    contributions=self._by_name(shares.shares[:, output]),
                    standard_errors=None if errors is None else self._by_name(errors[:, output]),
                    confidence=None if place is None else float(answers["probability"][index].max()),
                    path=None if self._paths is None else self._paths.of_row(row),
                )
            )
        return Explanation(
            method=self.method, scale=self.scale, background_rows=self.background_rows, rows=found
        )

    @property
    def _most_rows(self) -> int:
        return _INLINE_ROWS if self._scorer.inline else _APART_ROWS

    def _shares(self, row: Columns, place: int | None) -> Shares:
        if self._prepared is not None and self._graph is not None:
            numbers = self._prepared.prepare(row)[0]
            if isinstance(self._graph, Linear):
                return linear_shares(self._graph, self._column_of, numbers, self._numbers)
            return self._graph.of_row(numbers, self._numbers)
        worth = Mixed(self._scorer, row, self._background, place)
        n_columns, n_background = len(self._names), self.background_rows
        if self.method == "all_subsets":
            return all_subsets(worth, n_columns, n_background)
        passes = max(2, min(_PASSES, self._most_rows // (2 * n_background * (n_columns + 1))))
        # The same question gets the same answer.
        return sampled(worth, n_columns, n_background, passes=passes, random=np.random.default_rng(0))

    def _check(self, value: float, shares: Shares, place: int | None, answered: float) -> None:
        """Whether the contributions add up to the answer."""
        if self._link == "softmax":
            sums = shares.base + shares.shares.sum(axis=0)
            powers = np.exp(sums - sums.max())
            expected = float(powers[place or 0] / powers.sum())
        elif self._link == "sigmoid":
            expected = 1 / (1 + exp(-value)) if value > -700 else 0.0
            expected = expected if place == 1 or self._scorer.classes is None else 1 - expected
        else:
            expected = exp(value) if self._link == "exp" else value
        if abs(expected - answered) > _CLOSE * max(1.0, abs(answered)):
            raise InternalError(
                f"The contributions add up to {expected:g}, but the model answers {answered:g}, so that they "
                "explain nothing. Report this with the release's id."
            )

    def _by_name(self, values: NDArray[np.float64]) -> dict[str, float]:
        padded = np.zeros(len(self._names))
        padded[: len(values)] = values
        return dict(zip(self._names, padded.tolist(), strict=True))
