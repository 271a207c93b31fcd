"""Rounds of watching over real tables: what is planted is found, what is clean is left alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.project import MonitorSpec
from headrace.monitoring.watch import QUARTER_S, Round, level_of
from tests.monitoring.traffic import Scene, day, label, named, watched_project

Make = Callable[..., Scene]
WEEK = timedelta(days=7)


@given(
    budget=st.floats(0.01, 4),
    window_s=st.sampled_from([3600, 86_400, 604_800, QUARTER_S]),
    n_monitors=st.integers(1, 10),
    n_tests=st.integers(1, 500),
)
def test_the_levels_of_a_quarter_add_up_to_the_budget(
    budget: float, window_s: int, n_monitors: int, n_tests: int
) -> None:
    monitors = MonitorSpec(false_alarms=budget, window_s=window_s)
    level = level_of(monitors, n_monitors, n_tests)
    spent = level * n_tests * n_monitors * (QUARTER_S / window_s)
    assert spent == pytest.approx(budget) or (level == 0.05 and spent < budget)


def test_fifty_clean_windows_raise_nothing(watched: Make) -> None:
    scene = watched(watched_project(false_alarms=0.02), seed=7)
    subjects = scene.traffic(range(351), 30)
    noise = scene.random.normal(0, 1000, len(subjects))
    scene.told(
        label(subject, value + error, at=day(400))
        for (subject, value), error in zip(subjects.items(), noise, strict=True)
    )
    found = scene.watch()
    assert len(named(found, "window")) == 50
    assert len(named(found, "mae")) == 51, "labels are measured before their window is closed, too"
    assert found.findings == []


def test_a_small_window_is_measured_and_concludes_nothing(watched: Make) -> None:
    scene = watched()
    scene.traffic(range(8), 4, shifted=dict.fromkeys(range(8), 5.0))
    found = scene.watch()
    assert found.findings == []
    assert named(found, "shift") == []
    assert [m.value for m in named(found, "window")] == [28.0]


def test_what_was_concluded_once_is_not_concluded_again(watched: Make) -> None:
    scene = watched()
    subjects = scene.traffic(range(15), 40, shifted=dict.fromkeys(range(7), 1.0))
    scene.told(label(s, v + 4000.0, at=day(15)) for s, v in subjects.items())
    first = scene.watch()
    kinds = {f.kind for f in first.findings}
    assert kinds == {"data_drift", "prediction_drift", "performance"}
    second = scene.watch()
    assert second == Round([], [])
    scene.traffic(range(15, 30), 40, shifted=dict.fromkeys(range(15, 30), 1.0))
    third = scene.watch()
    assert len(named(third, "window")) == 2, "only the windows that have closed since"
    known = {f.id for f in first.findings}
    assert {f.id for f in third.findings} <= known, "one finding per release, kind and feature"


def test_a_round_that_was_killed_says_the_same_again(watched: Make) -> None:
    """Findings are kept before measurements, so a killed round finds its windows unmeasured."""
    scene = watched()
    subjects = scene.traffic(range(15), 40, shifted=dict.fromkeys(range(7), 1.0))
    scene.told(label(s, v + 4000.0, at=day(15)) for s, v in subjects.items())
    first, again = scene.look(), scene.look()
    assert first == again
    scene.store.evidence.measure(first.measurements)
    scene.store.evidence.measure(first.measurements)
    kept = scene.store.evidence.measurements("cars", name="shift")
    assert len(kept) == len({m.id for m in kept}) == 8


def test_nothing_answered_measures_nothing(watched: Make) -> None:
    assert watched().watch() == Round([], [])
