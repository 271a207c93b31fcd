"""What passes is counted in the bins of training, whoever counts it and in whatever pieces."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.checks.profiles import OTHER, NumericProfile, Profile
from headrace.serving.distributions import FOLD_ROWS, Distribution, Distributions, Reference
from headrace.serving.models import LoadedModels
from headrace.testing.clock import FakeClock
from tests.serving.scene import COLUMNS, ROW, TRAINED, Scene, StubModel

Stage = Callable[..., Scene]
REFERENCE = Reference(
    Profile.fit(TRAINED, COLUMNS).features, NumericProfile.fit(np.array([10.0, 20.0, 30.0]))
)
_ROWS = st.lists(
    st.tuples(
        st.none() | st.floats(-1e6, 1e6), st.sampled_from([None, "a3", "a4", " a4 ", "tt"]), st.booleans()
    ),
    max_size=40,
)


def _distributions(reference: Reference = REFERENCE, model: StubModel | None = None) -> Distributions:
    models = LoadedModels(lambda _: model or StubModel(), FakeClock())
    models.keep(["r1"])
    made = Distributions(lambda _: reference, models)
    made.keep(["r1"])
    return made


def _found(distributions: Distributions) -> dict[str, Distribution]:
    return {one.name: one for one in distributions.all()["r1"]}


@pytest.mark.requirement("MON-06")
def test_rows_are_counted_in_the_bins_of_training() -> None:
    distributions = _distributions()
    rows: list[list[Any]] = [[9.0, "a3", True], [10.0, "a4 ", False], [31.0, "tt", None], [None, None, True]]
    distributions.note_rows("r1", rows, [12.0, 12.0, 99.0, 1.0])
    found = _found(distributions)
    mileage = found["mileage"]
    assert mileage.edges[1:] == (10.0, 20.0, 30.0)
    assert (mileage.counts, mileage.missing, mileage.total) == ((1, 1, 0, 0, 1), 1, 50.0)
    assert found["model"].categories == {"a3": 1, "a4": 1, OTHER: 1}
    assert (found["model"].missing, found["leased"].categories) == (1, {"1": 2, "0": 1, OTHER: 0})
    assert (found["prediction"].kind, found["prediction"].counts) == ("prediction", (1, 0, 2, 0, 1))
    assert {one.n_rows for one in found.values()} == {4}


@pytest.mark.requirement("MON-06")
@given(st.lists(_ROWS, max_size=6))
def test_pieces_and_processes_add_up_to_the_whole(pieces: list[list[tuple[Any, ...]]]) -> None:
    whole, apart = _distributions(), [_distributions() for _ in pieces]
    rows = [row for piece in pieces for row in piece]
    whole.note_rows("r1", rows, [1.0] * len(rows))
    for one, piece in zip(apart, pieces, strict=True):
        columns = dict(zip(("mileage", "model", "leased"), zip(*piece, strict=True), strict=False))
        one.note("r1", columns, {"predict": [1.0] * len(piece)}, len(piece))
    for name, expected in _found(whole).items():
        parts = [_found(one)[name] for one in apart]
        assert list(expected.counts) == [sum(c) for c in zip(*(p.counts for p in parts), strict=True)] or (
            not any(expected.counts) and not parts
        )
        assert expected.missing == sum(part.missing for part in parts)
        assert expected.categories == {
            label: sum(part.categories[label] for part in parts) for label in expected.categories
        }


@given(st.lists(st.none() | st.sampled_from([9.0, 10.0, 20.0, 30.0]) | st.floats(-1e9, 1e9), min_size=1))
def test_numbers_fall_into_the_bins_that_the_profile_says(values: list[float | None]) -> None:
    profile = REFERENCE.inputs["mileage"]
    assert isinstance(profile, NumericProfile)
    distributions = _distributions()
    distributions.note_rows("r1", [[value, "a3", True] for value in values], [1.0] * len(values))
    found = _found(distributions)["mileage"]
    assert [*found.counts, found.missing] == profile.count(np.array(values, dtype=np.float64)).tolist()
    assert found.total == pytest.approx(sum(value or 0.0 for value in values), abs=1e-3)


@pytest.mark.parametrize("n_rows", [1, FOLD_ROWS - 1, FOLD_ROWS, FOLD_ROWS + 1, 5_000])
def test_long_requests_are_counted_as_short_ones(n_rows: int) -> None:
    distributions = _distributions()
    columns: dict[str, list[Any]] = {
        "mileage": [15.0] * n_rows,
        "model": ["a3"] * n_rows,
        "leased": [True] * n_rows,
    }
    distributions.note("r1", columns, {"predict": [25.0] * n_rows}, n_rows)
    found = _found(distributions)
    assert (found["mileage"].counts[2], found["model"].categories["a3"]) == (n_rows, n_rows)
    assert found["prediction"].counts[3] == n_rows


def test_nothing_is_lost_between_threads() -> None:
    distributions = _distributions()

    def note(_: int) -> None:
        distributions.note_rows("r1", [[15.0, "a3", True]] * 7, [25.0] * 7)
        distributions.fold()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(note, range(300)))
    assert {one.n_rows for one in _found(distributions).values()} == {2_100}


def test_an_input_without_a_profile_and_a_column_without_an_input_are_left_out() -> None:
    features = {"mileage": REFERENCE.inputs["mileage"], "colour": REFERENCE.inputs["model"]}
    distributions = _distributions(Reference(features, None))
    distributions.note_rows("r1", [[15.0, "a3", True]], [1.0])
    assert list(_found(distributions)) == ["mileage"]


def test_an_input_that_the_caller_left_out_is_missing() -> None:
    distributions = _distributions()
    distributions.note("r1", {"mileage": [15.0]}, {"predict": [1.0]}, 1)
    assert (_found(distributions)["model"].missing, _found(distributions)["mileage"].missing) == (1, 0)


@pytest.mark.parametrize("answer", [[1.0, 2.0], "text"])
def test_what_fits_no_bin_is_missing(answer: Any) -> None:
    distributions = _distributions()
    distributions.note_rows("r1", [[15.0, "a3", True]], [answer])
    assert _found(distributions)["prediction"].missing == 1


def test_several_labels_for_a_row_are_another_category() -> None:
    distributions = _distributions(Reference({}, REFERENCE.inputs["model"]))
    distributions.note_rows("r1", [[15.0, "a3", True]], [["a3", "a4"]])
    assert _found(distributions)["prediction"].categories == {"a3": 0, "a4": 0, OTHER: 1}


def test_a_round_in_the_background_leaves_single_rows_until_somebody_asks() -> None:
    distributions = _distributions()
    counted = distributions._counted["r1"]
    assert counted is not None
    distributions.note_rows("r1", [[15.0, "a3", True]] * 3, [1.0] * 3)
    distributions.note("r1", {"mileage": [15.0] * FOLD_ROWS}, {"predict": [1.0] * FOLD_ROWS}, FOLD_ROWS)
    distributions.keep(["r1"])
    assert counted.found()[0].n_rows == FOLD_ROWS, "a hundred releases may have three rows each"
    assert _found(distributions)["mileage"].n_rows == FOLD_ROWS + 3


def test_only_what_routes_name_is_counted() -> None:
    distributions = _distributions()
    distributions.note_rows("r2", [[15.0, "a3", True]], [1.0])
    distributions.note("r2", ROW, {"predict": [1.0]}, 1)
    assert list(distributions.all()) == ["r1"]
    distributions.keep(["r9"])
    assert distributions.all() == {}, "a model that is not in memory is looked at later"


def test_a_profile_that_cannot_be_read_is_said_once_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    models = LoadedModels(lambda _: StubModel(), FakeClock())
    models.keep(["r1"])

    def damaged(_: str) -> Reference:
        raise ValueError("damaged")

    distributions = Distributions(damaged, models)
    with caplog.at_level(logging.ERROR):
        distributions.keep(["r1"])
        distributions.keep(["r1"])
    distributions.note("r1", ROW, {"predict": [1.0]}, 1)
    assert distributions.all() == {}
    assert len(caplog.records) == 1


@pytest.mark.requirement("MON-06")
def test_every_answer_counts_and_no_refusal(stage: Stage) -> None:
    scene = stage()
    scene.distributions.keep(["r1"])
    for _ in range(3):
        asyncio.run(scene.handler.predict("cars", ROW, principal=scene.caller))
    with pytest.raises(Exception, match="is missing"):
        asyncio.run(scene.handler.predict("cars", {"mileage": [1.0]}, principal=scene.caller))
    found = {one.name: one for one in scene.distributions.all()["r1"]}
    assert found["mileage"].n_rows == found["prediction"].n_rows == 3
    assert found["mileage"].counts[2] == 3, "12.5 lies between 10 and 20"
