"""Calls by hour and consumer, beside the day and the week before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.monitoring.calls import watch_calls
from headrace.monitoring.ingest import predictions_table
from headrace.monitoring.watch import Round
from headrace.testing import START
from tests.monitoring.traffic import LIVE, PROJECT, Scene, watched_project

Make = Callable[..., Scene]
Counts = NDArray[np.int64]
HOUR = timedelta(hours=1)
DAY, WEEK = 24, 168


def busy(n_hours: int, mean: float = 60.0) -> NDArray[np.float64]:
    """Calls to be expected: more at noon than at midnight, fewer at weekends."""
    hours = np.arange(n_hours)
    weekend = np.where(hours // DAY % 7 >= 5, 0.3, 1.0)
    return np.asarray(mean * weekend * (1 + 0.7 * np.sin((hours % DAY - 6) / DAY * 2 * np.pi)))


def called(scene: Scene, calls: Mapping[str, Counts], since: datetime = START) -> None:
    """Put calls of one row each into the record, by consumer and hour, spread over each hour."""
    at, principal, number = [], [], []
    for name, counts in calls.items():
        for hour, n in enumerate(counts.tolist()):
            seconds = np.linspace(0, 3599, n).astype("timedelta64[s]")
            start = np.datetime64((since + hour * HOUR).replace(tzinfo=None), "us")
            at.append(start + seconds)
            principal += [name] * n
            number += [f"{name}-{since:%d%H}-{hour}-{i}" for i in range(n)]
    times = np.concatenate(at)
    columns = {
        "prediction_id": np.array(number, dtype=object),
        "row": np.zeros(len(number), dtype=np.int64),
        "subject": np.array(number, dtype=object),
        "release_id": np.array([LIVE] * len(number), dtype=object),
        "arm": np.array(["live"] * len(number), dtype=object),
        "principal": np.array(principal, dtype=object),
        "event_time": times,
        "at": times,
        "out_predict": np.zeros(len(number)),
    }
    scene.store.tables.append(predictions_table(PROJECT), columns)


def look(scene: Scene, hours: float) -> Round:
    """One round, so many hours after the start, kept."""
    scene.clock.advance((START + hours * HOUR - scene.clock.now()).total_seconds())
    found = watch_calls(scene.looking())
    scene.store.evidence.measure(found.measurements)
    return found


@pytest.mark.requirement("MON-04")
def test_calls_that_stop_are_found_within_the_hour(watched: Make) -> None:
    scene = watched()
    calls = scene.random.poisson(busy(15 * DAY))
    calls[14 * DAY + 12 :] = 0
    called(scene, {"shop": calls})
    assert look(scene, 14 * DAY + 12.1).findings == []
    (finding,) = look(scene, 14 * DAY + 13.1).findings
    assert finding.kind == "traffic"
    assert finding.window == (START + (14 * DAY + 12) * HOUR, START + (14 * DAY + 13) * HOUR)
    assert finding.size == -1.0
    assert finding.release_id == LIVE
    assert finding.evidence["got"] == 0
    assert finding.evidence["expected"] in (
        finding.evidence["day_before"],
        finding.evidence["week_before"],
    )
    assert finding.evidence["consumers"][0]["consumer"] == "shop"
    assert "0 where" in finding.title
    assert "'shop'" in finding.title
    assert look(scene, 15 * DAY - 0.5).findings == [], "what goes on is not announced again"


@pytest.mark.requirement("MON-04")
def test_a_change_of_forty_percent_is_found_and_less_is_not(watched: Make) -> None:
    for factor, n_findings in ((0.5, 1), (1.6, 1), (0.75, 0), (1.25, 0)):
        scene = watched()
        expected = busy(17 * DAY, mean=400)
        expected[16 * DAY + 10 :] *= factor
        called(scene, {"shop": np.asarray(expected, dtype=np.int64)})
        found = look(scene, 16 * DAY + 11.1).findings
        assert len(found) == n_findings, factor
        assert all(np.isclose(finding.size, factor - 1, atol=0.05) for finding in found)


def test_the_limit_can_be_declared(watched: Make) -> None:
    scene = watched(watched_project(calls_change=0.2))
    expected = busy(17 * DAY, mean=400)
    expected[16 * DAY + 10 :] *= 0.75
    called(scene, {"shop": np.asarray(expected, dtype=np.int64)})
    (finding,) = look(scene, 16 * DAY + 11.1).findings
    assert finding.evidence["limit"] == 0.2


@pytest.mark.parametrize("mean", [2.0, 25.0])
def test_traffic_that_varies_by_itself_raises_nothing(watched: Make, mean: float) -> None:
    """Five weeks with quiet weekends, rates that vary by 30 % from hour to hour and 20 % from day to day."""
    n_hours, findings = 5 * WEEK, 0
    for seed in range(4):
        scene = watched(seed=seed)
        rates = busy(n_hours, mean) * scene.random.gamma(11, 1 / 11, n_hours)
        rates *= np.repeat(scene.random.gamma(25, 1 / 25, n_hours // DAY), DAY)
        shop = scene.random.poisson(rates)
        phone = scene.random.poisson(0.2 * rates)
        called(scene, {"shop": shop, "phone": phone})
        findings += len(look(scene, n_hours + 0.1).findings)
    assert findings == 0


def test_few_calls_are_compared_over_more_hours(watched: Make) -> None:
    scene = watched()
    calls = scene.random.poisson(np.full(15 * DAY, 6.0))
    calls[14 * DAY :] = 0
    called(scene, {"shop": calls})
    assert look(scene, 14 * DAY + 1.1).findings == [], "six expected calls may well stay away for an hour"
    (finding,) = look(scene, 14 * DAY + 6.1).findings
    assert finding.evidence["hours"] > 1


def test_a_drop_that_takes_a_day_to_be_seen_does_not_count_as_usual_meanwhile(watched: Make) -> None:
    """Ten calls an hour become three, at a tenth of the default budget; rounds come once a week."""
    found = 0
    for seed in range(10):
        scene = watched(watched_project(false_alarms=0.1), seed=seed)
        expected = np.full(16 * DAY, 10.0)
        expected[14 * DAY :] = 3.0
        called(scene, {"shop": scene.random.poisson(expected)})
        assert look(scene, 14 * DAY + 0.1).findings == []
        found += bool(look(scene, 16 * DAY - 0.9).findings)
    assert found >= 8


@pytest.mark.requirement("MON-32")
def test_the_consumer_who_fell_away_is_named(watched: Make) -> None:
    scene = watched()
    shop, app = scene.random.poisson(np.full(15 * DAY, 400)), scene.random.poisson(np.full(15 * DAY, 40))
    app[14 * DAY :] = 0
    called(scene, {"shop": shop, "app": app})
    found = look(scene, 14 * DAY + 1.1)
    (finding,) = found.findings
    assert finding.feature == "app"
    assert finding.title.startswith("calls of 'app': 0 where")
    newest = found.measurements[-1]
    assert newest.detail["consumers"] == {"shop": {"calls": shop[14 * DAY], "predictions": shop[14 * DAY]}}
    assert newest.value == shop[14 * DAY]
    assert newest.detail["week_before"] == shop[7 * DAY] + app[7 * DAY]


def test_an_outage_is_one_finding_and_its_echo_none(watched: Make) -> None:
    """A day and a week later the same hours are many times those of the outage, which is no news."""
    scene = watched()
    calls = scene.random.poisson(np.full(24 * DAY, 100))
    calls[14 * DAY + 3 : 14 * DAY + 9] = 0
    called(scene, {"shop": calls})
    found = look(scene, 24 * DAY + 0.1)
    assert [finding.window[0] for finding in found.findings] == [START + (14 * DAY + 3) * HOUR]


def test_a_second_outage_is_another_finding(watched: Make) -> None:
    scene = watched()
    calls = scene.random.poisson(np.full(20 * DAY, 100))
    calls[14 * DAY + 3 : 14 * DAY + 5] = 0
    calls[17 * DAY + 3 : 17 * DAY + 5] = 0
    called(scene, {"shop": calls})
    found = look(scene, 20 * DAY + 0.1).findings
    assert [finding.window[0] for finding in found] == [START + (d * DAY + 3) * HOUR for d in (14, 17)]


def test_rounds_at_any_moment_find_what_one_round_finds(watched: Make) -> None:
    """Also when one is killed before it has kept what it saw."""
    found = []
    for rounds in ([16 * DAY + 0.1], [3.5, 200.2, 200.9, 14 * DAY + 5.3, 14 * DAY + 30.5, 16 * DAY + 0.1]):
        scene = watched(seed=3)
        calls = scene.random.poisson(busy(16 * DAY, 90))
        calls[14 * DAY + 8 : 14 * DAY + 12] = 0
        together = Round([], [])
        called(scene, {"shop": calls})
        for hours in rounds:
            scene.clock.advance((START + hours * HOUR - scene.clock.now()).total_seconds())
            killed = watch_calls(scene.looking())
            assert [f.id for f in watch_calls(scene.looking()).findings] == [f.id for f in killed.findings]
            one = look(scene, hours)
            together.measurements.extend(one.measurements)
            together.findings.extend(one.findings)
        found.append(
            (
                [(m.id, m.value, m.detail) for m in together.measurements],
                [(f.id, f.title) for f in together.findings],
            )
        )
    assert found[0] == found[1]
    assert len(found[0][0]) == 16 * DAY - 1, "the first hour is no full one"
    assert len(found[0][1]) == 1


def test_nothing_is_concluded_while_nobody_knows_what_is_usual(watched: Make) -> None:
    scene = watched()
    assert look(scene, 5).measurements == [], "nobody has called yet"
    calls = np.full(7 * DAY, 500)
    calls[5 * DAY :] = 0
    called(scene, {"shop": calls})
    found = look(scene, 7 * DAY + 0.1)
    assert found.findings == []
    assert [m.value for m in found.measurements[-2:]] == [0.0, 0.0]
    assert look(scene, 7 * DAY + 0.2).measurements == [], "no hour is counted twice"
