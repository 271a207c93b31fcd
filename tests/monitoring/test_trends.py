"""Where the loss and the declared metrics are going."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.core.ids import derived_id
from headrace.core.project import MetricSpec
from headrace.core.release import Measurement
from headrace.monitoring.trends import NAME, watch_trends
from headrace.monitoring.watch import Round
from headrace.testing import START, make_finding, make_measurement
from tests.monitoring.traffic import LIVE, Scene, named, watched_project

Make = Callable[..., Scene]
WEEK = timedelta(days=7)


def week(
    number: int, value: float, name: str = "mae", feature: str | None = None, n_rows: int = 500
) -> Measurement:
    """A value of a week, known to 1 %."""
    return make_measurement(
        id=derived_id(name, str(feature), str(number), str(value)), name=name, feature=feature, value=value,
        release_id=LIVE, n_rows=n_rows, window=(START + number * WEEK, START + (number + 1) * WEEK),
        interval=(0.984 * value, 1.016 * value), confidence=0.9, detail={"unit": ""},
    )  # fmt: skip


def look(scene: Scene) -> Round:
    """One round, kept."""
    found = watch_trends(scene.looking())
    scene.store.evidence.measure(found.measurements)
    return found


@pytest.mark.requirement("MON-05")
def test_a_slow_decay_that_no_window_shows_is_found(watched: Make) -> None:
    scene = watched()
    scene.store.evidence.measure([week(n, 1000 * 1.03**n) for n in range(8)])
    found = look(scene)
    (measured,) = named(found, NAME)
    assert measured.feature == "mae"
    assert measured.detail == {"current": 1000 * 1.03**7, "windows": 8}
    assert measured.value == pytest.approx(33, abs=2)
    (finding,) = found.findings
    assert (finding.kind, finding.feature) == ("performance", "trend of mae")
    assert finding.window == (START, START + 8 * WEEK)
    assert finding.size == pytest.approx(1.23, abs=0.02)
    assert look(scene).measurements == [], "nothing is new"
    scene.store.evidence.measure([week(8, 1000.0)])
    assert len(look(scene).measurements) == 1


def test_what_is_known_to_be_worse_is_not_announced_as_rising(watched: Make) -> None:
    scene = watched()
    scene.store.evidence.measure([week(n, 1000 * 1.03**n) for n in range(8)])
    worse = make_finding(project=scene.project.name, kind="performance", release_id=LIVE)
    found = watch_trends(replace(scene.looking(), known=[worse]))
    assert len(named(found, NAME)) == 1
    assert found.findings == []
    other = replace(worse, release_id="another")
    assert len(watch_trends(replace(scene.looking(), known=[other])).findings) == 1


def test_windows_of_a_few_labels_are_measured_and_no_finding(watched: Make) -> None:
    scene = watched()
    scene.store.evidence.measure([week(n, 1000 * 1.03**n, n_rows=19) for n in range(8)])
    found = look(scene)
    assert len(named(found, NAME)) == 1
    assert found.findings == []


def test_what_varies_or_falls_is_measured_and_no_finding(watched: Make) -> None:
    scene = watched()
    scene.store.evidence.measure([week(n, 1000 + 30 * (-1) ** n) for n in range(12)])
    found = look(scene)
    assert found.findings == []
    assert len(named(found, NAME)) == 1
    falling = watched()
    falling.store.evidence.measure([week(n, 1000 * 0.95**n) for n in range(12)])
    assert look(falling).findings == []
    short = watched()
    short.store.evidence.measure([week(n, 1000 * 1.5**n) for n in range(4)])
    assert look(short).measurements == []


@pytest.mark.requirement("MON-05")
def test_a_metric_on_its_way_beyond_its_limit_is_found_before_it_is_there(watched: Make) -> None:
    def project(limit: float) -> Scene:
        declared = replace(watched_project(), metrics=(MetricSpec(name="r2", min=limit),))
        scene = watched(declared)
        scene.store.evidence.measure([week(n, 0.9 - 0.02 * n, "metric", "r2") for n in range(8)])
        return scene

    (finding,) = look(project(0.7)).findings
    assert (finding.kind, finding.feature) == ("metric", "trend of r2")
    assert finding.title == "r2 is 0.76 and on its way beyond its limit 0.7 in 4 windows"
    assert look(project(0.6)).findings == [], "not within four windows"
    assert look(project(0.8)).findings == [], "it is there already, which is a finding of its own"
