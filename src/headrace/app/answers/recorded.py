"""The inputs of recorded answers in the form in which a model takes them, and what it says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.access.privacy.fields import altered_inputs
from headrace.app.composition import App
from headrace.core.errors import Conflict, InvalidInput
from headrace.data.encoding import EncodedColumn
from headrace.data.frames import take
from headrace.monitoring.ingest import as_numbers
from headrace.training.package import PackageScorer

_AT_ONCE = 20_000


def recorded_inputs(
    app: App, project: str, inputs: Sequence[EncodedColumn], columns: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """The values of a model's inputs, one array ``(n_rows,)`` each.

    Args:
        columns: inputs as their table has them, by their own names.

    Raises:
        Conflict: an input was not recorded as it came, so that no answer can be computed again.
        InvalidInput: the record has no such input.
    """
    # By the rules that answers are recorded under: a loosening that is declared may wait for approval.
    altered = sorted(
        {one.name for one in inputs} & set(altered_inputs(app.access.charters.in_force(project)))
    )
    if altered:
        raise Conflict(
            f"Input {altered[0]!r} is not recorded as it came (privacy.fields), so that no answer can be "
            "computed again."
        )
    missing = [one.name for one in inputs if one.name not in columns]
    if missing:
        raise InvalidInput(
            f"The record has no input {missing[0]!r} (has: {', '.join(list(columns)[:20])}), so that this "
            "version cannot answer again."
        )
    return {one.name: _as_taken(columns[one.name], one.kind) for one in inputs}


def answer_again(scorer: PackageScorer, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What a model says of recorded inputs, ``(n_rows,)`` each: its outputs by name, asked part by part."""
    n_rows = len(next(iter(inputs.values())))
    parts = [
        scorer.score(take(inputs, np.arange(start, min(start + _AT_ONCE, n_rows))))
        for start in range(0, n_rows, _AT_ONCE)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _as_taken(values: Any, kind: str) -> NDArray[Any]:
    """True and false are recorded as numbers, and a gap among them as NaN."""
    if kind == "text":
        return np.asarray(values)
    numbers: NDArray[Any] = np.asarray(as_numbers(values), dtype=np.float64)
    if kind != "boolean":
        return numbers
    if not np.isnan(numbers).any():
        return numbers.astype(bool)
    found = np.empty(len(numbers), dtype=object)
    found[:] = [None if np.isnan(value) else bool(value) for value in numbers]
    return found
