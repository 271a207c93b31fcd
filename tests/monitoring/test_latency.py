"""A model that answers more slowly than declared, and one that keeps to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
from scipy.stats import binom

from headrace.core.project import ServiceLevel, ServingSpec
from headrace.core.record import Finding
from headrace.monitoring.diagnosis import diagnose
from headrace.monitoring.hours import GRACE
from headrace.monitoring.latency import NAME, watch_latency
from headrace.testing import START
from tests.monitoring.traffic import LIVE, Scene, answer, watched_project

Make = Callable[..., Scene]
HOUR = timedelta(hours=1)
LEVEL = ServiceLevel(p99_ms=50.0, requests_per_s=10.0)
DECLARED = replace(watched_project(), serving=ServingSpec(level=LEVEL))
ROW: dict[str, Any] = {"mileage": [1.0], "year": [2015.0], "fuel": ["petrol"]}


def asked(scene: Scene, hour: int, times: Any, n_rows: int = 1, **changes: Any) -> None:
    """Requests of one hour that took so many milliseconds; a third of them to read the rows."""
    columns = {name: values * n_rows for name, values in ROW.items()}
    scene.answered(
        [
            answer(
                f"{hour}-{place}-{n_rows}-{changes.get('release', LIVE)}", at=START + hour * HOUR,
                columns=columns, outputs={"predict": [1.0] * n_rows}, prepare_ms=ms / 3, infer_ms=2 * ms / 3,
                **changes,
            )
            for place, ms in enumerate(times)
        ]
    )  # fmt: skip


def look(scene: Scene, hours: int) -> list[Finding]:
    scene.clock.set(START + hours * HOUR + GRACE + timedelta(seconds=1))
    found = watch_latency(scene.looking())
    scene.store.evidence.measure(found.measurements)
    return found.findings


def test_a_model_that_gets_slower_is_found_within_the_hour_and_once(watched: Make) -> None:
    scene = watched(DECLARED)
    asked(scene, 0, [5.0])
    for hour in (1, 2, 3, 5, 7):
        asked(scene, hour, [70.0 if hour in (3, 5) else 5.0] * 10)
    asked(scene, 8, [70.0] * 10)
    assert look(scene, 3) == []
    (one,) = look(scene, 4)
    assert one.title == (
        "slow: 10 of 10 requests took longer than the declared 50 ms, 2026-01-01 03:00 to 04:00 UTC; "
        "half of them 70 ms or more"
    )
    assert (one.kind, one.release_id, one.size, one.evidence["p99_ms"]) == ("latency", LIVE, 1.0, 70.0)
    assert diagnose([one])[0].name == "slow"
    assert look(scene, 6) == [], "an hour without a request ends nothing, and what goes on is no news"
    (again,) = look(scene, 9)
    assert again.window[0] == START + 8 * HOUR
    assert again.id != one.id
    kept = scene.store.evidence.measurements(scene.project.name, name=NAME)
    assert sorted((m.window or (START, START))[0] for m in kept) == [START + n * HOUR for n in range(1, 9)]


def test_each_release_is_held_against_the_level(watched: Make) -> None:
    scene = watched(DECLARED)
    asked(scene, 0, [5.0])
    asked(scene, 1, [5.0] * 30)
    asked(scene, 1, [70.0] * 5, release="canary", arm="canary")
    assert [one.release_id for one in look(scene, 2)] == ["canary"]


def test_a_table_that_is_scored_at_once_is_no_slow_request(watched: Make) -> None:
    scene = watched(DECLARED)
    asked(scene, 0, [5.0])
    asked(scene, 1, [400.0] * 10, n_rows=100)
    assert look(scene, 2) == []


def test_without_a_declared_level_nothing_is_too_slow(watched: Make) -> None:
    scene = watched()
    asked(scene, 0, [5.0])
    asked(scene, 1, [9_000.0] * 10)
    assert look(scene, 2) == []


def test_a_model_that_just_keeps_its_level_is_called_slow_no_more_often_than_chance_may(
    watched: Make,
) -> None:
    """One request in a hundred takes longer; the budget is so large that an hour is tested at 5 %."""
    generous = replace(DECLARED, monitors=replace(DECLARED.monitors, false_alarms=1e6))
    scene, n_hours = watched(generous), 250
    for hour in range(n_hours + 1):
        asked(scene, hour, np.where(scene.random.random(40) < 0.01, 70.0, 5.0))
    look(scene, n_hours + 1)
    kept = scene.store.evidence.measurements(scene.project.name, name=NAME)
    n_slow = sum(one.detail["slow"] for one in kept)
    assert len(kept) == n_hours
    assert scene.looking().level(168) == 0.05
    assert binom.sf(n_slow - 1, n_hours, 0.05) > 0.001


def test_a_third_of_the_requests_slow_is_found_in_one_hour_of_forty(watched: Make) -> None:
    found = 0
    for seed in range(20):
        scene = watched(DECLARED, seed=seed)
        asked(scene, 0, [5.0])
        asked(scene, 1, np.where(scene.random.random(40) < 1 / 3, 70.0, 5.0))
        found += len(look(scene, 2))
    assert found >= 18
