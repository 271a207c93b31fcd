"""Late labels meet early answers: losses by window, and when they are worse than they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from headrace.checks.profiles import Profile
from headrace.core.project import Column, ModelGate
from headrace.monitoring.baseline import make_baseline
from headrace.monitoring.watch import Round
from headrace.testing import START
from tests.monitoring.traffic import LIVE, Scene, answer, day, label, named, trained, watched_project

Make = Callable[..., Scene]
WEEK = timedelta(days=7)


@pytest.mark.requirement("MON-19", "MON-21")
def test_labels_that_come_months_later_are_filled_in(watched: Make) -> None:
    scene = watched()
    subjects = list(scene.traffic(range(14), 20).items())
    assert named(scene.watch(), "mae") == []
    first_week = subjects[:140]
    scene.told(label(s, v + 100.0, at=day(90)) for s, v in first_week[:40])
    (partly,) = named(scene.watch(), "mae")
    assert partly.n_rows == 40
    assert partly.value == pytest.approx(100.0)
    assert partly.window == (START, START + WEEK), "the window of the answers, not of the labels"
    assert partly.release_id == LIVE
    scene.told(label(s, v + 300.0, at=day(97)) for s, v in first_week[40:])
    (wholly,) = named(scene.watch(), "mae")
    assert wholly.n_rows == 140
    assert wholly.value == pytest.approx((40 * 100.0 + 100 * 300.0) / 140)
    assert wholly.interval is not None
    assert wholly.interval[0] < 240 < wholly.interval[1]
    assert named(scene.watch(), "mae") == []


@pytest.mark.requirement("MON-19")
def test_a_corrected_label_is_measured_anew(watched: Make) -> None:
    scene = watched()
    subjects = scene.traffic(range(7), 20)
    scene.told(label(s, v + 100.0, at=day(8)) for s, v in subjects.items())
    (before,) = named(scene.watch(), "mae")
    subject, value = next(iter(subjects.items()))
    scene.told([label(subject, value, at=day(9), kind="correction")])
    (after,) = named(scene.watch(), "mae")
    assert after.id != before.id
    assert (after.n_rows, after.window) == (before.n_rows, before.window)
    assert after.value == pytest.approx(100.0 * 139 / 140)


@pytest.mark.parametrize(("factor", "degraded"), [(1.0, False), (1.04, False), (1.5, True)])
def test_a_loss_that_is_higher_by_evidence_and_size_is_found(
    watched: Make, factor: float, degraded: bool
) -> None:
    scene = watched(seed=2)
    subjects = scene.traffic(range(7), 50)
    noise = scene.random.normal(0, 1000 * factor, len(subjects))
    scene.told(label(s, v + e, at=day(8)) for (s, v), e in zip(subjects.items(), noise, strict=True))
    scene.close(7)
    found = [one for one in scene.watch().findings if one.kind != "concept_drift"]
    assert [f.kind for f in found] == ["performance"] * degraded
    if degraded:
        (finding,) = found
        assert finding.size == pytest.approx(factor, rel=0.15)
        assert finding.evidence["observed"] > finding.evidence["reference"]
        assert finding.evidence["p_value"] <= finding.evidence["level"]
        assert finding.evidence["n_labels"] == 350
        assert "times what it was" in finding.title


def one_a_day(watched: Make, seed: int) -> Scene:
    """As the template for forecasts watches."""
    monitors = {"window_s": 86_400, "min_rows": 1, "loss_ratio": 1.5, "false_alarms": 0.001}
    return watched(watched_project(**monitors), seed=seed)


@pytest.mark.parametrize("seed", range(4))
def test_with_one_row_a_day_a_collapse_is_noticed_within_a_week(watched: Make, seed: int) -> None:
    scene = one_a_day(watched, seed)
    collapse = 60
    subjects = scene.traffic(range(75), 1)
    truths = {
        s: v + e - 3000.0 * (n >= collapse)
        for n, ((s, v), e) in enumerate(zip(subjects.items(), scene.random.normal(0, 1000, 75), strict=True))
    }
    told = list(truths.items())
    scene.told(label(s, v, at=day(n)) for n, (s, v) in enumerate(told[:collapse]))
    assert scene.watch().findings == [], "two quiet months"
    for number in range(collapse, 75):
        subject, value = told[number]
        scene.told([label(subject, value, at=day(number))])
        if found := scene.watch().findings:
            break
    assert number - collapse < 7
    (finding,) = found
    assert finding.kind == "performance"
    assert finding.evidence["test"] == "cumulative sum (Page)"
    assert finding.evidence["sum"] > finding.evidence["limit"]
    assert finding.window[0] >= START + timedelta(days=collapse - 10), "it says since when"
    assert finding.window[1] == START + timedelta(days=number + 1)


def test_a_rise_too_small_to_report_hides_no_collapse_behind_it(watched: Make) -> None:
    scene = one_a_day(watched, seed=5)
    subjects = scene.traffic(range(60), 1)
    told = [
        label(s, v + (4000.0 if n >= 50 else 950.0), at=day(n)) for n, (s, v) in enumerate(subjects.items())
    ]
    scene.told(told[:50])
    assert scene.watch().findings == [], "lasting, and less than what was asked to be told"
    scene.told(told[50:57])
    assert [f.kind for f in scene.watch().findings] == ["performance"]


def test_a_model_that_never_erred_can_be_watched(watched: Make) -> None:
    scene = one_a_day(watched, seed=0)
    scene.baselines[LIVE] = trained(scene.random, noise=0.0)
    subjects = scene.traffic(range(30), 1)
    scene.told(label(s, v + 5.0, at=day(30)) for s, v in subjects.items())
    assert len(named(scene.watch(), "mae")) == 30


def classifier(watched: Make) -> Scene:
    gates = replace(watched_project().gates, model=ModelGate(metric="log_loss"))
    scene = watched(replace(watched_project(), task="classification", gates=gates))
    columns = {"mileage": scene.random.normal(size=200)}
    for release, classes in ((LIVE, ("late", "on time")), ("canary", ("cancelled", "late", "on time"))):
        scene.baselines[release] = make_baseline(
            Profile.fit(columns, (Column(name="mileage", role="numeric"),)),
            np.array(["late"] * 200, dtype=object), np.full(200, 0.4), "log_loss",
            trained_until=None, classes=classes,
        )  # fmt: skip
    return scene


def test_classes_are_scored_by_the_release_that_answered(watched: Make) -> None:
    scene = classifier(watched)
    mileage = {"mileage": [0.0, 0.0]}
    scene.answered(
        [
            answer("two", columns=mileage, outputs={"predict": ["late", "late"], "probability": [0.2, 0.5]}),
            answer("three", release="canary", columns=mileage,
                   outputs={"predict": ["late"] * 2, "probability": [[0.1, 0.8, 0.1], [0.5, 0.25, 0.25]]}),
        ]
    )  # fmt: skip
    scene.told([label("two:0", "late"), label("two:1", "on time"), label("three:0", "late"),
                label("three:1", "cancelled"), label("three:1", 17.0, kind="rating")])  # fmt: skip
    measured = {m.release_id: m.value for m in named(scene.watch(), "log_loss")}
    assert measured[LIVE] == pytest.approx(-(np.log(0.8) + np.log(0.5)) / 2)
    assert measured["canary"] == pytest.approx(-(np.log(0.8) + np.log(0.5)) / 2)


def test_a_label_that_says_nothing_spoils_no_mean(watched: Make) -> None:
    scene = watched()
    scene.answered(
        [answer("p", columns={"mileage": [1.0] * 4}, outputs={"predict": [10.0, 20.0, float("nan"), 40.0]})]
    )
    scene.told([label("p:0", 11.0), label("p:1", "unknown"), label("p:2", 30.0), label("p:3", 43.0)])
    (measured,) = named(scene.watch(), "mae")
    assert (measured.value, measured.n_rows) == (2.0, 2)


def test_labels_that_all_say_nothing_measure_nothing(watched: Make) -> None:
    scene = watched()
    scene.answered([answer("p", columns={"mileage": [1.0]}, outputs={"predict": [10.0]})])
    scene.told([label("p:0", "unknown")])
    assert scene.watch() == Round([], [])


def test_numbers_told_as_text_are_numbers(watched: Make) -> None:
    scene = watched()
    scene.answered([answer("p", columns={"mileage": [1.0]}, outputs={"predict": [10.0]})])
    scene.told([label("p:0", "12.5")])
    assert [m.value for m in named(scene.watch(), "mae")] == [2.5]


def test_each_release_is_compared_with_its_own_training(watched: Make) -> None:
    scene = watched()
    scene.baselines["canary"] = trained(scene.random, noise=1000.0)
    columns = {"mileage": [50_000.0] * 40, "year": [2015.0] * 40, "fuel": ["petrol"] * 40}
    scene.answered(
        [
            answer("live", columns=columns, outputs={"predict": [1.0] * 40}),
            answer("canary", release="canary", columns=columns, outputs={"predict": [1.0] * 40}),
            answer("next", at=day(8), columns=columns, outputs={"predict": [1.0] * 40}),
        ]
    )
    windows = named(scene.watch(), "window")
    assert {(m.release_id, m.n_rows) for m in windows} == {(LIVE, 40), ("canary", 40)}
