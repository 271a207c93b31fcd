from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput
from headrace.data.inference import infer
from headrace.data.sources import read_file

Table = dict[str, NDArray[Any]]
N = 300


def words(values: Sequence[str | None]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def table(**other: NDArray[Any]) -> Table:
    return {
        "y": np.arange(float(N)),
        "x": np.arange(float(N)) % 7,
        "day": (np.datetime64("2019-01-01") + np.arange(N)).astype("datetime64[us]"),
        "id": words([f"k{i}" for i in range(N)]),
        **other,
    }


def roles(found: Any) -> dict[str, str]:
    return {column.name: column.role for column in found.data.columns}


def why(found: Any) -> dict[str, str]:
    return {column.name: column.why for column in found.data.columns if column.why}


def test_roles_follow_the_rules() -> None:
    found = infer(
        table(
            few=words(["a", "b", None] * 100),
            flag=np.arange(N) % 2 == 0,
            prose=words([f"text {i}" for i in range(N)]),
            empty=np.full(N, np.nan),
            sparse=words(["a", "b", None, None, None, None] * 50),
            half=words(["a", "b", None, None] * 75),
            same=words(["x"] * N),
            other_day=np.array(["2020-01-01", "2020-01-02"] * 150, dtype="datetime64[us]"),
            unnamed_1=np.arange(float(N)),
            listing=np.arange(1, N + 1),
            every_other=np.arange(0, 2 * N, 2),
        ),
        target="y",
        time="day",
        key="id",
    )
    assert found.task == "regression"
    assert roles(found) == {
        "x": "numeric",
        "day": "ignored",
        "id": "ignored",
        "few": "categorical",
        "flag": "categorical",
        "prose": "ignored",
        "empty": "ignored",
        "sparse": "ignored",
        "half": "categorical",
        "same": "ignored",
        "other_day": "ignored",
        "unnamed_1": "ignored",
        "listing": "ignored",
        "every_other": "numeric",
    }
    assert why(found)["prose"] == "text with 300 different values in 300 rows"
    assert why(found)["empty"] == "no value in any row"
    assert (
        why(found)["sparse"] == "null in 67% of the rows, more than gates.data.max_null_fraction lets through"
    )
    assert why(found)["same"] == "the same value in every row"
    assert any("'prose' is ignored" in note for note in found.notes)


@pytest.mark.requirement("DAT-11")
def test_the_split_follows_the_kind_of_data() -> None:
    assert infer(table(), target="y", time="day").split.policy == "sequential"
    assert infer(table(), target="y").split.policy == "random"


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (np.arange(float(N)) % 20, "classification"),
        (np.arange(float(N)) % 21, "regression"),
        (np.arange(float(N)) % 2 / 2, "regression"),
        (np.arange(N) % 2 == 0, "classification"),
        (words(["late", "on time", None] * 100), "classification"),
    ],
)
def test_the_task_follows_the_target(values: NDArray[Any], task: str) -> None:
    assert infer(table(y=values), target="y").task == task


def test_unknown_targets_are_noted() -> None:
    found = infer(table(y=words(["late", "on time", None] * 100)), target="y")
    assert any("100 of 300 rows have no 'y'" in note for note in found.notes)


