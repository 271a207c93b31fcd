"""What a release is compared with: kept whole, read back equal, refused when it is something else."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.checks.drift import shifts
from headrace.checks.profiles import Profile
from headrace.core.errors import InvalidInput
from headrace.core.project import Column
from headrace.monitoring.baseline import Baseline, make_baseline, output_columns
from headrace.monitoring.ingest import as_category
from headrace.testing import START
from headrace.testing.memory import MemoryArtifacts
from headrace.training.features import FeatureStore
from tests.monitoring.traffic import INPUTS, cars, price, trained

NO_FEATURES = FeatureStore(MemoryArtifacts())
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(numbers, numbers, st.sampled_from(["a", "b", None])), min_size=1, max_size=30),
    st.lists(st.floats(0, 1e9), min_size=1, max_size=30),
    st.none() | st.datetimes().map(lambda t: START + timedelta(seconds=t.second)),
    st.none() | st.lists(st.sampled_from(["x", "y", 1.0, True]), min_size=2, max_size=3).map(tuple),
)
def test_a_baseline_is_read_as_it_was_written(
    rows: list[tuple[float, float, str | None]],
    losses: list[float],
    until: object,
    classes: tuple[str | float | bool, ...] | None,
) -> None:
    mileage, year, fuel = zip(*rows, strict=True)
    columns = {"mileage": np.array(mileage), "year": np.array(year), "fuel": np.array(fuel, dtype=object)}
    made = make_baseline(
        Profile.fit(columns, INPUTS),
        np.array(mileage),
        np.array(losses),
        "mae",
        residuals=None if classes else np.array(losses),
        trained_until=until,  # type: ignore[arg-type]
        classes=classes,
    )
    read = Baseline.from_bytes(made.to_bytes(), NO_FEATURES)
    assert read.to_bytes() == made.to_bytes()
    assert (read.loss, read.metric, read.n_labels) == (made.loss, "mae", len(rows))
    assert read.trained_until == until
    assert read.classes == classes
    np.testing.assert_array_equal(read.losses, made.losses)
    np.testing.assert_array_equal(read.residuals, made.residuals)


def test_the_same_rows_are_no_shift_after_reading() -> None:
    random = np.random.default_rng(3)
    columns = cars(random, 500)
    made = make_baseline(
        Profile.fit(columns, INPUTS), price(columns), np.ones(500), "mae", trained_until=None
    )
    read = Baseline.from_bytes(made.to_bytes(), NO_FEATURES)
    assert set(read.inputs.features) == {"mileage", "year", "fuel"}
    assert [shift.psi for shift in shifts(read.inputs, columns)] == pytest.approx([0.0] * 3, abs=1e-9)
    outputs, _ = output_columns(price(columns))
    assert shifts(read.outputs, outputs)[0].psi == pytest.approx(0.0, abs=1e-9)


def test_the_newest_losses_are_kept_where_there_is_an_order() -> None:
    columns = cars(np.random.default_rng(0), 10)
    losses = np.arange(6000.0)
    ordered = make_baseline(
        Profile.fit(columns, INPUTS), price(columns), losses, "mae", residuals=-losses, trained_until=START
    )
    unordered = make_baseline(Profile.fit(columns, INPUTS), price(columns), losses, "mae", trained_until=None)
    assert (ordered.losses[0], ordered.losses[-1]) == (1000.0, 5999.0)
    assert (ordered.residuals[0], ordered.residuals[-1]) == (-1000.0, -5999.0)
    assert (unordered.losses[0], unordered.losses[-1]) == (0.0, 4999.0)
    assert ordered.loss == unordered.loss == losses.mean(), "the mean is over all of them"
    assert unordered.residuals.size == 0


def test_an_ignored_column_is_not_watched() -> None:
    columns = {"x": np.ones(5), "id": np.arange(5.0)}
    inputs = (Column(name="x", role="numeric"),)
    made = make_baseline(Profile.fit(columns, inputs), np.ones(5), np.ones(5), "mae", trained_until=None)
    assert list(made.inputs.features) == ["x"]


@pytest.mark.parametrize("predictions", [np.array(["a", "b"], dtype=object), np.array([True, False])])
def test_classes_are_profiled_as_categories(predictions: object) -> None:
    columns, (column,) = output_columns(predictions)
    assert (column.name, column.role) == ("prediction", "categorical")
    assert columns["prediction"].dtype == object


def test_true_and_false_have_the_names_that_their_record_has() -> None:
    trained, _ = output_columns(np.array([True, False]))
    assert trained["prediction"].tolist() == [as_category(1.0), as_category(0.0)]


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"{not json", trained(np.random.default_rng(0)).to_bytes()[:-9]]
)
def test_what_is_no_baseline_says_what_to_do(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="Rebuild the release"):
        Baseline.from_bytes(data, NO_FEATURES)
