"""Classes that are predicted more or less often than they come true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from headrace.checks.profiles import Profile
from headrace.core.project import DataGate, Gates, ModelGate, Project, Trigger
from headrace.monitoring.baseline import make_baseline
from headrace.monitoring.bias import NAME, watch_bias
from headrace.monitoring.performance import watch_performance
from headrace.monitoring.triggers import Standing, next_retraining, raise_alerts
from headrace.monitoring.watch import Round
from headrace.testing import START
from tests.monitoring.traffic import INPUTS, LIVE, Scene, answer, cars, day, label, named, watched_project

Make = Callable[..., Scene]


def classifying(**monitors: Any) -> Project:
    """A project that asks whether a car is sold."""
    gates = Gates(data=DataGate(), model=ModelGate(metric="log_loss"))
    return replace(watched_project(**monitors), task="classification", gates=gates)


def week(scene: Scene, number: int, probability: Any, truth: Any, *, kept: bool = True) -> None:
    """A week of answers with their labels; without probabilities unless ``kept``."""
    said = np.where(probability > 0.5, "yes", "no")
    outputs: dict[str, list[Any]] = {"predict": said.tolist()}
    if kept:
        outputs["probability"] = probability.tolist()
    columns = {"mileage": [1.0] * len(said)}
    scene.answered([answer(f"w{number}", at=day(7 * number), columns=columns, outputs=outputs)])
    scene.told(
        label(f"w{number}:{row}", "yes" if one else "no", at=day(7 * number + 2))
        for row, one in enumerate(truth)
    )
    scene.close(
        7 * number + 7, columns={"mileage": [1.0]}, outputs={name: one[:1] for name, one in outputs.items()}
    )


def made(watched: Make, **monitors: Any) -> Scene:
    """A scene of a classifier."""
    scene = watched(classifying(**monitors))
    said = scene.random.choice(np.array(["no", "yes"], dtype=object), 2000)
    scene.baselines[LIVE] = make_baseline(
        Profile.fit(cars(scene.random, 2000), INPUTS), said, np.ones(2000), "log_loss", trained_until=START,
        classes=("no", "yes"),
    )  # fmt: skip
    return scene


def look(scene: Scene) -> Round:
    """One round, kept."""
    found = watch_bias(scene.looking())
    scene.store.evidence.measure(found.measurements)
    return found


def test_a_loss_that_a_class_nobody_taught_has_raised_says_so(watched: Make) -> None:
    scene = made(watched)
    week(scene, 0, scene.random.beta(2, 5, 200), scene.random.random(200) < 0.3)
    scene.told(label(f"w0:{row}", "maybe", at=day(3)) for row in range(80))
    found = watch_performance(scene.looking())
    (measured,) = named(found, "log_loss")
    assert (measured.n_rows, measured.detail["n_unknown"]) == (200, 80)
    (finding,) = found.findings
    assert finding.title.endswith("; 80 of 200 labels are of a class that it does not know")


@pytest.mark.requirement("MON-10")
def test_a_class_that_comes_true_more_often_than_predicted_is_found_and_retrains(watched: Make) -> None:
    scene = made(watched)
    likely = scene.random.beta(2, 5, 500)
    week(scene, 0, likely, scene.random.random(500) < likely)
    week(scene, 1, likely, scene.random.random(500) < likely + 0.2)
    found = look(scene)
    (finding,) = found.findings
    assert finding.kind == "bias"
    assert finding.window[0] == START + (day(7) - day(0))
    measured = {(m.window, m.segment): m for m in named(found, NAME)}
    yes = measured[finding.window, "yes"]
    assert yes.value == pytest.approx(yes.detail["predicted"] - yes.detail["observed"])
    assert yes.detail["predicted"] == pytest.approx(likely.mean())
    assert finding.size == pytest.approx(abs(yes.value or 0))

    project = replace(scene.project, triggers=(Trigger(when="performance", do="automatic", min_labels=10),))
    alerts = raise_alerts(project, [finding], START, START)
    standing = Standing(
        release_id=LIVE, trained_until=None, n_new_labels=10, code_changed=None, event_time=day(30)
    )
    chosen = next_retraining(project, alerts, {finding.id: finding}, standing=standing, in_flight=False)
    assert chosen.alert == alerts[0]


def test_a_rare_class_that_is_never_the_likeliest_is_no_bias(watched: Make) -> None:
    """Nobody is answered yes, although one in five is: as the probabilities say."""
    scene = made(watched)
    likely = scene.random.beta(20, 80, 2000)
    week(scene, 0, likely, scene.random.random(2000) < likely)
    assert look(scene).findings == []


def test_without_probabilities_the_answers_are_counted(watched: Make) -> None:
    scene = made(watched)
    likely = scene.random.beta(20, 80, 500)
    truth = scene.random.random(500) < likely
    week(scene, 0, likely, truth, kept=False)
    found = look(scene)
    yes = next(m for m in named(found, NAME) if m.segment == "yes")
    assert yes.value == pytest.approx(-truth.mean())
    (finding,) = found.findings
    assert finding.evidence["class"] in ("yes", "no")
    expected = ttest_1samp(-truth.astype(float), 0).confidence_interval(0.9)
    assert yes.interval == pytest.approx((expected.low, expected.high), abs=0.01)


def test_few_labels_and_small_gaps_are_no_finding(watched: Make) -> None:
    scene = made(watched, class_gap=0.3)
    likely = np.full(500, 0.3)
    week(scene, 0, likely, scene.random.random(500) < 0.5)
    week(scene, 1, np.full(20, 0.1), np.ones(20))
    assert look(scene).findings == []
    assert look(scene).measurements == []


def test_calm_weeks_raise_nothing(watched: Make) -> None:
    scene = made(watched)
    for number in range(30):
        likely = scene.random.beta(2, 5, 60)
        week(scene, number, likely, scene.random.random(60) < likely)
    assert look(scene).findings == []
