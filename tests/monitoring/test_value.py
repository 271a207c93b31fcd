"""The realised value beside its hypothesis: by month, with an interval that covers what it says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from headrace.checks.kpis import Brought, mean_of, share_of
from headrace.core.release import Measurement
from headrace.monitoring.value import months_after, realised_value
from headrace.monitoring.watch import LEVEL
from headrace.projects.intake import ValueCase
from headrace.testing.factories import make_measurement

BEGUN = datetime(2026, 1, 31, tzinfo=UTC)
WEEK = timedelta(days=7)
CASE = ValueCase(expected=12_000, unit="EUR", months=12, kpi="sold", worth=10, without=0.2)


def window(week: int, brought: Brought | None = None, **changes: Any) -> Measurement:
    """What the KPI was in one week: of 100 answers 30 sold, unless it is said otherwise."""
    found = brought or share_of(30, 100, LEVEL)
    assert found is not None
    start = BEGUN + week * WEEK
    measured = make_measurement(
        name="kpi", feature="sold", value=found.value, n_rows=found.n, interval=found.interval,
        confidence=LEVEL, window=(start, start + WEEK), detail={"n_covered": found.covered},
    )  # fmt: skip
    return measured if not changes else make_measurement(**vars(measured) | changes)


@pytest.mark.requirement("ORG-04")
def test_value_is_summed_by_month_beside_what_was_expected() -> None:
    found = realised_value("cars", CASE, [window(week) for week in range(9)], BEGUN)
    assert [month.number for month in found.months] == [1, 2, 3]
    assert found.months[0].end == datetime(2026, 2, 28, tzinfo=UTC)
    each = 100 * (0.3 - 0.2) * 10
    assert [month.realised for month in found.months[:2]] == pytest.approx([4 * each, 5 * each])
    assert found.months[2].realised is None, "no window has begun in it yet"
    assert found.total == pytest.approx(9 * each)
    elapsed = 2 + (BEGUN + 9 * WEEK - datetime(2026, 3, 31, tzinfo=UTC)) / timedelta(days=30)
    assert found.expected == pytest.approx(1000 * elapsed)
    assert found.conclusion == "below"
    assert "EUR of" in found.why


def test_only_the_first_year_and_no_longer_than_the_hypothesis_counts() -> None:
    weeks = [window(week) for week in range(70)]
    assert len(realised_value("cars", CASE, weeks, BEGUN).months) == 12
    short = ValueCase(expected=300, unit="EUR", months=3, kpi="sold", worth=10, without=0.2)
    found = realised_value("cars", short, weeks, BEGUN)
    assert (len(found.months), found.expected, found.conclusion) == (3, 300, "above")
    longer = ValueCase(expected=2400, unit="EUR", months=24, kpi="sold", worth=10, without=0.2)
    assert realised_value("cars", longer, weeks, BEGUN).expected == pytest.approx(1200)


def test_fewer_complaints_than_without_the_model_are_worth_something() -> None:
    case = ValueCase(expected=1, unit="EUR", kpi="sold", worth=-5, without=0.4)
    found = realised_value("cars", case, [window(0)], BEGUN)
    assert found.total == pytest.approx(100 * 0.1 * 5)
    assert found.interval is not None
    assert found.interval[0] < 50 < found.interval[1]


def test_it_says_when_it_cannot_tell() -> None:
    nothing = realised_value("cars", CASE, [], BEGUN)
    assert (nothing.conclusion, nothing.total) == ("unmeasured", None)
    assert "nothing has been told yet" in nothing.why
    bare = realised_value("cars", CASE, [window(0), window(1, interval=None)], BEGUN)
    assert (bare.conclusion, bare.interval) == ("undecided", None)
    assert "in 1 of 2 windows too little was told" in bare.why
    near = ValueCase(expected=12 * 440, unit="EUR", kpi="sold", worth=10, without=0.2)
    unsure = realised_value("cars", near, [window(week) for week in range(4)], BEGUN)
    assert unsure.conclusion == "undecided"
    assert "may be more or less than expected" in unsure.why


def _shares(random: np.random.Generator) -> Brought | None:
    return share_of(int(random.binomial(200, 0.3)), 200, LEVEL)


def _amounts(random: np.random.Generator) -> Brought | None:
    values = random.gamma(2.0, 5.0, size=int(random.binomial(200, 0.3)))
    return mean_of(values, 200, LEVEL)


@pytest.mark.parametrize(("draw", "mean"), [(_shares, 0.3), (_amounts, 3.0)])
def test_the_interval_covers_the_true_value_as_often_as_it_says(
    draw: Callable[[np.random.Generator], Brought | None], mean: float
) -> None:
    random, covered, n_times = np.random.default_rng(20261129), 0, 600
    case = ValueCase(expected=1, unit="EUR", kpi="sold", worth=2.0, without=0.1)
    true = 10 * 200 * (mean - 0.1) * 2.0
    for _ in range(n_times):
        weeks = [window(week, draw(random)) for week in range(10)]
        found = realised_value("cars", case, weeks, BEGUN)
        assert found.interval is not None
        covered += found.interval[0] <= true <= found.interval[1]
    # Three standard errors of 600 draws at 90 %.
    assert LEVEL - 0.037 < covered / n_times < LEVEL + 0.037


def test_months_end_where_a_month_has_no_such_day() -> None:
    assert [months_after(BEGUN, n).day for n in (1, 2, 12)] == [28, 31, 31]
    assert months_after(BEGUN, 12).year == 2027
