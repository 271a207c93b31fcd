"""Sensors that degrade slowly: each source's deviation from the truth, over weeks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from headrace.core.ids import derived_id
from headrace.core.project import MonitorSpec, Project
from headrace.core.release import Measurement
from headrace.monitoring.diagnosis import diagnose
from headrace.monitoring.segments import NAME as SEGMENT
from headrace.monitoring.segments import watch_segments
from headrace.monitoring.sources import NAME, is_watched, watch_sources
from headrace.monitoring.watch import Round, Watch
from headrace.testing import START, make_measurement
from tests.monitoring.test_segments import weeks
from tests.monitoring.traffic import Scene, named, watched_project

Make = Callable[..., Scene]
WEEK = timedelta(days=7)
SPREAD, N_ROWS = 1000.0, 100
ERROR = SPREAD / N_ROWS**0.5


def sourced(**monitors: Any) -> Project:
    """Cars by fuel: the tank's sensor is another one for each."""
    return replace(watched_project(), monitors=MonitorSpec(segments=("fuel",), **monitors))


def mean(release_id: str, week: int, source: str, value: float, column: str = "fuel") -> Measurement:
    """The mean deviation of a source in a week, of a hundred rows."""
    window = (START + week * WEEK, START + (week + 1) * WEEK)
    interval = (value - 1.645 * ERROR, value + 1.645 * ERROR)
    return make_measurement(
        id=derived_id(release_id, str(week), source), name=SEGMENT, feature=column, segment=source,
        value=value, release_id=release_id, n_rows=N_ROWS, window=window, interval=interval,
        confidence=0.9, detail={"metric": "bias"},
    )  # fmt: skip


def quarters(
    random: np.random.Generator, n_releases: int, drift: Callable[[int, str], float]
) -> list[Measurement]:
    """Of each release twelve weeks of three sources."""
    return [
        mean(f"r{number}", week, source, float(random.normal(drift(week, source), ERROR)))
        for number in range(n_releases)
        for week in range(12)
        for source in ("a", "b", "c")
    ]


def look(scene: Scene, measured: list[Measurement]) -> tuple[Watch, Round]:
    """One round that knows what was measured."""
    scene.store.evidence.measure(measured)
    watch = scene.looking()
    return watch, watch_sources(watch)


@pytest.mark.requirement("MON-35")
def test_a_source_that_degrades_slowly_is_named_from_what_labels_say(watched: Make) -> None:
    scene = watched(sourced())

    def errors(week: int, columns: Mapping[str, Any]) -> NDArray[np.float64]:
        off = np.where(columns["fuel"] == "hybrid", 60.0 * week, 0.0)
        return np.asarray(scene.random.normal(off, 400.0))

    weeks(scene, 10, 500, errors)
    scene.store.evidence.measure(watch_segments(scene.looking()).measurements)
    found = watch_sources(scene.looking())
    (finding,) = found.findings
    assert (finding.kind, finding.feature) == ("deviation", "fuel: hybrid")
    assert finding.evidence["slope"] == pytest.approx(60, rel=0.3)
    assert "where fuel is 'hybrid' has been growing for 10 windows" in finding.title
    assert finding.window == (START, START + 10 * WEEK)
    assert [one.name for one in diagnose([finding])] == ["degrading"]
    assert {one.segment for one in named(found, NAME)} == {"diesel", "hybrid", "petrol"}
    scene.store.evidence.measure(found.measurements)
    again = watch_sources(scene.looking())
    assert (again.measurements, again.findings) == ([], []), "nothing is new"


@pytest.mark.requirement("MON-35")
def test_chance_makes_a_finding_no_oftener_than_the_level_says(watched: Make) -> None:
    scene = watched(sourced(false_alarms=60.0, shift=0.0))
    lasting = {"a": 0.0, "b": 300.0, "c": -300.0}
    measured = quarters(scene.random, 300, lambda _, source: lasting[source])
    watch, found = look(scene, measured)
    level = watch.level(2 * 3)
    assert level > 0.01, "low enough to be exceeded if it did not hold"
    assert len(found.measurements) == 900
    assert len(found.findings) <= binom.ppf(0.999, 900, 2 * level)


@pytest.mark.requirement("MON-35")
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_growing_deviation_is_found_in_either_direction_and_in_no_other_source(
    watched: Make, sign: float
) -> None:
    scene = watched(sourced())
    measured = quarters(scene.random, 60, lambda week, source: sign * 60.0 * week if source == "b" else 0.0)
    _, found = look(scene, measured)
    assert {one.feature for one in found.findings} == {"fuel: b"}
    assert len(found.findings) >= 54
    assert all(np.sign(one.evidence["slope"]) == sign for one in found.findings)


def test_what_grows_everywhere_or_shrinks_is_no_matter_of_a_source(watched: Make) -> None:
    scene = watched(sourced())
    everywhere = quarters(scene.random, 30, lambda week, _: 100.0 * week)
    assert look(scene, everywhere)[1].findings == []
    scene = watched(sourced(), seed=1)
    better = quarters(scene.random, 30, lambda week, source: 100.0 * (11 - week) if source == "b" else 0.0)
    assert look(scene, better)[1].findings == []


def test_a_sure_but_small_drift_is_none(watched: Make) -> None:
    scene = watched(sourced(shift=0.8))
    _, found = look(scene, quarters(scene.random, 30, lambda week, source: 60.0 * week * (source == "b")))
    assert len(found.measurements) == 90
    assert found.findings == []


def test_few_windows_single_sources_and_undeclared_columns_say_nothing(watched: Make) -> None:
    scene = watched(sourced())
    few = [mean("few", week, source, 100.0 * week) for week in range(4) for source in ("a", "b")]
    single = [mean("single", week, "a", 100.0 * week) for week in range(12)]
    other = [
        mean("other", week, source, 100.0 * week * (source == "b"), column="region")
        for week in range(12)
        for source in ("a", "b")
    ]
    _, found = look(scene, few + single + other)
    assert (found.measurements, found.findings) == ([], [])


def test_only_numbers_have_a_deviation() -> None:
    assert is_watched(sourced())
    assert not is_watched(replace(sourced(), monitors=MonitorSpec()))
    assert not is_watched(replace(sourced(), task="classification"))
