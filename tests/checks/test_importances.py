from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.checks.importances import alone, same_as_controls, shares_of
from headrace.core.errors import InvalidInput


def test_shares_are_those_of_the_slopes() -> None:
    random = np.random.default_rng(0)
    rows = {name: random.normal(size=2000) for name in "abc"}
    found = shares_of(lambda r: {"predict": 6 * np.asarray(r["a"]) - 3 * r["b"]}, rows, ["a", "b", "c"])
    # |x - y| of two independent normal draws has the same mean for each input.
    assert found == pytest.approx([2 / 3, 1 / 3, 0.0], abs=0.06)
    assert shares_of(lambda r: {"predict": np.zeros(len(r["a"]))}, rows, ["a", "b"]).tolist() == [0.0, 0.0]


def test_rows_that_are_refused_are_left_out() -> None:
    def ask(rows: Any) -> dict[str, Any]:
        if (np.asarray(rows["a"]) < 0).any():
            raise InvalidInput("no")
        return {"probability": np.column_stack([rows["a"], 1 - np.asarray(rows["a"])])}

    rows = {"a": np.array([-1.0, 0.1, 0.5, 0.9]), "b": np.arange(4.0)}
    assert shares_of(ask, rows, ["a", "b"]).tolist() == [1.0, 0.0]
    assert shares_of(ask, {"a": np.full(3, -1.0)}, ["a"]).tolist() == [0.0]


def test_what_cannot_be_asked_is_not_concluded() -> None:
    one = np.array([0.6, 0.4])
    assert same_as_controls(np.array([1.0]), [np.array([1.0])] * 5) is None
    assert same_as_controls(one, [one] * 2) is None
    assert same_as_controls(np.zeros(2), [np.zeros(2)] * 5) is None
    assert same_as_controls(one, [np.zeros(2)] * 5) is False


def test_two_inputs_of_equal_weight_are_hardly_ever_taken_for_a_control() -> None:
    random = np.random.default_rng(0)
    # What learns noise leans on either input by chance.
    tries = [
        same_as_controls(np.array([0.5, 0.5]), [np.array([s, 1 - s]) for s in random.uniform(size=5)])
        for _ in range(2000)
    ]
    assert sum(map(bool, tries)) <= 1


def test_what_one_input_says_is_held_against_a_constant() -> None:
    random = np.random.default_rng(1)
    truth, learnt = random.normal(size=5000), random.normal(size=5000)
    noisy = truth + random.normal(size=5000) / 2
    assert alone(noisy, truth, learnt, classifies=False) == pytest.approx(0.75, abs=0.03)
    assert alone(np.zeros(5000), truth, learnt, classifies=False) == pytest.approx(0.0, abs=0.01)
    classes, known = (random.random((2, 5000)) < 0.2).astype(float)
    half = np.where(np.arange(5000) % 2 == 0, classes, 0.0)
    assert alone(half, classes, known, classifies=True) == pytest.approx(0.5, abs=0.05)
    assert alone(classes, classes, known, classifies=True) == 1.0
    assert alone(np.zeros(3), np.zeros(3), np.zeros(3), classifies=True) == 0.0


def test_truth_that_is_not_known_says_nothing() -> None:
    truth = np.array([np.nan, 1.0, 3.0])
    assert alone(np.array([9.0, 1.0, 3.0]), truth, np.array([2.0]), classifies=False) == 1.0
