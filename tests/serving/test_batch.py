from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput, Unavailable
from headrace.core.ports import Columns
from headrace.serving.batch import score_each
from headrace.serving.models import LoadedModel, LoadedModels
from headrace.serving.table_values import fitting_values, plain_values
from headrace.testing.clock import FakeClock
from tests.serving.scene import Classifier, StubModel

UNLUCKY = 13


class _Fussy(StubModel):
    """Raises where a mileage is 13, and cannot answer at all above 1000."""

    def score(self, columns: Columns) -> dict[str, Any]:
        for value in columns["mileage"]:
            if value is not None and value > 1000:
                raise Unavailable("The worker of this model hangs.")
            if value == UNLUCKY:
                raise ValueError("thirteen")
        return super().score(columns)


def _loaded(model: StubModel) -> LoadedModel:
    return LoadedModels(lambda _: model, FakeClock()).get("r-1")


def _rows(mileage: list[Any]) -> dict[str, list[Any]]:
    return {"mileage": mileage, "model": ["a3"] * len(mileage), "leased": [None] * len(mileage)}


@given(st.lists(st.sampled_from([1.0, 2.5, None, "many", UNLUCKY]), min_size=1, max_size=40))
def test_each_row_is_answered_or_refused_with_its_reason(mileage: list[Any]) -> None:
    answered = score_each(_loaded(_Fussy()), _rows(mileage), len(mileage), FakeClock(), most_refused=40)
    good = [place for place, value in enumerate(mileage) if value not in ("many", UNLUCKY)]
    assert answered.rows == good
    assert answered.outputs.get("predict", []) == [float(mileage[place] or 0.0) for place in good]
    assert all(len(column) == len(good) for column in answered.columns.values())
    assert sorted([*answered.rows, *answered.refused]) == list(range(len(mileage)))
    for place, reason in answered.refused.items():
        expected = (
            "Input 'mileage': got 'many'. Expected" if mileage[place] == "many" else "ValueError: thirteen"
        )
        assert expected in reason


def test_a_search_ends_when_too_many_are_refused() -> None:
    with pytest.raises(InvalidInput, match="More than 2 of 5 rows cannot be answered"):
        score_each(_loaded(StubModel()), _rows(["x"] * 5), 5, FakeClock(), most_refused=2)


def test_what_cannot_answer_now_refuses_no_row() -> None:
    with pytest.raises(Unavailable, match="hangs"):
        score_each(_loaded(_Fussy()), _rows([1.0, 2000.0]), 2, FakeClock(), most_refused=2)


def test_categories_that_training_never_saw_are_told_once() -> None:
    rows: dict[str, list[Any]] = {
        "mileage": [1.0, "x", 99.0],
        "model": ["new", "a3", "newer"],
        "leased": [True, None, False],
    }
    answered = score_each(_loaded(Classifier("no", "yes")), rows, 3, FakeClock(), most_refused=1)
    assert answered.unseen == {"model"}
    assert answered.outputs == {"predict": ["no", "yes"], "probability": [0.01, 0.99]}


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        (["12.5", "-3", "1e3", "007", "x", None], "number", [12.5, -3.0, 1000.0, "007", "x", None]),
        (["True", "false", "maybe", None], "boolean", [True, False, "maybe", None]),
        ([7.0, 7.5, np.nan], "text", ["7", "7.5", None]),
        ([1.0, 0.0, 2.0, np.nan], "boolean", [True, False, 2.0, None]),
        (["a3", None], "text", ["a3", None]),
    ],
)
def test_a_cell_that_can_be_what_is_expected_is_that(
    column: list[Any], kind: str, expected: list[Any]
) -> None:
    given_ = np.array(column, dtype=object if any(isinstance(v, str) for v in column) else float)
    assert fitting_values("x", given_, kind) == expected


def test_times_and_text_that_has_no_form() -> None:
    assert plain_values("t", np.array(["2026-01-31T08:00", "NaT"], dtype="datetime64[us]"), "time") == [
        "2026-01-31T08:00:00.000000Z",
        None,
    ]
    with pytest.raises(InvalidInput, match="UTF-8 has no form for"):
        plain_values("x", np.array(["\ud800"], dtype=object), "text")
