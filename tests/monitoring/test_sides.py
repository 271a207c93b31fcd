"""What a window is compared with, and as what its rows are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.checks.drift import shifts
from headrace.checks.sketches import Sketches
from headrace.core.canonical import digest_of
from headrace.core.project import ReferenceDays
from headrace.monitoring.sides import References, sides_of
from headrace.monitoring.texts import TextReader
from headrace.monitoring.windows import closed_windows, window_rows
from headrace.testing import START
from tests.monitoring.traffic import LIVE, Scene, answer, cars, day, named, price, trained

Make = Callable[..., Scene]


def test_sketches_of_a_large_window_say_what_its_rows_say(watched: Make) -> None:
    scene = watched()
    for number in range(8):
        columns = cars(scene.random, 3_000, shifted=0.3)
        columns["fuel"][:150] = None
        listed = {name: values.tolist() for name, values in columns.items()}
        outputs = {"predict": price(columns).tolist()}
        scene.answered([answer(f"d{number}", at=day(number), columns=listed, outputs=outputs)])
    watch = scene.looking()
    (window, *_) = closed_windows(scene.project.name, watch.tables, 604_800)
    rows = window_rows(scene.project.name, watch.tables, window)
    reference = References(watch).of(LIVE)
    reader = TextReader(reference.texts)
    exact = sides_of(watch, window, rows, reference, reader)
    sketched = sides_of(watch, window, rows, reference, reader, most=4_000)
    for kind, profile in reference.profiles().items():
        assert isinstance(sketched[kind], Sketches)
        for right, near in zip(shifts(profile, exact[kind]), shifts(profile, sketched[kind]), strict=True):
            assert (near.feature, near.test) == (right.feature, right.test)
            assert near.n_current == right.n_current
            assert near.size == pytest.approx(right.size, abs=0.01)
            moved = right.feature != "year"
            assert [(shift.p_value or 0.0) <= 1e-4 for shift in (right, near)] == [moved, moved]


def referring(watched: Make, first: int, last: int) -> Scene:
    """A project whose days of reference are counted from the first day of traffic."""
    days = [(START + timedelta(days=number)).date() for number in (first, last)]
    scene = watched()
    monitors = replace(scene.project.monitors, reference=ReferenceDays(first_day=days[0], last_day=days[1]))
    scene.project = replace(scene.project, monitors=monitors)
    return scene


@pytest.mark.requirement("MON-24")
def test_days_of_reference_stand_for_training_once_they_are_over(watched: Make) -> None:
    """Production never was like training, and is as it was in the days of reference until the fifth week."""
    scene = referring(watched, 7, 20)
    usual = dict.fromkeys(range(28), 0.5)
    scene.traffic(range(10), 60, shifted=usual)
    (before, *_) = [f for f in scene.watch().findings if f.feature == "mileage"]
    assert before.evidence["reference"] == "training: the days of reference are not over"
    scene.traffic(range(10, 36), 60, shifted=usual | dict.fromkeys(range(28, 36), -0.1))
    found = scene.watch()
    began = START + timedelta(days=28)
    assert {f.window[0] for f in found.findings} == {began}, "not while it was the same"
    shift = next(f for f in found.findings if f.feature == "mileage")
    assert shift.evidence["reference"] == "the 840 answers of 2026-01-08 to 2026-01-21"
    assert shift.evidence["n_reference"] == 840
    assert shift.size == pytest.approx(0.6, abs=0.2), "in deviations of the reference"
    assert {m.window and m.window[0] for m in named(found, "shift")} == {
        START + timedelta(days=number) for number in (21, 28)
    }, "days of reference are not judged by themselves"


@pytest.mark.requirement("MON-24")
def test_a_project_with_days_of_reference_is_stored_and_has_a_digest(watched: Make) -> None:
    scene = referring(watched, 0, 6)
    scene.store.projects.save(scene.project, "")
    assert scene.store.projects.get(scene.project.name) == scene.project
    assert digest_of(scene.project) != digest_of(watched().project)


@pytest.mark.requirement("MON-24")
def test_too_few_answers_are_no_reference(watched: Make) -> None:
    scene = referring(watched, 0, 2)
    scene.traffic(range(3), 3)
    scene.traffic(range(3, 9), 60)
    reference = References(scene.looking()).of(LIVE)
    assert reference.words == "training: the days of reference have 9 answers"
    assert reference.inputs is scene.baselines[LIVE].inputs


@pytest.mark.requirement("MON-24")
def test_another_release_has_the_same_inputs_and_its_own_answers(watched: Make) -> None:
    scene = referring(watched, 0, 6)
    scene.baselines["next"] = trained(scene.random)
    scene.traffic(range(9), 60, shifted=dict.fromkeys(range(9), 2.0))
    mine, other = (References(scene.looking()).of(name) for name in (LIVE, "next"))
    assert mine.inputs == other.inputs != scene.baselines[LIVE].inputs
    assert other.outputs is scene.baselines["next"].outputs
    assert mine.outputs != scene.baselines[LIVE].outputs
