from __future__ import annotations

from datetime import timedelta
from typing import Any

from headrace.core.release import Measurement
from headrace.testing.clock import START
from headrace.testing.factories import make_measurement
from headrace.web.pages.usage import consumers, traffic_plot, traffic_rows


def _hour(number: int, deviating: bool = False, **calls: int) -> Measurement:
    start = START + timedelta(hours=number)
    detail: dict[str, Any] = {
        "day_before": None,
        "week_before": 7,
        "consumers": {name: {"calls": n, "predictions": 3 * n} for name, n in calls.items()},
        "deviating": ["shop"] if deviating else [],
    }
    window = (start, start + timedelta(hours=1))
    return make_measurement(name="calls", value=float(sum(calls.values())), window=window, detail=detail)


def test_the_busiest_consumer_of_the_last_day_comes_first() -> None:
    hours = [_hour(0, old=900), *(_hour(n, shop=1, app=3) for n in range(1, 25))]
    first, second = consumers(hours)
    assert (first.name, first.calls, first.predictions, first.share) == ("app", 72, 216, 0.75)
    assert second.name == "shop"
    assert consumers([]) == []


def test_each_hour_is_drawn_once_and_downloaded_by_consumer() -> None:
    hours = [_hour(0, shop=1, app=3), _hour(1, True)]
    plot = traffic_plot(hours)
    assert plot["calls"] == [4, 0]
    assert plot["week_before"] == [7, 7]
    assert plot["deviating"] == [False, True]
    rows = traffic_rows(hours)
    assert [(row["consumer"], row["calls"], row["calls_of_all"]) for row in rows] == [
        ("shop", 1, 4), ("app", 3, 4), ("", 0, 0),
    ]  # fmt: skip
