"""Inputs and predictions against the training data: what moved is named, what did not is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from headrace.checks.profiles import Profile
from headrace.core.project import Column, PrivacySpec
from headrace.monitoring.baseline import make_baseline
from headrace.monitoring.shifts import watch_shifts
from headrace.testing import START
from tests.monitoring.traffic import LIVE, Scene, answer, cars, day, named, price, watched_project

Make = Callable[..., Scene]
WEEK = timedelta(days=7)


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
    assert shift.size == shift.evidence["size"] >= scene.project.monitors.shift
    assert shift.evidence["p_value"] <= shift.evidence["level"] == scene.looking().level(4), "corrected"
    assert (shift.evidence["test"], shift.evidence["n_current"]) == ("ks", 280)
    assert "mileage" in shift.title


@pytest.mark.requirement("MON-29")
def test_a_shift_is_said_to_begin_when_it_began(watched: Make) -> None:
    scene = watched()
    scene.traffic(range(22), 40, shifted=dict.fromkeys(range(17, 21), 1.0))
    shift = next(f for f in scene.watch().findings if f.feature == "mileage")
    assert shift.window[0] == START + 2 * WEEK
    assert (shift.evidence["began"], shift.evidence["began_before"]) == (day(17).isoformat(), False)
    assert shift.title.endswith(f", since {day(17):%Y-%m-%d %H:%M}")
    assert (shift.evidence["segment"], shift.evidence["segment_share"]) == (None, None), "it is everywhere"


@pytest.mark.requirement("MON-29")
def test_a_shift_in_one_segment_names_it(watched: Make) -> None:
    scene = watched()
    for number in range(15):
        columns = cars(scene.random, 100)
        late = (columns["fuel"] == "hybrid") & (number >= 7)
        columns["mileage"] = columns["mileage"] + 20_000 * late
        listed = {name: values.tolist() for name, values in columns.items()}
        outputs = {"predict": price(cars(scene.random, 100)).tolist()}
        scene.answered([answer(f"d{number}", at=day(number), columns=listed, outputs=outputs)])
    (shift,) = scene.watch().findings
    assert (shift.feature, shift.window[0]) == ("mileage", START + WEEK)
    assert shift.evidence["segment"] == "fuel is 'hybrid'"
    assert shift.evidence["segment_share"] == pytest.approx(1 / 3, abs=0.05)
    assert "where fuel is 'hybrid'" in shift.title
    assert shift.evidence["began_before"], "its first rows have it: it may have begun before"
    assert shift.evidence["course"] == "abrupt", "the week before tells"
    assert shift.title.endswith(f", since {day(7):%Y-%m-%d}, all at once")


@pytest.mark.requirement("PRV-07")
def test_an_input_that_is_not_recorded_as_it_came_is_not_watched(watched: Make) -> None:
    privacy = PrivacySpec(basis="consent", fields={"fuel": "hash", "year": "drop"})
    scene = watched(replace(watched_project(), privacy=privacy))
    scene.traffic(range(8), 40)
    found = scene.watch()
    assert {m.feature for m in named(found, "shift")} == {"mileage", "prediction"}
    (window,) = named(found, "window")
    assert window.detail["unwatched"] == ["year", "fuel"]


@pytest.mark.requirement("MON-11")
def test_every_feature_of_every_window_is_measured_with_its_statistics(watched: Make) -> None:
    scene = watched()
    scene.traffic(range(15), 40)
    shifts = named(scene.watch(), "shift")
    assert sorted((m.feature, m.window) for m in shifts) == sorted(
        (feature, (START + i * WEEK, START + (i + 1) * WEEK))
        for feature in ("mileage", "year", "fuel", "prediction")
        for i in range(2)
    )
    mileage = next(m for m in shifts if m.feature == "mileage")
    assert mileage.n_rows == 280
    assert mileage.detail["statistics"]["mean"] == pytest.approx(50_000, rel=0.05)
    assert mileage.detail["statistics"]["missing"] == 0


@pytest.mark.requirement("MON-14")
@pytest.mark.parametrize(("feature", "test"), [("mileage", "ks"), ("fuel", "chi2"), ("prediction", "ks")])
def test_every_measure_of_a_shift_is_kept(watched: Make, feature: str, test: str) -> None:
    scene = watched()
    scene.traffic(range(8), 40)
    measured = next(m for m in named(scene.watch(), "shift") if m.feature == feature)
    assert measured.value is not None
    assert measured.detail["test"] == test
    assert 0 <= measured.detail["p_value"] <= 1
    assert measured.detail["kl"] >= 0
    assert 0 <= measured.detail["js"] <= 1
    assert (measured.detail["ks"] is not None) == (test == "ks")


@pytest.mark.parametrize(("size", "shifted"), [(0.0, 0.0), (50.0, 1.0)])
def test_neither_size_without_evidence_nor_evidence_without_size_is_a_finding(
    watched: Make, size: float, shifted: float
) -> None:
    scene = watched(watched_project(shift=size))
    scene.traffic(range(8), 40, shifted=dict.fromkeys(range(8), shifted))
    found = scene.watch()
    assert len(named(found, "shift")) == 4
    assert found.findings == []


def test_an_input_that_is_always_missing_is_a_shift(watched: Make) -> None:
    scene = watched()
    made = [
        answer(f"d{n}", at=day(n), columns={"mileage": [50_000.0] * 40, "fuel": [None] * 40},
               outputs={"predict": [1.0] * 40})
        for n in range(8)
    ]  # fmt: skip
    scene.answered(made)
    found = {f.feature: f for f in scene.watch().findings if f.kind == "data_drift"}
    for name in ("fuel", "year"):  # null in every row, and absent from every row
        assert found[name].evidence["cause"] == "empty"
        assert found[name].title == f"input {name!r} is empty in 100% of the rows (training: 0%)"


def flagged(scene: Scene, *, share: float, numeric: frozenset[str]) -> Scene:
    """Traffic of a model with one input of true and false, of which ``share`` are true."""
    flags = scene.random.random(2000) < 0.3
    scene.baselines[LIVE] = make_baseline(
        Profile.fit({"flag": flags}, (Column(name="flag", role="categorical"),)),
        np.ones(2000), np.ones(2000), "mae", trained_until=None,
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


@pytest.mark.requirement("DAT-07")
def test_a_recorded_column_that_comes_under_another_name_is_named_with_both(watched: Make) -> None:
    """As where a model of one's own is attached: nothing refuses what it is asked."""
    scene = watched()
    for number in range(15):
        columns = cars(scene.random, 60)
        outputs = {"predict": price(columns).tolist()}
        listed = {name: values.tolist() for name, values in columns.items()} | {"note": [None] * 60}
        if number >= 7:
            listed["odometer"] = listed.pop("mileage")
        scene.answered([answer(f"d{number}", at=day(number), columns=listed, outputs=outputs)])
    (shift,) = scene.watch().findings
    assert shift.feature == "mileage"
    assert shift.title == (
        "input 'mileage' is empty in 100% of the rows (training: 0%): it comes as 'odometer', "
        f"since {day(7):%Y-%m-%d}, all at once"
    )
    assert shift.evidence["cause"] == "renamed"


@pytest.mark.requirement("DAT-07")
def test_a_column_that_stops_being_filled_is_said_to_have_been_filled_until_when(watched: Make) -> None:
    scene = watched()
    for number in range(29):
        columns = {name: values.tolist() for name, values in cars(scene.random, 60).items()}
        if number >= 17:
            columns["fuel"] = [None] * 60
        made = answer(f"d{number}", at=day(number), columns=columns, outputs={"predict": [1.0] * 60})
        scene.answered([made])
    found = [f for f in watch_shifts(scene.looking()).findings if f.feature == "fuel"]
    assert found[0].title.startswith("input 'fuel' is empty in 57% of the rows (training: 0%)")
    assert f"{day(17):%Y-%m-%d}" in found[0].title
    assert found[-1].title == (
        f"input 'fuel' is empty in 100% of the rows (training: 0%), since {day(17):%Y-%m-%d}, all at once"
    )
