from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.budgets import Amount, Limit, OverBudget, Period, Scope
from headrace.gateway.budgets.limits import EVER, Kind, window
from headrace.testing import START

_ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-7))])


@given(st.integers(0, 6_000_000_000_000_000), _ZONES, st.sampled_from(get_args(Period)))
def test_each_moment_is_in_one_period_and_the_next_one_follows(
    at_us: int, zone: timezone, period: Period
) -> None:
    now = (START + timedelta(microseconds=at_us)).astimezone(zone)
    start, end = window(period, now)
    assert start <= now < end
    assert window(period, start) == window(period, end - timedelta(microseconds=1)) == (start, end)
    if period != "total":
        assert window(period, end)[0] == end


def test_a_limit_counts_its_own_measure() -> None:
    amount = Amount(micro=3, tokens=2, requests=1)
    assert [amount.of(measure) for measure in ("money", "tokens", "requests")] == [3, 2, 1]


def _over(
    most: int, needed: int, period: Period = "day", resets_at: datetime = EVER, kind: Kind = "principal"
) -> str:
    limit = Limit(scope=Scope(kind, "cars"), measure="money", most=most, period=period)
    return str(OverBudget(limit, spent=most - 1, needed=needed, resets_at=resets_at))


def test_a_refusal_says_what_holds_and_what_to_do() -> None:
    said = _over(5_000_000, 1_300, resets_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert said == (
        "This call may take 0.0013. The budget of principal 'cars' is 5.00 a day, of which 4.999999 are "
        "spent or held for calls under way. It begins anew at 2026-01-02 00:00 UTC; wait, or have the limit "
        "raised."
    )
    shared = _over(5_000_000, 1_300, resets_at=datetime(2026, 1, 2, tzinfo=UTC), kind="project")
    assert shared == (
        "This call may take 0.0013. The budget of project 'cars' a day has not so much left. "
        "It begins anew at 2026-01-02 00:00 UTC; wait, or have the limit raised."
    )
    assert "in all" in _over(5, 2, "total")
    assert "have the limit raised" in _over(5, 2, "total")
    assert "shorter answer" in _over(5, 6)


@pytest.mark.parametrize(("measure", "shown"), [("tokens", "1,500 tokens"), ("money", "0.0015")])
def test_amounts_are_shown_as_people_read_them(measure: str, shown: str) -> None:
    limit = Limit(scope=Scope("project", "cars"), measure=measure, most=1)  # type: ignore[arg-type]
    assert limit.shown(1500) == shown
