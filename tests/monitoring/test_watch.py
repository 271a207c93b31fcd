"""Rounds of watching over real tables: what is planted is found, what is clean is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from headrace.core.project import Column, ModelGate, PrivacySpec
from headrace.core.release import Measurement
from headrace.monitoring.baseline import make_baseline
from headrace.monitoring.watch import Round
from headrace.testing import START
from tests.monitoring.traffic import LIVE, Scene, answer, day, label, trained, watched_project

Make = Callable[..., Scene]
WEEK = timedelta(days=7)


def named(round_: Round, name: str) -> list[Measurement]:
    return [m for m in round_.measurements if m.name == name]


@pytest.mark.requirement("MON-11", "MON-14")
def test_a_shift_in_one_feature_is_found_by_its_name(watched: Make) -> None:
    scene = watched()
    scene.traffic(range(22), 40, shifted=dict.fromkeys(range(14, 21), 1.0))
    found = scene.watch().findings
    shift = next(f for f in found if f.feature == "mileage")
    assert {f.feature for f in found} == {"mileage", "prediction"}, "the price follows the mileage"
    assert shift.kind == "data_drift"
    assert shift.release_id == LIVE
    assert shift.window == (START + 2 * WEEK, START + 3 * WEEK)
    assert shift.size == shift.evidence["psi"] >= scene.project.monitors.psi
    assert shift.evidence["p_value"] <= shift.evidence["level"] == 0.01 / 4, "corrected over all features"
    assert (shift.evidence["test"], shift.evidence["n_current"]) == ("ks", 280)
    assert "mileage" in shift.title


@pytest.mark.requirement("PRV-07")
def test_an_input_that_is_not_recorded_as_it_came_is_not_watched(watched: Make) -> None:
    privacy = PrivacySpec(basis="consent", fields={"fuel": "hash", "year": "drop"})
    scene = watched(replace(watched_project(), privacy=privacy))
    scene.traffic(range(8), 40)
    found = scene.watch()
    assert {m.feature for m in named(found, "psi")} == {"mileage", "prediction"}
    (window,) = named(found, "window")
    assert window.detail["unwatched"] == ["year", "fuel"]


@pytest.mark.requirement("MON-11")
def test_every_feature_of_every_window_is_measured_with_its_statistics(watched: Make) -> None:
    scene = watched()
    scene.traffic(range(15), 40)
    psi = named(scene.watch(), "psi")
    assert sorted((m.feature, m.window) for m in psi) == sorted(
        (feature, (START + i * WEEK, START + (i + 1) * WEEK))
        for feature in ("mileage", "year", "fuel", "prediction")
        for i in range(2)
    )
    mileage = next(m for m in psi if m.feature == "mileage")
    assert mileage.n_rows == 280
    assert mileage.detail["statistics"]["mean"] == pytest.approx(50_000, rel=0.05)
    assert mileage.detail["statistics"]["missing"] == 0


@pytest.mark.requirement("MON-14")
@pytest.mark.parametrize(("feature", "test"), [("mileage", "ks"), ("fuel", "chi2"), ("prediction", "ks")])
def test_every_measure_of_a_shift_is_kept(watched: Make, feature: str, test: str) -> None:
    scene = watched()
    scene.traffic(range(8), 40)
    measured = next(m for m in named(scene.watch(), "psi") if m.feature == feature)
    assert measured.value is not None
    assert measured.detail["test"] == test
    assert 0 <= measured.detail["p_value"] <= 1
    assert measured.detail["kl"] >= 0
    assert 0 <= measured.detail["js"] <= 1
    assert (measured.detail["ks"] is not None) == (test == "ks")


@pytest.mark.parametrize(("psi", "shifted"), [(0.0, 0.0), (50.0, 1.0)])
def test_neither_size_without_evidence_nor_evidence_without_size_is_a_finding(
    watched: Make, psi: float, shifted: float
) -> None:
    scene = watched(watched_project(psi=psi))
    scene.traffic(range(8), 40, shifted=dict.fromkeys(range(8), shifted))
    found = scene.watch()
    assert len(named(found, "psi")) == 4
    assert found.findings == []


def test_fifty_clean_windows_raise_nothing(watched: Make) -> None:
    scene = watched(seed=7)
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
    assert named(found, "psi") == []
    assert [m.value for m in named(found, "window")] == [28.0]
    assert named(found, "prediction")[0].detail["median"] < 30_000


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
    rounds = []
    for _ in range(2):
        watcher = scene.watcher()
        inputs, performance = watcher.watch_inputs(), watcher.watch_performance()
        rounds.append((inputs, performance))
    assert rounds[0] == rounds[1]
    scene.store.evidence.measure(rounds[0][0].measurements)
    scene.store.evidence.measure(rounds[0][0].measurements)
    kept = scene.store.evidence.measurements("cars", name="psi")
    assert len(kept) == len({m.id for m in kept}) == 8


@pytest.mark.requirement("MON-19")
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
    found = scene.watch().findings
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


def test_an_input_that_is_always_missing_is_a_shift(watched: Make) -> None:
    scene = watched()
    made = [
        answer(f"d{n}", at=day(n), columns={"mileage": [50_000.0] * 40, "fuel": [None] * 40},
               outputs={"predict": [1.0] * 40})
        for n in range(8)
    ]  # fmt: skip
    scene.answered(made)
    found = {f.feature for f in scene.watch().findings}
    assert {"fuel", "year"} <= found, "null in every row, and absent from every row"


def flagged(scene: Scene, *, share: float, numeric: frozenset[str]) -> Scene:
    """Traffic of a model with one input of true and false, of which ``share`` are true."""
    flags = scene.random.random(2000) < 0.3
    scene.baselines[LIVE] = make_baseline(
        {"flag": flags}, (Column(name="flag", role="categorical"),), np.ones(2000), np.ones(2000), "mae",
        trained_until=None,
    )  # fmt: skip
    for number in range(8):
        now = [bool(v) for v in scene.random.random(60) < share]
        made = answer(f"d{number}", at=day(number), columns={"flag": now}, outputs={"predict": [1.0] * 60})
        scene.answered([made], numeric)
    return scene


@pytest.mark.parametrize(("share", "found"), [(0.3, []), (0.7, ["flag"])])
def test_true_and_false_are_compared_as_in_training(watched: Make, share: float, found: list[str]) -> None:
    scene = flagged(watched(), share=share, numeric=frozenset({"flag"}))
    assert [f.feature for f in scene.watch().findings] == found


def classifier(watched: Make) -> Scene:
    gates = replace(watched_project().gates, model=ModelGate(metric="log_loss"))
    scene = watched(replace(watched_project(), task="classification", gates=gates))
    columns = {"mileage": scene.random.normal(size=200)}
    for release, classes in ((LIVE, ("late", "on time")), ("canary", ("cancelled", "late", "on time"))):
        scene.baselines[release] = make_baseline(
            columns, (Column(name="mileage", role="numeric"),), np.array(["late"] * 200, dtype=object),
            np.full(200, 0.4), "log_loss", trained_until=None, classes=classes,
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


def test_answers_that_are_no_numbers_are_counted(watched: Make) -> None:
    scene = watched()
    bad = [float("nan"), float("inf"), 5.0]
    scene.answered(
        [
            answer("bad", at=day(0), columns={"mileage": [1.0] * 3}, outputs={"predict": bad}),
            answer("next", at=day(8), columns={"mileage": [1.0]}, outputs={"predict": [1.0]}),
        ]
    )
    (measured,) = named(scene.watch(), "prediction")
    assert measured.value == 5.0
    assert measured.detail["not_finite"] == 2


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


def test_nothing_answered_measures_nothing(watched: Make) -> None:
    assert watched().watch() == Round([], [])
