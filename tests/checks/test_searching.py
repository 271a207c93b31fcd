from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headrace.checks.metrics import Outputs
from headrace.checks.searching import Budget, ask_each, search
from headrace.core.errors import UserCodeError
from headrace.core.project import Column
from headrace.testing import FakeClock


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_a_row_that_is_refused_has_no_answer_and_hides_no_other(refused: list[bool]) -> None:
    def ask(table: Any) -> Outputs:
        if table["refused"].any():
            raise UserCodeError("a row that cannot be")
        return {"predict": table["x"], "probability": np.stack([table["x"], -table["x"]], axis=1)}

    x = np.arange(len(refused), dtype=np.float64)
    answers = ask_each(ask, {"x": x, "refused": np.array(refused)})
    if all(refused):
        assert answers == {}
    else:
        wanted = np.where(refused, np.nan, x)
        np.testing.assert_array_equal(answers["predict"], wanted)
        np.testing.assert_array_equal(answers["probability"], np.stack([wanted, -wanted], axis=1))


def test_of_very_many_inputs_the_edges_that_are_refused_by_themselves_are_not_put_together() -> None:
    names = [f"x{number}" for number in range(300)]
    random = np.random.default_rng(0)
    asked: list[Any] = []
    together: list[Any] = []

    def original(table: Any) -> Outputs:
        return {"predict": np.nan_to_num(table["x0"])}

    def package(table: Any) -> Outputs:
        asked.append(table)
        if any(np.isnan(values).any() for values in table.values()):
            raise UserCodeError("a value is missing")
        return original(table)

    def progress(stage: str, n_rows: int) -> None:
        if stage == "training":
            asked.clear()
        elif stage == "together":
            together.extend(asked)

    search(
        original,
        package,
        {name: random.normal(size=80) for name in names},
        [Column(name=name, role="numeric") for name in names],
        1e-3,
        clock=FakeClock(),
        budget=Budget(n_rows=100),
        progress=progress,
    )
    *edges, last = together
    assert len(last["x0"]) == 2_000, "no row of them is refused: they are not parted"
    n_beyond = {name: int((np.abs(last[name]) > 30).sum()) for name in names}
    assert sum(n > 0 for n in n_beyond.values()) == 100, "of a hundred inputs, those far out are among them"
    assert len(edges) < 300, "each of a hundred missing values is refused, and little else asked to find out"
