"""Since when, and in which rows: planted changes are found where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.checks.localising import MOST_SLOTS, codes_of, onset, place_of
from headrace.checks.profiles import CategoricalProfile, NumericProfile

START = np.datetime64("2026-03-01", "us")
HOUR = np.timedelta64(1, "h")


def hours(n_rows: int, per_hour: int = 1) -> Any:
    return START + (np.arange(n_rows) // per_hour) * HOUR


@pytest.mark.requirement("MON-29")
@pytest.mark.parametrize(("size", "most_off"), [(0.5, 24), (1.0, 6), (2.0, 2)])
def test_the_start_of_a_shift_is_found_to_some_hours(size: float, most_off: float) -> None:
    """A week of 20 rows an hour, moved from some hour on; the median error of 100 weeks."""
    random = np.random.default_rng(7)
    profile = NumericProfile.fit(random.normal(size=20_000))
    off = []
    for _ in range(100):
        began = int(random.integers(24, 144))
        values = random.normal(size=168 * 20) + size * (np.arange(168 * 20) >= began * 20)
        found = onset(profile, values, hours(168 * 20, 20))
        assert found is not None
        off.append(abs((found.began - (START + began * HOUR)) / HOUR))
    assert np.median(off) <= most_off / 6
    assert np.quantile(off, 0.95) <= most_off


@pytest.mark.requirement("MON-29")
def test_categories_and_gaps_have_a_start_too() -> None:
    random = np.random.default_rng(1)
    fuels = random.choice(np.array(["gas", "diesel", None], dtype=object), 5000, p=[0.5, 0.4, 0.1])
    profile = CategoricalProfile.fit(fuels)
    for instead in ("hybrid", None):
        changed = fuels[:1680].copy()
        changed[800:] = instead
        found = onset(profile, changed, hours(1680, 10))
        assert found is not None
        assert abs((found.began - (START + 80 * HOUR)) / HOUR) <= 1
        assert not found.before


def test_what_the_first_rows_have_may_have_begun_before() -> None:
    random = np.random.default_rng(2)
    profile = NumericProfile.fit(random.normal(size=5000))
    found = onset(profile, random.normal(size=500) + 1.0, hours(500))
    assert found == (START, True)
    assert onset(profile, np.zeros(0), hours(0)) is None


def test_many_times_are_put_together_and_their_order_does_not_matter() -> None:
    random = np.random.default_rng(3)
    profile = NumericProfile.fit(random.normal(size=5000))
    times = START + np.sort(random.integers(0, 10**12, 20_000)).astype("timedelta64[us]")
    values = random.normal(size=20_000) + 1.0 * (np.arange(20_000) >= 12_000)
    found, order = onset(profile, values, times), random.permutation(20_000)
    assert found is not None
    assert abs((found.began - times[12_000]) / np.timedelta64(10**12 // MOST_SLOTS, "us")) <= 3
    assert onset(profile, values[order], times[order]) == found


def rows(random: np.random.Generator, n_rows: int, **moved: float) -> tuple[Any, Any, Any]:
    """A number, moved in some regions, and two columns to look in."""
    regions = random.choice(np.array(["north", "south", "west", "east"], dtype=object), n_rows)
    kinds = random.choice(np.array(["a", "b"], dtype=object), n_rows)
    by = np.array([moved.get(str(region), 0.0) for region in regions])
    return random.normal(size=n_rows) + by, regions, kinds


def place(random: np.random.Generator, n_rows: int = 2000, **moved: float) -> Any:
    profile = NumericProfile.fit(random.normal(size=5000))
    before, now = rows(random, n_rows), rows(random, n_rows, **moved)
    codes = codes_of(profile, before[0])[0], codes_of(profile, now[0])[0]
    return place_of(codes, {"region": (before[1], now[1]), "kind": (before[2], now[2])}, 30)


@pytest.mark.requirement("MON-29")
def test_the_segment_that_a_shift_is_in_is_named_and_no_other() -> None:
    random = np.random.default_rng(5)
    named = [place(random, south=1.0) for _ in range(40)]
    assert [one and (one.column, one.segment) for one in named].count(("region", "south")) >= 39
    assert named[0].share == pytest.approx(0.25, abs=0.05)


def test_a_shift_that_is_everywhere_or_nowhere_is_in_no_segment() -> None:
    random = np.random.default_rng(6)
    everywhere = [place(random, north=0.5, south=0.5, west=0.5, east=0.5) for _ in range(30)]
    assert everywhere.count(None) == 30
    nowhere = [place(random) for _ in range(100)]
    assert nowhere.count(None) >= 97
    assert place(random, 50, south=1.0) is None, "too few rows to say"
