"""Many rows at once, where one that cannot be answered does not keep the others from their answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headrace.core.errors import InvalidInput, Unavailable
from headrace.core.ports import Clock
from headrace.serving.inputs import Values
from headrace.serving.models import LoadedModel
from headrace.serving.scoring import Scored, score


@dataclass(kw_only=True)
class Answered:
    """What a model made of many rows.

    Attributes:
        rows: places of the rows that were answered, in order.
        columns: the model's inputs of those rows, as they are recorded.
        outputs: output name to one value for each of those rows.
        refused: by place of a row, why it was not answered; it may hold the row's values.
        unseen: inputs that hold a category which training never saw.
    """

    rows: list[int] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    outputs: dict[str, list[Any]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)
    prepare_ms: float = 0.0
    infer_ms: float = 0.0

    def add(self, start: int, n_rows: int, scored: Scored) -> None:
        """Take up the answers to the ``n_rows`` rows from ``start`` on."""
        self.rows += range(start, start + n_rows)
        for kept, added in ((self.columns, scored.columns), (self.outputs, scored.outputs)):
            for name, values in added.items():
                kept.setdefault(name, []).extend(values)
        self.unseen.update(scored.unseen or ())
        self.prepare_ms += scored.prepare_ms
        self.infer_ms += scored.infer_ms


def score_each(
    loaded: LoadedModel, values: Values, n_rows: int, clock: Clock, *, most_refused: int
) -> Answered:
    """Answer the rows that can be answered, together; those that cannot are found by halving.

    Args:
        most_refused: how many rows may be refused before the search for more of them ends.

    Raises:
        InvalidInput: more rows are refused.
        Unavailable: the model cannot answer now.

    Example::

        answered = score_each(loaded, {"mileage": [1.0, "many"]}, 2, clock, most_refused=1)
        (
            answered.rows,
            answered.refused,
        )  # [0], {1: "Input 'mileage': got 'many'. Expected a finite number..."}
    """
    answered = Answered()
    waiting = [(0, n_rows)]
    while waiting:
        start, end = waiting.pop()
        part = {name: column[start:end] for name, column in values.items()}
        try:
            answered.add(start, end - start, score(loaded, part, end - start, clock))
        except Unavailable:
            raise
        except Exception as error:
            # Boundary: a model is user code, and what it raises for one row is said of that row.
            if end - start > 1:
                middle = (start + end) // 2
                waiting += [(middle, end), (start, middle)]
                continue
            answered.refused[start] = _reason(error)
            if len(answered.refused) > most_refused:
                raise InvalidInput(
                    f"More than {most_refused} of {n_rows} rows cannot be answered. The last one: "
                    f"{answered.refused[start]}"
                ) from error
    return answered


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidInput):
        return str(error).replace(", row 0:", ":").replace(", row 0 is", " is")
    return f"The model could not answer this row: {type(error).__name__}: {error}"
