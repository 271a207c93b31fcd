"""What the answers of an hour and of a day look like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from headrace.checks.profiles import Profile
from headrace.core.project import OutputSpec, Project
from headrace.core.record import Finding, Prediction
from headrace.monitoring.answers import watch_answers
from headrace.monitoring.baseline import Baseline, make_baseline
from headrace.monitoring.triggers import raise_alerts
from headrace.monitoring.watch import Round
from headrace.testing import START
from tests.monitoring.traffic import INPUTS, LIVE, Scene, answer, cars, named, price, watched_project

Make = Callable[..., Scene]
HOUR = timedelta(hours=1)


def ask(scene: Scene, hour: float, predictions: Sequence[Any], **outputs: list[Any]) -> None:
    """Answer cars that are all different, so many hours after the start."""
    scene.answered([said_at(scene, hour, predictions, **outputs)])


def said_at(scene: Scene, hour: float, predictions: Sequence[Any], **outputs: list[Any]) -> Prediction:
    """The same, not put into the record yet."""
    columns = {name: v.tolist() for name, v in cars(scene.random, len(predictions)).items()}
    said = {"predict": list(predictions)} | outputs
    return answer(f"at-{hour}", at=START + hour * HOUR, columns=columns, outputs=said)


def usual(scene: Scene, n: int = 60) -> list[float]:
    """What the model answers about the usual cars."""
    return [float(value) for value in price(cars(scene.random, n))]


def look(scene: Scene, hours: float) -> Round:
    """One round, so many hours after the start, kept."""
    scene.clock.advance((START + hours * HOUR - scene.clock.now()).total_seconds())
    found = watch_answers(scene.looking())
    scene.store.evidence.measure(found.measurements)
    return found


def declared(**outputs: Any) -> Project:
    """The usual project, which says what an answer may be."""
    return replace(watched_project(), outputs=OutputSpec(**outputs))


def classifier(random: np.random.Generator) -> Baseline:
    """A baseline of a model that says yes to three of ten."""
    said = random.choice(np.array(["no", "yes"], dtype=object), 2000, p=[0.7, 0.3])
    losses = random.random(2000)
    return make_baseline(
        Profile.fit(cars(random, 2000), INPUTS),
        said,
        losses,
        "log_loss",
        trained_until=START,
        classes=("no", "yes"),
    )


@pytest.mark.requirement("MON-07")
def test_answers_that_are_no_numbers_are_found_within_the_hour(watched: Make) -> None:
    scene = watched()
    ask(scene, 0.5, usual(scene))
    ask(scene, 1.5, [float("nan"), float("inf"), float("-inf"), 5.0])
    assert look(scene, 1.9).findings == []
    found = look(scene, 2.1)
    by_feature = {finding.feature: finding for finding in found.findings}
    assert set(by_feature) == {"no number", "infinite"}
    assert by_feature["infinite"].kind == "answers"
    assert by_feature["infinite"].evidence == {
        "answers": 2,
        "n_rows": 4,
        "first": (START + 1.5 * HOUR).isoformat(),
    }
    assert by_feature["no number"].window == (START + HOUR, START + 2 * HOUR)
    assert by_feature["no number"].release_id == LIVE
    (measured,) = found.measurements
    assert measured.value == 5.0
    assert measured.detail["impossible"] == {"no number": 1, "infinite": 2}


@pytest.mark.requirement("MON-08")
def test_answers_of_an_impossible_range_are_found(watched: Make) -> None:
    scene = watched(declared(lowest=0.0, highest=100_000.0))
    ask(scene, 0.5, usual(scene))
    ask(scene, 1.5, [-15.0, 0.0, 100_000.0, 200_000.0])
    found = {finding.feature: finding for finding in look(scene, 2.1).findings}
    assert set(found) == {"below 0", "above 100000"}
    assert found["below 0"].title == "1 of 4 answers are impossible: below 0"


@pytest.mark.requirement("MON-08")
@pytest.mark.parametrize(
    ("said", "numbers", "reason"),
    [
        (["cat", "yes", None], False, "no class"),
        (["cat", "17"], True, "no number"),
        ([1.0, 0.0, 3.0], False, "no class"),
    ],
)
def test_answers_of_an_impossible_type_are_found(
    watched: Make, said: list[Any], numbers: bool, reason: str
) -> None:
    scene = watched()
    if not numbers:
        scene.baselines[LIVE] = classifier(scene.random)
    if 1.0 in said:
        scene.baselines[LIVE] = replace(scene.baselines[LIVE], classes=(False, True))
    ask(scene, 0.5, said[1:2])
    ask(scene, 1.5, said)
    (finding,) = [f for f in look(scene, 2.1).findings if f.feature == reason]
    assert finding.evidence["answers"] == (2 if None in said else 1)


def test_declared_classes_replace_those_that_were_learnt(watched: Make) -> None:
    scene = watched(declared(classes=("yes", "no", "it's unclear")))
    scene.baselines[LIVE] = classifier(scene.random)
    ask(scene, 0.5, ["no"])
    ask(scene, 1.5, ["yes", "it's unclear", "cat"])
    (finding,) = look(scene, 2.1).findings
    assert finding.evidence["answers"] == 1


@pytest.mark.requirement("MON-30")
def test_a_model_that_says_the_same_of_everything_is_found_without_any_error(watched: Make) -> None:
    scene = watched()
    ask(scene, 0.5, usual(scene))
    ask(scene, 1.5, [21_000.0] * 60)
    (finding,) = look(scene, 2.1).findings
    assert finding.feature == "all alike"
    assert finding.title == "60 different rows in an hour all got the same answer"
    (alert,) = raise_alerts(scene.project, [finding], START, scene.clock.now())
    assert alert.reason == finding.title


def test_one_answer_to_one_row_asked_again_and_again_is_no_finding(watched: Make) -> None:
    scene = watched()
    ask(scene, 0.5, usual(scene))
    made = answer(at=START + 1.5 * HOUR, columns={"mileage": [1.0] * 90}, outputs={"predict": [21e3] * 90})
    scene.answered([made])
    assert look(scene, 2.1).findings == []


def test_a_rare_yes_is_not_all_alike(watched: Make) -> None:
    scene = watched()
    scene.baselines[LIVE] = classifier(scene.random)
    ask(scene, 0.5, ["no"] * 40)
    ask(scene, 1.5, ["no"] * 25)
    assert look(scene, 2.1).findings == [], "0.7 ** 24 is 0.0002: one of many hours"
    ask(scene, 2.5, ["yes"] * 40)
    assert [finding.feature for finding in look(scene, 3.1).findings] == ["all alike"]


@pytest.mark.requirement("MON-09")
def test_statistics_are_kept_for_each_hour_and_day(watched: Make) -> None:
    scene, said = watched(), {}
    for hour in range(49):
        said[hour] = usual(scene, 10)
    scene.answered([said_at(scene, hour + 0.5, values) for hour, values in said.items()])
    found = look(scene, 49.2)
    hours, days = named(found, "answers"), named(found, "answers_by_day")
    assert len(hours) == 48, "the first hour is no full one"
    (day,) = days
    values = np.array([value for hour in range(24, 48) for value in said[hour]])
    assert day.window == (START + 24 * HOUR, START + 48 * HOUR)
    assert day.n_rows == 240
    assert day.value == pytest.approx(values.mean())
    for name, expected in {
        "min": values.min(),
        "max": values.max(),
        "median": np.median(values),
        "mean": values.mean(),
        "deviation": values.std(),
    }.items():
        assert day.detail[name] == pytest.approx(expected)
    assert hours[0].detail["mean"] == pytest.approx(np.mean(said[1]))
    assert set(hours[-1].detail["expected"]) == {"mean", "median", "deviation"}


@pytest.mark.requirement("MON-09")
@pytest.mark.parametrize(
    ("wrong", "statistic"),
    [
        (lambda v: v + 20_000, "mean"),
        (lambda v: v.mean() + 6 * (v - v.mean()), "deviation"),
        (lambda v: np.append(v[:-8], [9e5] * 8), "max"),
        (lambda v: np.append(v[:-8], [-9e5] * 8), "min"),
    ],
)
def test_a_statistic_out_of_its_expected_range_is_found(
    watched: Make, wrong: Callable[[Any], Any], statistic: str
) -> None:
    scene = watched()
    scene.answered([said_at(scene, hour + 0.5, usual(scene, 120)) for hour in range(30)])
    ask(scene, 30.5, [float(v) for v in wrong(np.array(usual(scene, 120)))])
    assert look(scene, 30.2).findings == []
    (finding,) = look(scene, 31.2).findings
    assert finding.feature == "range by hour"
    outside = {one["name"]: one for one in finding.evidence["outside"]}
    assert not outside[statistic]["low"] <= outside[statistic]["value"] <= outside[statistic]["high"]
    assert finding.window == (START + 30 * HOUR, START + 31 * HOUR)


def test_calm_answers_raise_nothing(watched: Make) -> None:
    """Nights are no days: what is asked at night differs, every night."""
    findings: list[Finding] = []
    for seed in range(3):
        scene = watched(seed=seed)
        moved = 1500 * np.sin(np.arange(5 * 24) / 24 * 2 * np.pi)
        calls = scene.random.integers(2, 90, 5 * 24)
        scene.answered(
            [
                said_at(scene, hour + 0.5, [value + more for value in usual(scene, n)])
                for hour, (more, n) in enumerate(zip(moved, calls.tolist(), strict=True))
            ]
        )
        findings += look(scene, 5 * 24 + 0.2).findings
    assert findings == []


@pytest.mark.requirement("MON-34")
def test_confidence_is_followed_and_its_fall_found(watched: Make) -> None:
    scene = watched()
    scene.baselines[LIVE] = classifier(scene.random)

    def made(hour: int, sure: float) -> Prediction:
        yes = scene.random.random(80) < 0.3
        p = np.where(yes, 1.0, -1.0) * (sure + scene.random.normal(0, 0.03, 80)).clip(0, 0.5) + 0.5
        said = ["yes" if y else "no" for y in yes]
        return said_at(scene, hour + 0.5, said, probability=p.tolist())

    calm = [made(hour, 0.4) for hour in range(30)]
    scene.answered([*calm, made(30, 0.1)])
    found = look(scene, 30.2)
    assert found.findings == []
    detail = named(found, "answers")[0].detail
    assert detail["confidence"] == pytest.approx(np.mean(calm[1].confidence or []))
    assert detail["confidence_10"] == pytest.approx(np.quantile(calm[1].confidence or [], 0.1))
    assert detail["classes"].keys() == {"yes", "no"}
    (finding,) = look(scene, 31.2).findings
    assert finding.evidence["outside"][0]["name"] == "confidence"


def test_rounds_at_any_moment_find_what_one_round_finds(watched: Make) -> None:
    found = []
    for rounds in ([60.2], [3.3, 3.4, 23.9, 24.2, 50.7, 60.2]):
        scene, together = watched(seed=5), Round([], [])
        scene.answered(
            [
                said_at(scene, hour + 0.5, usual(scene, 40) if hour < 55 else [float("nan")] * 3)
                for hour in [*range(20), *range(30, 60)]
            ]
        )
        for hours in rounds:
            one = look(scene, hours)
            together.measurements.extend(one.measurements)
            together.findings.extend(one.findings)
        found.append(
            (
                sorted((m.name, m.id, m.n_rows) for m in together.measurements),
                [m.detail.get("expected", {}).keys() for m in named(together, "answers")],
                {f.id: (f.title, f.window) for f in reversed(together.findings)},
            )
        )
    assert found[0] == found[1]
    assert look(scene, 60.3).measurements == [], "nothing is described twice"
    quiet = [m for m in scene.store.evidence.measurements("cars", name="answers") if not m.n_rows]
    assert [m.release_id for m in quiet] == [None] * 10
