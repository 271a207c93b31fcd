from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from headrace.access.abnormal import (
    ACTIVE,
    HOURS_OF_WEEK,
    Alarm,
    Event,
    Habits,
    Limits,
    burst_probability,
)
from headrace.core.identity import Use
from headrace.testing import START

LIMITS = Limits()
NOW_S = START.timestamp()
HOUR_S, DAY_S, WEEK_S = 3_600.0, 86_400.0, 604_800.0
A = "93.184.0.0/16"


def _use(action: str, resource: str, *, days_ago: float, count: int = 1) -> Use:
    at = START - timedelta(days=days_ago)
    return Use(principal="bob", action=action, resource=resource, count=count, first_at=at, last_at=at)


def _habits(*uses: Use, limits: Limits = LIMITS) -> Habits:
    return Habits("bob", uses, limits, NOW_S)


def _event(after_s: float = 0.0, **changes: object) -> Event:
    event = Event("bob", NOW_S + after_s, A, "t1", "project.read", "project:cars")
    return event._replace(**changes)  # type: ignore[arg-type]


def _kinds(alarms: list[Alarm]) -> list[str]:
    return [alarm.kind for alarm in alarms]


@pytest.mark.requirement("IDN-07")
@pytest.mark.parametrize(("action", "known_days", "alarms"), [
    ("tool.call", 40, ["never_used"]),
    ("predict", 40, ["never_used"]),
    ("tool.call", 20, []),
    ("project.read", 40, []),
])  # fmt: skip
def test_a_new_tool_is_remarkable_for_somebody_who_has_long_been_here(
    action: str, known_days: float, alarms: list[str]
) -> None:
    habits = _habits(_use("tool.call", "tool:search", days_ago=known_days))
    assert habits.meet(_event(0, action="tool.call", resource="tool:search")) == []
    assert _kinds(habits.meet(_event(1, action=action, resource="tool:shell"))) == alarms
    assert habits.meet(_event(HOUR_S * 2, action=action, resource="tool:shell")) == [], "new only once"


@pytest.mark.requirement("IDN-07")
def test_what_is_spent_within_an_hour_has_a_limit() -> None:
    habits = _habits(limits=Limits(spend_per_hour=10.0))
    for n in range(40):  # 10.0 in every hour, to the end
        assert habits.meet(_event(n * 900, action="agent.prompt", resource="p", cost=2.5)) == []
    (alarm,) = habits.meet(_event(40 * 900 - 60, action="agent.prompt", resource="p", cost=0.01))
    assert alarm.kind == "spend_velocity"
    assert alarm.evidence == {"spent": pytest.approx(10.01), "limit": 10.0}
    assert _habits().meet(_event(0, cost=1e9)) == [], "without a limit any"


@pytest.mark.requirement("IDN-07")
def test_a_burst_is_held_against_the_same_hour_of_other_weeks() -> None:
    hour = int(NOW_S // HOUR_S) % HOURS_OF_WEEK
    usual = _use(ACTIVE, f"hour:{hour}", days_ago=70, count=300)
    busy = _habits(usual)
    assert [n for n in range(149) if busy.meet(_event(n, token=""))] == [], "30 an hour is usual here"
    assert _kinds(busy.meet(_event(149, token=""))) == ["off_hours"], "five times that is not"
    at_night = _habits(_use(ACTIVE, f"hour:{(hour + 12) % HOURS_OF_WEEK}", days_ago=70, count=300))
    quiet = [n for n in range(40) if at_night.meet(_event(n, token=""))]
    assert quiet == [LIMITS.burst - 1], "in an hour that is usually still, 20 are enough"
    newcomer = _habits(_use(ACTIVE, f"hour:{hour}", days_ago=20, count=3))
    assert [n for n in range(500) if newcomer.meet(_event(n, token=""))] == [], "nothing is usual yet"


@given(
    st.integers(min_value=0, max_value=3_000),
    st.integers(min_value=0, max_value=30_000),
    st.integers(min_value=2, max_value=300),
)
def test_the_probability_of_a_burst_is_scipys(extra: int, before: int, weeks: int) -> None:
    count = before // weeks + 1 + extra
    expected = float(stats.binom.sf(count - 1, before + count, 1 / (weeks + 1)))
    assert burst_probability(count, before, weeks) == pytest.approx(expected, rel=1e-6, abs=1e-290)


def _rates(random: np.random.Generator, n_identities: int) -> np.ndarray:
    """Events per hour of the week, of shape ``(n_identities, 168)``: offices, shifts, machines."""
    day = np.arange(HOURS_OF_WEEK) // 24
    hour = np.arange(HOURS_OF_WEEK) % 24
    office = np.where((day < 5) & (hour >= 8) & (hour < 18), 1.0, 0.02)
    shape = np.stack([office, np.roll(office, 9), np.ones(HOURS_OF_WEEK)])
    base = np.exp(random.uniform(np.log(2), np.log(300), n_identities))
    rates: np.ndarray = base[:, None] * shape[random.integers(0, 3, n_identities)]
    return rates


@pytest.mark.requirement("IDN-07")
def test_bursts_are_false_alarms_at_most_once_in_a_year_of_an_identity() -> None:
    random, n_identities, n_weeks = np.random.default_rng(7), 200, 52
    rates = _rates(random, n_identities)
    counts = random.poisson(rates, (n_weeks, n_identities, HOURS_OF_WEEK))
    first = 5  # weeks, before which habits do not count
    before = np.cumsum(counts, axis=0)
    alarms = tested = 0
    for week in range(first, n_weeks):
        now, past = counts[week], before[week - 1]
        level = LIMITS.burst_level / HOURS_OF_WEEK
        # Without the conditions on size: the level of the test alone has to hold. All others are likelier.
        high = now * week > past + 3 * np.sqrt(past * (week + 1))
        for one, other in zip(now[high].tolist(), past[high].tolist(), strict=True):
            tested += 1
            alarms += burst_probability(one, other, week) < level
    years = n_identities * (n_weeks - first) / 52
    assert tested > 1_000
    assert alarms > 0, "an alarm that is never raised would prove nothing"
    assert alarms / years <= 1.0


@pytest.mark.requirement("IDN-07")
def test_a_stolen_token_at_night_is_found_within_twenty_requests() -> None:
    random = np.random.default_rng(11)
    caught = 0
    for rates in _rates(random, 50):
        counts = random.poisson(rates * 10)
        uses = [_use(ACTIVE, f"hour:{h}", days_ago=70, count=int(n)) for h, n in enumerate(counts) if n]
        habits = _habits(*uses)
        night = int(np.argmin(counts))
        start_s = ((night - int(NOW_S // HOUR_S)) % HOURS_OF_WEEK) * HOUR_S - NOW_S % HOUR_S
        n_events = max(20, int(6 * rates[night]))
        caught += any(habits.meet(_event(start_s + 2.0 * n, token="")) for n in range(n_events))
    assert caught == 50
