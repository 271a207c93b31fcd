from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from headrace.checks.equivalence import NEVER_SEEN, compare_outputs, probes
from headrace.core.canonical import canonical_json
from headrace.core.errors import InvalidInput
from headrace.core.project import Column

PREDICTED = np.random.default_rng(0).normal(100, 10, 400)


def words(*values: Any) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def compare(original: Any, package: Any, tolerance: float = 1e-3) -> Any:
    found = compare_outputs(original, package, tolerance)
    canonical_json(asdict(found))
    return found


def test_equal_answers_pass() -> None:
    found = compare({"predict": PREDICTED}, {"predict": PREDICTED + 1e-6})
    assert (found.outcome, found.n_rows) == ("passed", 400)
    assert found.max_difference == pytest.approx(
        1e-6 / np.subtract(*np.quantile(PREDICTED, [0.75, 0.25])), rel=0.02
    )


def test_one_row_that_differs_fails_and_is_named() -> None:
    other = PREDICTED.copy()
    other[17] += 1
    found = compare({"predict": PREDICTED}, {"predict": other})
    assert (found.outcome, found.worst_row) == ("failed", 17)
    assert compare({"predict": PREDICTED}, {"predict": other}, tolerance=0.2).outcome == "passed"


@given(hnp.arrays(np.float64, 30, elements=st.floats(width=64)))
def test_a_model_equals_itself(predicted: NDArray[Any]) -> None:
    assert compare({"predict": predicted}, {"predict": predicted.copy()}, 0.0).outcome == "passed"


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_number_in_one_of_the_two_only_fails(odd: float) -> None:
    other = PREDICTED.copy()
    other[3] = odd
    for first, second in ((PREDICTED, other), (other, PREDICTED)):
        found = compare({"predict": first}, {"predict": second})
        assert (found.outcome, found.max_difference, found.worst_row) == ("failed", None, 3)


def test_constant_models() -> None:
    constant = np.full(10, 5.0)
    assert compare({"predict": constant}, {"predict": constant + 1e-6}).outcome == "passed"
    assert compare({"predict": constant}, {"predict": constant + 1}).outcome == "failed"


def test_probabilities_and_labels() -> None:
    probability = np.array([[0.9, 0.1], [0.50001, 0.49999], [0.2, 0.8]])
    original = {"predict": words("a", "a", "b"), "probability": probability}
    near = {"predict": words("a", "b", "b"), "probability": probability[:, ::-1][:, ::-1] + [[1e-5, -1e-5]]}
    assert compare(original, near).outcome == "passed"
    wrong = compare(original, {**near, "predict": words("b", "b", "b")})
    assert (wrong.outcome, wrong.n_labels_differ) == ("failed", 1)
    assert "another label" in wrong.reason
    moved = probability + np.array([0.01, -0.01])
    far = compare(original, {**original, "probability": moved})
    assert (far.outcome, far.max_difference) == ("failed", pytest.approx(0.01))
    assert compare({"predict": words("a", "b")}, {"predict": words("a", "b")}).outcome == "passed"
    assert compare({"predict": words("a", "b")}, {"predict": words("a", "c")}).outcome == "failed"


def test_nothing_to_compare_is_an_error_not_a_verdict() -> None:
    assert compare({"predict": np.empty(0)}, {"predict": np.empty(0)}).outcome == "error"
    assert compare({}, {"predict": PREDICTED}).outcome == "error"
    found = compare({"predict": PREDICTED}, {"predict": PREDICTED[:5]})
    assert (found.outcome, found.reason) == (
        "failed",
        "output 'predict' has shape (5,) in the package and (400,) in the original",
    )


SPECS = [
    Column(name="km", role="numeric"),
    Column(name="fuel", role="categorical"),
    Column(name="new", role="categorical"),
    Column(name="doors", role="categorical"),
    Column(name="id", role="ignored"),
]
CARS = {
    "km": np.array([10.0, 20.0, 30.0, np.nan, np.inf]),
    "fuel": words("Petrol", "Petrol", "Diesel", None, "Petrol"),
    "new": np.array([True, False, True, True, True]),
    "doors": np.array([3.0, 5.0, 5.0, np.nan, 5.0]),
    "id": words("a", "b", "c", "d", "e"),
}


def test_probes_go_to_the_boundaries_and_beyond() -> None:
    made = probes(CARS, SPECS, seed=0)
    assert list(made) == ["km", "fuel", "new", "doors"]
    assert len({len(values) for values in made.values()}) == 1
    km = made["km"].tolist()
    assert {10.0, 30.0, 20.0, -190.0, 230.0, 0.0} <= set(km)
    assert np.isnan(made["km"]).any()
    assert {NEVER_SEEN, None, "Petrol", "Diesel"} <= set(made["fuel"].tolist())
    assert made["new"].dtype == bool
    assert set(made["new"].tolist()) == {True, False}
    typical = (made["fuel"] == "Petrol") & (made["doors"] == 5) & made["new"]
    assert {10.0, -190.0, 230.0} <= set(made["km"][typical].tolist())


def test_probes_are_the_same_for_the_same_seed() -> None:
    table = {"x": np.random.default_rng(0).normal(size=5000)}
    specs = [Column(name="x", role="numeric")]
    first, again, other = (probes(table, specs, seed)["x"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert set(first[:200]) <= set(table["x"])


def test_probes_of_wide_and_empty_tables() -> None:
    wide = {f"x{i}": np.arange(50.0) for i in range(2000)}
    made = probes(wide, [Column(name=name, role="numeric") for name in wide], seed=0)
    assert len(made) == 2000
    assert len(made["x0"]) == 50 + 700 + 7
    nothing = {"x": np.full(3, np.nan), "w": words(None, None)[[0, 0, 0]]}
    assert probes(nothing, [Column(name="x", role="numeric"), Column(name="w", role="categorical")], 0)
    with pytest.raises(InvalidInput, match="no rows"):
        probes({"x": np.empty(0)}, [Column(name="x", role="numeric")], 0)
    with pytest.raises(InvalidInput, match="'y' is missing"):
        probes({"x": np.arange(3.0)}, [Column(name="y", role="numeric")], 0)