@pytest.mark.parametrize(
    ("changed", "arguments", "message"),
    [
        ({}, {"target": "Y2"}, r"no column 'Y2' to be the target \(has: y, x, day, id\)"),
        ({}, {"target": "Days"}, "Did you mean 'day'"),
        ({}, {"target": "y", "time": "when"}, "to be the time"),
        ({}, {"target": "y", "key": "y"}, "cannot be both target and key"),
        ({"y": np.full(N, 3.0)}, {"target": "y"}, "'y' is 3.0 in every row"),
        ({"y": np.full(N, np.nan)}, {"target": "y"}, "null in every row"),
        ({"y": np.full(N, np.inf)}, {"target": "y"}, "never a finite number"),
        ({"y": words([f"t{i}" for i in range(N)])}, {"target": "y"}, "300 different values, too many"),
        ({}, {"target": "day"}, "'day' is a time"),
        (
            {"day": words(["2019-01-01"] * 4 + ["soon"] * 296)},
            {"target": "y", "time": "day"},
            "row 5 is 'soon', the first of 296 rows",
        ),
        (
            {"day": words(["2019-1-1", "2019/01/02"] + ["2019-13-01"] + ["2019-01-03"] * 297)},
            {"target": "y", "time": "day"},
            r"row 3 is '2019-13-01'\. ",
        ),
        (
            {"day": np.full(N, np.datetime64("2019-01-01"), dtype="datetime64[us]")},
            {"target": "y", "time": "day"},
            "'day' is 2019-01-01.* in every row",
        ),
        ({"y": words([f"t{i % 151}" for i in range(N)])}, {"target": "y"}, "too few rows of each"),
        ({"day": words(["2019-01-01"] * N)}, {"target": "y", "time": "day"}, "mix several forms"),
        ({}, {"target": "y", "time": "x"}, "it holds numbers"),
        ({"day": words([None] * N)}, {"target": "y", "time": "day"}, "'day' is empty"),
        ({"id": words(["a"] * N)}, {"target": "y", "key": "id", "unique_key": True}, "'a' in rows 1 and 2"),
        ({}, {"target": "id", "time": "day", "forecasting": True}, "'id' is text. A forecast needs a number"),
        ({}, {"target": "y", "forecasting": True}, "needs a time column"),
    ],
)
def test_what_cannot_be_learnt(changed: Table, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        infer(table(**changed), **arguments)


@pytest.mark.parametrize(("n", "said"), [(0, "0 rows"), (1, "1 row. "), (9, "9 rows")])
def test_too_few_rows(n: int, said: str) -> None:
    with pytest.raises(InvalidInput, match=f"The table has {said}.*at least 10"):
        infer({"x": np.arange(float(n)), "y": np.arange(float(n))}, target="y")


def test_nothing_to_learn_from() -> None:
    with pytest.raises(InvalidInput, match=r"No column can be an input \('x': the same value in every row\)"):
        infer({"x": np.zeros(N), "y": np.arange(float(N))}, target="y")
    with pytest.raises(InvalidInput, match="no column but the target 'y'"):
        infer({"y": np.arange(float(N))}, target="y")


def test_few_rows_of_many_whole_numbers_are_a_regression() -> None:
    found = infer({"x": np.arange(12.0) % 5, "y": np.arange(12.0)}, target="y")
    assert found.task == "regression"


def test_rows_without_a_key_are_noted_apart() -> None:
    found = infer(table(id=words(["a", None, None] + ["b", "c", "d"] * 99)), target="y", key="id")
    assert "2 rows have no key 'id': no label joins them by key." in found.notes
    assert any("first 'b' in rows 4 and 7" in note for note in found.notes)


def test_repeated_keys_are_noted_unless_they_have_to_be_unique() -> None:
    found = infer(table(id=words(["a", "b", "c"] * 100)), target="y", key="id")
    assert any("repeats in 297 rows, first 'a' in rows 1 and 4" in note for note in found.notes)


def test_times_that_are_missing_are_noted() -> None:
    day = table()["day"]
    day[3] = np.datetime64("NaT")
    assert any("1 rows have no 'day'" in n for n in infer(table(day=day), target="y", time="day").notes)


def test_a_forecast_uses_the_past_of_its_target() -> None:
    found = infer(table(), target="y", time="day", forecasting=True)
    assert found.task == "forecasting"
    assert found.split.policy == "sequential"
    assert (found.data.lags_days, found.data.horizon_days) == ((7, 14, 21, 28), 7)
    assert set(roles(found).values()) == {"ignored"}
    twice = table(day=np.repeat(table()["day"][:150], 2))
    with pytest.raises(InvalidInput, match="up to 2 rows a day, first on 2019-01-01"):
        infer(twice, target="y", time="day", forecasting=True)


def test_used_cars(shared_data: Path) -> None:
    found = infer(read_file(shared_data / "used_cars_ford.csv"), target="price")
    assert found.task == "regression"
    assert roles(found) == {
        "make": "ignored",
        "model": "categorical",
        "year": "numeric",
        "transmission": "categorical",
        "mileage": "numeric",
        "fuelType": "categorical",
        "tax": "numeric",
        "mpg": "numeric",
        "engineSize": "numeric",
    }


@pytest.mark.parametrize(
    ("target", "positive"),
    [
        (["ja"] + ["nein"] * 3, "ja"),
        (["Ja"] * 3 + ["Nein"], "Ja"),
        (["fraud"] + ["legit"] * 3, "fraud"),
        (["no"] + ["yes"] * 3, "yes"),
        (["paid", "unpaid"], "unpaid"),
        (["a", "b", "yes"], None),
    ],
)
def test_of_two_classes_the_one_that_is_looked_for_is_positive(
    target: list[str], positive: str | None
) -> None:
    found = infer(table(y=words((target * N)[:N])), target="y")
    assert found.data.positive == positive
    said = [note for note in found.notes if "positive one, which precision and recall are about" in note]
    assert [note.split("'")[1] for note in said] == ([] if positive is None else [positive])


def test_numbers_and_truth_values_have_their_last_as_the_positive_class() -> None:
    assert infer(table(y=np.arange(N) % 10 == 0), target="y").data.positive is None
    assert infer(table(y=(np.arange(N) % 10 != 0) * 1.0), target="y").data.positive is None


def test_a_column_of_numbers_with_a_word_for_no_value_is_noted() -> None:
    numbers: list[str | None] = [f"{i}.5" for i in range(N)]
    numbers[3], numbers[5], numbers[7] = "n/a", "n/a", None
    found = infer(table(price=words(numbers), postcode=words([f"A{i % 30}" for i in range(N)])), target="y")
    said = [note for note in found.notes if "all its other values are numbers" in note]
    assert [note.split(":")[0] for note in said] == ["Column 'price' is text because of 'n/a'"]
    with pytest.raises(InvalidInput, match=r"Empty the cells with 'n/a': all others are numbers, or group"):
        infer(table(price=words(numbers)), target="price")


def test_a_time_that_nobody_named_is_noted() -> None:
    said = [note for note in infer(table(), target="y").notes if "divided at random" in note]
    assert len(said) == 1
    assert "If one does ('day'), name it with --time" in said[0]
    assert not any("divided at random" in note for note in infer(table(), target="y", time="day").notes)
    timeless = {name: values for name, values in table().items() if name != "day"}
    assert not any("divided at random" in note for note in infer(timeless, target="y").notes)
