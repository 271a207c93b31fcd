"""Which labels are probably wrong: planted ones on real data, found and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from headrace.checks.mislabelled import doubtful_classes, doubtful_numbers, summary
from headrace.core.project import Column
from headrace.data.encoding import Encoding
from headrace.data.frames import take
from headrace.data.sources import read_file
from headrace.training.out_of_fold import out_of_fold


class Rates(NamedTuple):
    """Of the flagged rows how many were planted, of the planted how many flagged, of the clean how many."""

    precision: float
    recall: float
    clean: float


def rates(flagged: list[int], planted: Any) -> Rates:
    hits = int(planted[flagged].sum())
    n_clean = int((~planted).sum())
    return Rates(hits / max(len(flagged), 1), hits / max(planted.sum(), 1), (len(flagged) - hits) / n_clean)


def with_flips(codes: Any, share: float, n_classes: int) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    planted = random.random(len(codes)) < share
    return np.where(planted, (codes + random.integers(1, n_classes, len(codes))) % n_classes, codes), planted


def texts(shared_data: Path) -> tuple[dict[str, Any], Any]:
    """Real requests to language models, and which of them are attacks."""
    lines = (shared_data / "injection-train.jsonl").read_text(encoding="utf-8").strip().split("\n")
    rows = [json.loads(line) for line in lines]
    values = np.array([row["text"][:400] for row in rows], dtype=object)
    return {"request": values}, np.array([row["label"] for row in rows])


def fords(shared_data: Path) -> dict[str, Any]:
    """3,000 used cars with a common fuel."""
    cars = read_file(shared_data / "used_cars_ford.csv")
    common = np.flatnonzero(np.isin(cars["fuelType"], ["Petrol", "Diesel"]))
    return take(cars, np.random.default_rng(1).permutation(common)[:3_000])


def specs_of(table: dict[str, Any], target: str) -> list[Column]:
    return [
        Column(name=name, role="numeric" if values.dtype.kind == "f" else "categorical")
        for name, values in table.items()
        if name != target
    ]


@pytest.mark.requirement("DAT-21")
@pytest.mark.parametrize(
    ("share", "precision", "recall", "clean"), [(0.05, 0.5, 0.45, 0.03), (0.0, 0, 0, 0.03)]
)
def test_planted_flips_of_texts_are_found(
    shared_data: Path, share: float, precision: float, recall: float, clean: float
) -> None:
    table, codes = texts(shared_data)
    given, planted = with_flips(codes, share, 2)
    encoding = Encoding.fit(table, [Column(name="request", role="text")])
    said = out_of_fold(table, encoding, given, classifies=True)
    found = rates([one.row for one in doubtful_classes(given, said, [0, 1])], planted)
    assert found.precision >= precision, found
    assert found.recall >= recall, found
    assert found.clean <= clean, found


@pytest.mark.requirement("DAT-21")
@pytest.mark.parametrize(
    ("share", "precision", "recall", "clean"), [(0.05, 0.9, 0.6, 0.01), (0.0, 0, 0, 0.01)]
)
def test_planted_flips_of_a_table_are_found(
    shared_data: Path, share: float, precision: float, recall: float, clean: float
) -> None:
    cars = fords(shared_data)
    classes, codes = np.unique(cars["fuelType"].astype(str), return_inverse=True)
    given, planted = with_flips(codes, share, len(classes))
    encoding = Encoding.fit(cars, specs_of(cars, "fuelType"))
    said = out_of_fold(cars, encoding, given, classifies=True)
    found = rates([one.row for one in doubtful_classes(given, said, classes.tolist())], planted)
    assert found.precision >= precision, found
    assert found.recall >= recall, found
    assert found.clean <= clean, found


@pytest.mark.requirement("DAT-21")
@pytest.mark.parametrize(("share", "precision", "recall"), [(0.02, 0.7, 0.9), (0.0, 0, 0)])
def test_planted_prices_with_a_digit_too_many_are_found(
    shared_data: Path, share: float, precision: float, recall: float
) -> None:
    cars = fords(shared_data)
    random = np.random.default_rng(2)
    planted = random.random(len(cars["price"])) < share
    given = np.where(planted, 10 * cars["price"], cars["price"])
    said = out_of_fold(cars, Encoding.fit(cars, specs_of(cars, "price")), given, classifies=False)
    found = rates([one.row for one in doubtful_numbers(given, said)], planted)
    assert found.precision >= precision, found
    assert found.recall >= recall, found
    assert found.clean <= 0.01, found


@pytest.mark.requirement("DAT-21")
@pytest.mark.parametrize(("n", "most"), [(100, 0.01), (1_000, 0.001)])
def test_normal_errors_are_hardly_ever_called_wrong(n: int, most: float) -> None:
    """300 times n clean rows, whose errors grow with what is predicted."""
    random = np.random.default_rng(n)
    flagged = 0
    for _ in range(300):
        predicted = random.uniform(10, 100, n)
        flagged += len(doubtful_numbers(predicted + random.normal(0, predicted / 10), predicted))
    assert flagged / (300 * n) <= most


def test_a_class_that_is_hard_to_tell_is_not_in_doubt() -> None:
    """Confident learning compares with what rows of a class get: 0.4 for b and 0.6 for a is usual for b."""
    codes = np.repeat([0, 1], 100)
    chance = np.where(codes == 0, 0.8, 0.6)
    assert doubtful_classes(codes, np.column_stack([chance, 1 - chance]), ["a", "b"]) == []


def test_rows_without_a_label_and_few_rows_are_left_out() -> None:
    codes = np.array([-1] * 100)
    assert doubtful_classes(codes, np.full((100, 2), 0.5), ["a", "b"]) == []
    assert doubtful_numbers(np.arange(20.0), np.zeros(20)) == []
    given = np.append(np.arange(100.0), np.nan)
    assert doubtful_numbers(given, given) == []


def test_reasons_are_counted_with_the_place_of_their_rows() -> None:
    codes = np.repeat([0, 1], 50)
    sure = np.where(codes == 0, 0.97, 0.03)
    codes[[3, 8]] = 1
    found = doubtful_classes(codes, np.column_stack([sure, 1 - sure]), ["a", "b"])
    assert summary(found, np.arange(100) + 1_000) == [
        {"reason": "is b and looks like a", "rows": 2, "first": [1_004, 1_009]}
    ]
