from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput
from headrace.core.project import SplitSpec
from headrace.data.frames import n_rows, row_hashes, take
from headrace.data.splits import Split, split
from tests.data.strategies import tables

Table = dict[str, NDArray[Any]]
SEEDS = st.integers(0, 2**63)
SEQUENTIAL = SplitSpec(policy="sequential")


def days(*numbers: int) -> Table:
    return {
        "day": np.array(numbers).astype("datetime64[D]").astype("datetime64[us]"),
        "x": np.arange(len(numbers)) * 1.0,
    }


@pytest.mark.requirement("DAT-10")
@given(st.integers(2, 500), st.floats(0.05, 0.95), SEEDS)
def test_the_share_of_unique_rows_is_exact(n: int, fraction: float, seed: int) -> None:
    halves = split({"x": np.arange(float(n))}, SplitSpec(test_fraction=fraction, seed=seed))
    assert len(halves.test) == min(max(round(n * fraction), 1), n - 1)
    assert sorted([*halves.train, *halves.test]) == list(range(n))


@pytest.mark.requirement("DAT-10")
def test_the_default_is_70_to_30() -> None:
    halves = split({"x": np.arange(1000.0)}, SplitSpec())
    assert (len(halves.train), len(halves.test)) == (700, 300)


@pytest.mark.requirement("DAT-10")
@given(tables(min_rows=2, max_rows=30, kinds=("number", "word", "boolean")), SEEDS)
def test_no_data_point_is_on_both_sides(table: Table, seed: int) -> None:
    assume(len(np.unique(row_hashes(table))) > 1)
    halves = split(table, SplitSpec(seed=seed))
    hashes = row_hashes(table)
    assert not set(hashes[halves.train]) & set(hashes[halves.test])
    assert len(halves.train)
    assert len(halves.test)
    proof = halves.prove_disjoint(table)
    assert proof["shared_data_points"] == 0
    assert proof["n_train"] + proof["n_test"] == n_rows(table)


@pytest.mark.requirement("DAT-10")
@given(tables(min_rows=2, max_rows=30), SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(table: Table, seed: int, random: Any) -> None:
    hashes = row_hashes(table)
    assume(len(np.unique(hashes)) > 1)
    order = list(range(n_rows(table)))
    random.shuffle(order)
    shuffled = take(table, np.array(order))
    spec = SplitSpec(seed=seed)
    first, second = split(table, spec), split(shuffled, spec)
    assert sorted(hashes[first.test]) == sorted(row_hashes(shuffled)[second.test])


@pytest.mark.requirement("DAT-10")
def test_the_seed_decides() -> None:
    table: Table = {"x": np.arange(200.0)}
    first, again, other = (split(table, SplitSpec(seed=seed)) for seed in (1, 1, 2))
    assert first.test.tolist() == again.test.tolist()
    assert first.test.tolist() != other.test.tolist()
    # Written down once: a change would make every stored split another one.
    assert split({"x": np.arange(10.0)}, SplitSpec(seed=7)).test.tolist() == [3, 8, 9]


def test_every_row_is_as_likely_to_test() -> None:
    table: Table = {"x": np.arange(50.0)}
    tested = np.zeros(50)
    for seed in range(400):
        tested[split(table, SplitSpec(seed=seed)).test] += 1
    # 400 draws at 0.3: five standard deviations are 46.
    assert np.abs(tested - 120).max() < 46


@pytest.mark.requirement("DAT-11")
@given(st.lists(st.integers(0, 40), min_size=2, max_size=60), st.floats(0.1, 0.9))
def test_sequential_sides_do_not_overlap_in_time(numbers: list[int], fraction: float) -> None:
    assume(len(set(numbers)) > 1)
    table = days(*numbers)
    halves = split(table, SplitSpec(policy="sequential", test_fraction=fraction), "day")
    times = table["day"]
    assert times[halves.train].max() < times[halves.test].min()
    assert len(halves.train) + len(halves.test) == len(numbers)
    proof = halves.prove_disjoint(table)
    assert proof["trained_until"] < proof["tested_from"]


@pytest.mark.requirement("DAT-11")
def test_sequential_tests_on_the_newest() -> None:
    halves = split(days(*range(10)), SEQUENTIAL, "day")
    assert halves.train.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert halves.test.tolist() == [7, 8, 9]
    ties = split(days(1, 2, 3, 3, 3, 3), SEQUENTIAL, "day")
    assert ties.test.tolist() == [2, 3, 4, 5]


def test_a_bad_split_is_found() -> None:
    table: Table = {"x": np.array([1.0, 2.0, 1.0])}
    both = Split(train=np.array([0, 1]), test=np.array([2]), policy="random")
    with pytest.raises(InvalidInput, match="1 data points are on both sides.*row 0"):
        both.prove_disjoint(table)
    with pytest.raises(InvalidInput, match="on both sides of the split, or twice"):
        Split(train=np.array([0]), test=np.array([0]), policy="random").prove_disjoint(table)
    with pytest.raises(InvalidInput, match="a table of 3 rows does not have"):
        Split(train=np.array([0]), test=np.array([3]), policy="random").prove_disjoint(table)
    late = Split(train=np.array([1]), test=np.array([0]), policy="sequential", time="day")
    with pytest.raises(InvalidInput, match="overlaps in time"):
        late.prove_disjoint(days(1, 2))


@pytest.mark.parametrize(
    ("table", "spec", "time", "message"),
    [
        ({"x": np.zeros(5)}, SplitSpec(), None, "same content"),
        ({"x": np.arange(1.0)}, SplitSpec(), None, "1 rows cannot be split"),
        ({"x": np.arange(5.0)}, SplitSpec(test_fraction=1.5), None, "test_fraction is 1.5"),
        ({"x": np.arange(5.0)}, SEQUENTIAL, None, "follows a time column"),
        ({"x": np.arange(5.0)}, SEQUENTIAL, "x", "got 'x'"),
        (days(3, 3, 3), SEQUENTIAL, "day", "same time"),
        (
            {"day": np.array(["NaT", "2020-01-01"], dtype="datetime64[us]")},
            SEQUENTIAL,
            "day",
            "1 rows have no",
        ),
    ],
)
def test_what_cannot_be_split(table: Table, spec: SplitSpec, time: str | None, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        split(table, spec, time)
