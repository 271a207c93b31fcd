from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.checks.distributions import Categories, Kind, Numbers, Rows, Side
from headrace.checks.drift import Shift, shifts
from headrace.checks.profiles import Profile
from headrace.checks.sketches import Sketches
from headrace.core.errors import InvalidInput

KINDS: dict[str, Kind] = {"x": "numeric", "word": "categorical"}
VALUES = st.lists(
    st.tuples(
        st.sampled_from([None, float("nan"), float("inf"), "text", 0.0, -0.0, 1, 2.5, True, -3.25]),
        st.sampled_from([None, "a", " a", "b", 3, 3.0, True]),
    ),
    max_size=40,
)


def table(
    random: np.random.Generator, n: int, *, shift: float = 0.0, points: float = 0.0
) -> dict[str, NDArray[Any]]:
    kinds = np.array(["a", "b", "c"], dtype=object)
    return {
        "x": np.where(random.random(n) < 0.02, np.nan, random.normal(shift, 1, n)),
        "word": random.choice(kinds, n, p=[0.5 + points, 0.3 - points, 0.2]),
    }


def sketched(columns: dict[str, NDArray[Any]], n_parts: int) -> Sketches:
    n = len(columns["x"])
    parts = [Sketches(KINDS) for _ in range(n_parts)]
    for part, rows in zip(parts, np.array_split(np.arange(n), n_parts), strict=True):
        part.update({name: values[rows] for name, values in columns.items()}, rows.size)
    return Sketches.merged(parts)


@given(VALUES, st.integers(0, 40))
def test_one_row_at_a_time_in_any_number_of_processes_is_what_all_rows_are(
    rows: list[tuple[Any, Any]], cut: int
) -> None:
    """As long as everything is kept, sketches and rows are the same to the last digit."""
    parts = [Sketches(KINDS), Sketches(KINDS)]
    for number, row in enumerate(rows):
        parts[number >= cut].add(row)
    merged = Sketches.from_bytes(Sketches.merged(parts).to_bytes())
    columns = {name: np.empty(len(rows), dtype=object) for name in KINDS}
    for place, name in enumerate(KINDS):
        columns[name][:] = [row[place] for row in rows]
    exact = Rows(columns=columns, kinds=KINDS)
    mine, its = merged.distribution("x"), exact.distribution("x")
    assert isinstance(mine, Numbers)
    assert isinstance(its, Numbers)
    assert mine.values.tolist() == its.values.tolist()
    assert (mine.n, mine.n_missing, mine.rank_error, mine.notes) == (its.n, its.n_missing, 0.0, its.notes)
    assert mine.moments == pytest.approx(its.moments, nan_ok=True)
    words, all_words = merged.distribution("word"), exact.distribution("word")
    assert isinstance(words, Categories)
    assert isinstance(all_words, Categories)
    assert dict(words.counts) == dict(all_words.counts)
    assert (words.n_missing, words.n_distinct, words.count_error) == (
        all_words.n_missing,
        all_words.n_distinct,
        0,
    )


@pytest.mark.parametrize(("shift", "points"), [(0.0, 0.0), (0.1, 0.05)])
def test_any_side_gives_the_same_verdict(shift: float, points: float, random: np.random.Generator) -> None:
    before, now = table(random, 60_000), table(random, 10_000, shift=shift, points=points)
    rows = [Rows(columns=columns, kinds=KINDS) for columns in (before, now)]
    sketches = [sketched(columns, n_parts) for columns, n_parts in ((before, 24), (now, 7))]
    exact = shifts(*rows)
    ways: list[tuple[Side, Side]] = [
        (rows[0], sketches[1]), (sketches[0], rows[1]), (sketches[0], sketches[1]),
        (Profile.of(sketches[0]), rows[1]),
    ]  # fmt: skip
    for reference, current in ways:
        errors = [0.0, 0.0]
        for place, side in enumerate((reference, current)):
            found = side.distribution("x")
            assert isinstance(found, Numbers)
            errors[place] = found.rank_error
        for mine, its in zip(shifts(reference, current), exact, strict=True):
            same_verdict(mine, its, moved=bool(shift), error=sum(errors) + 0.0045)


def same_verdict(mine: Shift, its: Shift, *, moved: bool, error: float) -> None:
    assert (mine.test, mine.n_current, mine.n_reference) == (its.test, its.n_current, its.n_reference)
    assert mine.p_value is not None
    assert (mine.p_value < 1e-4) == moved
    assert mine.size == pytest.approx(its.size, abs=0.02)
    assert mine.psi == pytest.approx(its.psi, abs=0.01)
    if its.ks is not None:
        assert mine.ks == pytest.approx(its.ks, abs=error)


def test_more_categories_than_are_kept(random: np.random.Generator) -> None:
    """The counts are right to the stated error, and chance is not taken for a shift."""
    names = np.array([f"w{i}" for i in range(10_000)], dtype=object)
    shares = np.append(np.full(9_990, 0.5 / 9_990), np.full(10, 0.05))
    drawn = [random.choice(names, 30_000, p=shares) for _ in range(2)]
    sides = [Sketches({"w": "categorical"}) for _ in drawn]
    for side, values in zip(sides, drawn, strict=True):
        side.update({"w": values}, len(values))
    found = sides[0].distribution("w")
    assert isinstance(found, Categories)
    assert 0 < found.count_error < 0.01 * 30_000
    truth = Categories.of(drawn[0])
    assert all(0 <= truth.counts[name] - count <= found.count_error for name, count in found.counts.items())
    assert found.n_distinct == pytest.approx(truth.n_distinct, rel=0.1)
    (calm,) = shifts(*sides)
    assert calm.p_value is not None
    assert calm.p_value > 1e-3
    sides[1].update({"w": np.array(["w9999"] * 6000, dtype=object)}, 6000)
    (moved,) = shifts(*sides)
    assert moved.p_value is not None
    assert moved.p_value < 1e-6


def test_chance_is_no_shift_however_the_rows_are_kept(random: np.random.Generator) -> None:
    """The level is kept: the error of a sketch widens the test, so it alarms less often than it may."""
    reference = sketched(table(random, 20_000), 1)
    alarms = 0
    for _ in range(60):
        (x, _) = shifts(reference, sketched(table(random, 3_000), 2))
        alarms += x.p_value is not None and x.p_value < 0.05
    assert alarms <= 7


def test_the_memory_stays_what_it_is(random: np.random.Generator) -> None:
    sketches = Sketches({f"x{i}": "numeric" for i in range(20)})
    sizes = []
    for _ in range(3):
        sketches.update({f"x{i}": random.normal(size=50_000) for i in range(20)}, 50_000)
        sizes.append(len(sketches.to_bytes()))
    assert max(sizes) < 200_000
    assert sizes[2] < 1.2 * sizes[0]


def test_a_column_that_does_not_come_is_missing_in_all_rows() -> None:
    sketches = Sketches(KINDS)
    sketches.update({"x": np.arange(3.0)}, 3)
    found = sketches.distribution("word")
    assert (found.n, found.n_missing) == (0, 3)


def test_bad_input() -> None:
    sketches = Sketches(KINDS)
    with pytest.raises(InvalidInput, match="same columns"):
        sketches.merge(Sketches({"x": "categorical", "word": "categorical"}))
    with pytest.raises(InvalidInput, match="at least one"):
        Sketches.merged([])
    whole = sketches.to_bytes()
    for damaged in (b"", whole[:-9], b"\x81\xa6format\x09", b"\xc0"):
        with pytest.raises(InvalidInput):
            Sketches.from_bytes(damaged)
