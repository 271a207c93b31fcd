"""How a shift came, in what is found: at once, slowly, or as every week, holiday or sale."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from headrace.core.alerts import Period
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.courses import came
from headrace.monitoring.shifts import watch_shifts
from headrace.testing import START
from tests.monitoring.traffic import Scene, day, named, watched_project

Make = Callable[..., Scene]
DAY = 86_400


def shifted(
    scene: Scene,
    days: Iterable[int],
    by: Mapping[int, float],
    periods: Sequence[Period] = (),
    n_rows: int = 60,
) -> tuple[list[Finding], list[Measurement]]:
    """What a round finds about the mileage, moved by so many deviations on some days."""
    scene.traffic(days, n_rows, shifted=by)
    found = watch_shifts(replace(scene.looking(), periods=periods))
    mine = [m for m in named(found, "shift") if m.feature == "mileage"]
    return [f for f in found.findings if f.feature == "mileage"], mine


def event(title: str, first: int, last: int) -> Period:
    return Period(
        id=f"{title}-{first}", workspace="default", subject="cars", kind="event", title=title,
        starts_at=START + timedelta(days=first), ends_at=START + timedelta(days=last), by="user:a", at=START,
    )  # fmt: skip


@pytest.mark.requirement("MON-16")
def test_all_at_once_since_a_day(watched: Make) -> None:
    found, _ = shifted(watched(), range(64), dict.fromkeys(range(45, 64), 1.0))
    last = found[-1]
    assert last.evidence["course"] == "abrupt"
    assert last.title.endswith(f", since {day(45):%Y-%m-%d}, all at once")
    cause = last.evidence["causes"][0]
    assert (cause["feature"], cause["course"]) == ("mileage", "abrupt")
    assert cause["what"].endswith(f"since {day(45):%Y-%m-%d}, all at once"), "the ranked causes say it too"
    assert last.evidence["compared"].startswith("Bayesian information criterion: step ")


@pytest.mark.requirement("MON-16")
def test_slowly_since_a_day_which_later_windows_know_best(watched: Make) -> None:
    found, measured = shifted(watched(), range(85), {n: (n - 28) / 40 for n in range(28, 85)})
    assert found[-1].evidence["course"] == "gradual"
    words = found[-1].evidence["came"]
    assert words.startswith("slowly since ")
    since = datetime.fromisoformat(words.removeprefix("slowly since "))
    assert abs((since - day(28).replace(tzinfo=None)).days) <= 6
    assert found[0].evidence["course"] == "undecided", "little of it was there when it was found"
    assert came(measured) == {("live", "data_drift", "mileage"): words}


@pytest.mark.requirement("MON-16")
def test_as_every_week_by_windows_of_a_day(watched: Make) -> None:
    scene = watched(watched_project(window_s=DAY))
    mondays = [n for n in range(36) if day(n).weekday() == 0]
    found, measured = shifted(scene, range(mondays[-1] + 2), dict.fromkeys(mondays, 1.5))
    assert found[-1].evidence["course"] == "recurring"
    assert found[-1].title.endswith(", as every Monday")
    assert {m.window and m.window[0].weekday() for m in measured if m.detail.get("came")} == {0}


@pytest.mark.requirement("MON-16")
def test_as_in_the_known_event_before(watched: Make) -> None:
    sales = dict.fromkeys([*range(20, 23), *range(58, 61)], 1.0)
    events = [event("Spring sale", 20, 23), event("Spring  sale", 58, 61), event("Fair", 40, 41)]
    found, _ = shifted(watched(), range(64), sales, events)
    assert found[-1].evidence["course"] == "recurring"
    assert found[-1].title.endswith(", as before: Spring sale")


@pytest.mark.requirement("MON-16")
def test_as_on_the_holidays_before(watched: Make) -> None:
    # 2026-01-19 and 2026-02-16: Martin Luther King's and Washington's birthday.
    holidays = [n for n in range(84) if f"{day(n):%m-%d}" in ("01-19", "02-16")]
    near = {n + by: 2.0 for n in holidays for by in (-1, 0, 1)}
    found, _ = shifted(watched(), range(max(near) + 7), near)
    assert found[-1].evidence["course"] == "recurring"
    assert found[-1].title.endswith("as before: within a day of federal holidays of the United States")


@pytest.mark.requirement("MON-16")
def test_as_a_year_before(watched: Make) -> None:
    scene, now = watched(), range(364, 364 + 57)
    season = {n + year: 1.0 for n in range(45, 57) for year in (0, 364)}
    found, _ = shifted(scene, [*range(57), *now], season, n_rows=40)
    assert found[0].evidence["course"] == "abrupt", "nobody has seen it before"
    assert found[-1].evidence["course"] == "recurring"
    assert found[-1].title.endswith("? (as a year before)"), "a question stays one"


def test_windows_of_an_hour_are_not_told_apart_in_time(watched: Make) -> None:
    scene = watched(watched_project(window_s=3600))
    found, _ = shifted(scene, range(3), dict.fromkeys(range(3), 2.0))
    assert found[0].evidence["course"] == "undecided"
    assert found[0].evidence["compared"] == "the window is too short to be told apart in time"
