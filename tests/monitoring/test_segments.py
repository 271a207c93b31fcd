"""Where answers get worse: loss and rates of segments, and what their labels cover."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from headrace.checks.profiles import CategoricalProfile, Profile
from headrace.core.project import DataGate, Gates, ModelGate, PrivacySpec, Project
from headrace.core.release import Measurement
from headrace.monitoring.baseline import make_baseline
from headrace.monitoring.segments import MARK, NAME, cuts, watch_segments
from headrace.monitoring.watch import Round
from headrace.testing import START
from tests.monitoring.traffic import (
    INPUTS,
    LIVE,
    Scene,
    answer,
    cars,
    day,
    label,
    named,
    price,
    trained,
    watched_project,
)

Make = Callable[..., Scene]
WEEK = timedelta(days=7)
Draw = Callable[[int, Mapping[str, Any]], NDArray[np.float64]]


def weeks(scene: Scene, n_weeks: int, n_rows: int, errors: Draw, *, known: Any = None) -> None:
    """Answers on the first day of each week, and labels that differ from them by ``errors(week, columns)``.

    ``known(columns)`` says which rows get a label; all, unless told.
    """
    for week in range(n_weeks):
        columns = cars(scene.random, n_rows)
        said = price(columns)
        listed = {name: values.tolist() for name, values in columns.items()}
        scene.answered(
            [answer(f"w{week}", at=day(7 * week), columns=listed, outputs={"predict": said.tolist()})]
        )
        truth = said + errors(week, columns)
        chosen = np.ones(n_rows, dtype=bool) if known is None else known(columns)
        scene.told(
            label(f"w{week}:{row}", truth[row], at=day(7 * week + 3)) for row in np.flatnonzero(chosen)
        )
    scene.close(7 * n_weeks)


def look(scene: Scene) -> Round:
    """One round, kept."""
    found = watch_segments(scene.looking())
    scene.store.evidence.measure(found.measurements)
    return found


def of(found: Round, column: str, segment: str, metric: str) -> list[Measurement]:
    """One metric of one segment by window."""
    return [
        one
        for one in named(found, NAME)
        if (one.feature, one.segment, one.detail["metric"]) == (column, segment, metric)
    ]


@pytest.mark.requirement("MON-18")
def test_the_segment_that_decays_is_named_with_its_window(watched: Make) -> None:
    scene = watched()

    def errors(week: int, columns: Mapping[str, Any]) -> NDArray[np.float64]:
        worse = (columns["fuel"] == "hybrid") & (week == 3)
        return np.asarray(scene.random.normal(0, np.where(worse, 3000, 1000)))

    weeks(scene, 4, 600, errors)
    found = look(scene)
    (finding,) = found.findings
    assert (finding.kind, finding.feature) == ("performance", "fuel: hybrid")
    assert finding.window == (START + 3 * WEEK, START + 4 * WEEK)
    assert 2.5 < finding.size < 3.5
    assert 0.8 < finding.evidence["elsewhere"] < 1.2
    measured = of(found, "fuel", "hybrid", "mae")
    assert len(measured) == 4
    low, high = measured[-1].interval or (0, 0)
    assert low < (measured[-1].value or 0) < high
    assert measured[-1].n_rows == pytest.approx(200, abs=50)
    assert measured[-1].detail["coverage"] == 1.0


def test_what_decays_everywhere_is_no_matter_of_segments(watched: Make) -> None:
    scene = watched()
    weeks(scene, 4, 600, lambda week, _: scene.random.normal(0, 1000 if week < 3 else 2500, 600))
    assert look(scene).findings == []


def test_calm_segments_raise_nothing(watched: Make) -> None:
    """Segments that differ in how hard they are, week after week."""
    findings = []
    for seed in range(4):
        scene = watched(seed=seed)
        hard = {"diesel": 500.0, "hybrid": 4000.0, "petrol": 1000.0}

        def errors(
            week: int, columns: Mapping[str, Any], scene: Scene = scene, hard: Mapping[str, float] = hard
        ) -> NDArray[np.float64]:
            return np.array([scene.random.normal(0, hard[fuel]) for fuel in columns["fuel"]])

        weeks(scene, 8, 300, errors)
        findings += look(scene).findings
    assert findings == []


def test_few_labels_conclude_nothing_and_are_measured(watched: Make) -> None:
    scene = watched()
    weeks(scene, 3, 30, lambda week, _: np.full(30, 100.0 if week < 2 else 90_000.0))
    found = look(scene)
    assert found.findings == []
    assert len(of(found, "fuel", "petrol", "mae")) == 3


@pytest.mark.requirement("MON-18")
def test_classes_have_accuracy_precision_and_recall_with_wilsons_interval(watched: Make) -> None:
    scene = watched(classifying())
    random = scene.random
    said = random.choice(np.array(["no", "yes"], dtype=object), 400)
    truth = np.where(random.random(400) < 0.8, said, np.where(said == "yes", "no", "yes"))
    fuel = random.choice(np.array(["diesel", "petrol"], dtype=object), 400)
    scene.baselines[LIVE] = make_baseline(
        Profile.fit(cars(random, 2000), INPUTS), said, (said != truth).astype(float), "error_rate",
        trained_until=START, classes=("no", "yes"),
    )  # fmt: skip
    columns = {"mileage": [1.0] * 400, "year": [2015.0] * 400, "fuel": fuel.tolist()}
    scene.answered([answer("p", at=day(0), columns=columns, outputs={"predict": said.tolist()})])
    scene.told(label(f"p:{row}", str(value), at=day(1)) for row, value in enumerate(truth))
    found = look(scene)
    mine = fuel == "petrol"
    for metric, hits in {
        "accuracy": (said == truth)[mine],
        "error_rate": (said != truth)[mine],
        "precision": (truth == "yes")[mine & (said == "yes")],
        "recall": (said == "yes")[mine & (truth == "yes")],
    }.items():
        (measured,) = of(found, "fuel", "petrol", metric)
        assert measured.value == pytest.approx(hits.mean())
        expected = proportion_confint(hits.sum(), hits.size, alpha=0.1, method="wilson")
        assert measured.interval == pytest.approx(expected)


@pytest.mark.parametrize("classes", [("no", "yes"), (False, True)])
def test_probabilities_are_judged_from_the_first_window_on(watched: Make, classes: tuple[Any, Any]) -> None:
    scene = watched(classifying("log_loss"))
    said = np.array(classes, dtype=object)[scene.random.integers(0, 2, 2000)]
    scene.baselines[LIVE] = make_baseline(
        Profile.fit(cars(scene.random, 2000), INPUTS),
        said,
        np.ones(2000),
        "log_loss",
        trained_until=START,
        classes=classes,
    )
    likely = scene.random.random(300)
    truth = scene.random.random(300) < likely
    columns = {name: values.tolist() for name, values in cars(scene.random, 300).items()}
    predicted = [classes[p > 0.5] for p in likely.tolist()]
    outputs = {"predict": predicted, "probability": likely.tolist()}
    scene.answered([answer("p", at=day(0), columns=columns, outputs=outputs)])
    scene.told(label(f"p:{row}", classes[int(one)], at=day(1)) for row, one in enumerate(truth))
    (measured,) = of(look(scene), "fuel", "petrol", "log_loss")
    mine = np.array(columns["fuel"]) == "petrol"
    losses = -np.log(np.where(truth, likely, 1 - likely))[mine]
    assert measured.value == pytest.approx(losses.mean())


def classifying(metric: str = "error_rate") -> Project:
    """The usual project, which asks whether a car is sold."""
    gates = Gates(data=DataGate(), model=ModelGate(metric=metric))
    return replace(watched_project(), task="classification", gates=gates)


@pytest.mark.requirement("MON-18")
def test_low_and_selective_coverage_are_a_caution(watched: Make) -> None:
    scene = watched()
    weeks(
        scene, 1, 600, lambda *_: scene.random.normal(0, 1000, 600),
        known=lambda c: (c["fuel"] == "petrol") | (scene.random.random(600) < 0.1),
    )  # fmt: skip
    (mark,) = named(look(scene), MARK)
    assert mark.detail["coverage"] == pytest.approx(mark.n_rows / 600)
    few, uneven = mark.detail["caution"]
    assert few == f"labels have come for {mark.n_rows} of 600 answers"
    assert "100% of the answers with fuel 'petrol'" in uneven

    fair = watched()
    weeks(
        fair, 1, 600, lambda *_: fair.random.normal(0, 1000, 600),
        known=lambda _: fair.random.random(600) < 0.8,
    )  # fmt: skip
    assert named(look(fair), MARK)[0].detail["caution"] == []


def test_a_window_is_measured_again_when_labels_come_and_not_without(watched: Make) -> None:
    scene = watched()
    weeks(scene, 2, 60, lambda *_: scene.random.normal(0, 1000, 60))
    assert named(look(scene), MARK)
    assert look(scene).measurements == []
    scene.told([label("w1:0", 1.0, at=day(90))])
    assert len(named(look(scene), MARK)) == 1


def test_segments_are_declared_or_the_inputs_of_few_categories() -> None:
    random = np.random.default_rng(0)
    baseline = trained(random)
    assert [cut.column for cut in cuts(watched_project(), baseline)] == ["fuel"]
    (year,) = cuts(watched_project(segments=("year",)), baseline)
    assert year.of(np.array([2010.0, 2015.0, 2020.0, np.nan])).tolist() == [
        "below 2012", "2015 to 2018", "from 2018", None,
    ]  # fmt: skip
    hidden = replace(watched_project(), privacy=PrivacySpec(fields={"fuel": "drop"}))
    assert cuts(hidden, baseline) == []
    many = {f"model {n}": 10 for n in range(40)}
    inputs = replace(baseline.inputs, features={"model": CategoricalProfile(counts=many, n_missing=0)})
    assert cuts(watched_project(), replace(baseline, inputs=inputs)) == []
    (model,) = cuts(watched_project(segments=("model",)), replace(baseline, inputs=inputs))
    assert model.of(np.array(["model 3", "model 39", None], dtype=object)).tolist() == [
        "model 3", "(other)", None,
    ]  # fmt: skip
