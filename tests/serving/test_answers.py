"""What is no answer is a failure of its release, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from headrace.core.clock import SystemClock
from headrace.core.errors import ModelFailed
from headrace.core.ports import Columns
from headrace.serving.answers import check_row, check_rows
from headrace.serving.models import LoadedModels
from headrace.serving.scoring import score
from headrace.testing.clock import FakeClock
from tests.serving.scene import ROW, ROWS, StubModel

ROW_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "nan": ({"predict": float("nan")}, "not a number: output 'predict' is nan"),
    "infinite": ({"predict": float("-inf")}, "infinite: output 'predict' is -inf"),
    "none": ({"predict": None}, "wrong type: output 'predict' holds a NoneType"),
    "object": ({"predict": object()}, "wrong type: output 'predict' holds a object"),
    "nested": ({"predict": [[1.0]]}, "wrong type: output 'predict' holds a list"),
    "nan among": ({"predict": "a", "probability": [0.5, float("nan")]}, "not a number: output 'probability'"),
    "absent": ({"other": 1.0}, r"wrong shape: the model gave no output 'predict' \(gave: other\)"),
}
TABLE_FAULTS: dict[str, tuple[Any, str]] = {
    "nan": (np.array([1.0, np.nan, 2.0]), "not a number: output 'predict' is nan"),
    "infinite": (np.array([1.0, np.inf, 2.0]), "infinite: output 'predict' is inf"),
    "short": (np.zeros(2), r"wrong shape: output 'predict' has shape \(2,\) for 3 rows"),
    "deep": (np.zeros((3, 1, 1)), r"wrong shape: output 'predict' has shape \(3, 1, 1\)"),
    "scalar": (np.float64(1.0), r"wrong shape: output 'predict' has shape \(\)"),
    "complex": (np.zeros(3, dtype=complex), "wrong type: output 'predict' holds complex128"),
    "objects": (np.array([1.0, None, "a"], dtype=object), "wrong type: output 'predict' holds a NoneType"),
}


@pytest.mark.parametrize("fault", ROW_FAULTS)
def test_the_answer_to_a_row_that_is_none_is_named(fault: str) -> None:
    answer, message = ROW_FAULTS[fault]
    with pytest.raises(ModelFailed, match=message):
        check_row(answer, [name for name in ("predict", "probability") if name in answer] or ["predict"])


@pytest.mark.parametrize("fault", TABLE_FAULTS)
def test_the_answer_to_a_table_that_is_none_is_named(fault: str) -> None:
    values, message = TABLE_FAULTS[fault]
    with pytest.raises(ModelFailed, match=message):
        check_rows({"predict": values}, ["predict"], 3)


def test_numbers_labels_and_probabilities_are_answers() -> None:
    for value in (1.5, 3, True, "audi", np.float64(1.5)):
        check_row({"predict": value}, ["predict"])
    check_row({"predict": "audi", "probability": [0.25, 0.75]}, ["predict", "probability"])
    check_rows({"predict": np.zeros(2), "probability": np.zeros((2, 3))}, ["predict", "probability"], 2)
    for values in (
        np.zeros(2),
        np.array(["a", "b"], dtype=object),
        np.array([True, False]),
    ):
        check_rows({"predict": values}, ["predict"], 2)


class Faulty(StubModel):
    """Gives what it is told to."""

    def __init__(self, row: Any, table: Any) -> None:
        super().__init__()
        self._given = row, table

    def score_row(self, values: Sequence[Any]) -> Mapping[str, Any]:
        return {"predict": self._given[0]}

    def score(self, columns: Columns) -> dict[str, Any]:
        return {"predict": self._given[1]}


def test_scoring_lets_none_of_them_pass() -> None:
    models = LoadedModels({"r1": Faulty(float("nan"), np.zeros(2))}.__getitem__, FakeClock())
    for rows, n_rows, message in ((ROW, 1, "not a number"), (ROWS, 3, "wrong shape")):
        with pytest.raises(ModelFailed, match=message):
            score(models.get("r1"), rows, n_rows, SystemClock())
