"""What is expected before labels come, and whether they show that truth follows from the inputs otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headrace.checks.estimation import LossModel
from headrace.checks.profiles import Profile
from headrace.core.project import PrivacySpec
from headrace.monitoring.baseline import make_baseline
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
    watched_project,
)

Make = Callable[..., Scene]


def errors(random: np.random.Generator, answers: Any) -> Any:
    """Cheap cars are harder to price."""
    return random.normal(size=len(answers)) * (300 + 0.4 * np.maximum(32_000 - np.asarray(answers), 0))


def prepared(watched: Make, *, with_model: bool = True, false_alarms: float = 1.0) -> Scene:
    """A live release whose test rows say what loss to expect of which car."""
    scene = watched(watched_project(loss_ratio=1.1, false_alarms=false_alarms), seed=1)
    columns = cars(scene.random, 3000)
    answers = price(columns)
    off = errors(scene.random, answers)
    model = LossModel.fit("mae", answers + off, columns, {"predict": answers}, INPUTS)
    scene.baselines[LIVE] = make_baseline(
        Profile.fit(columns, INPUTS), answers, np.abs(off), "mae", residuals=off, trained_until=START,
        loss_model=model if with_model else None,
    )  # fmt: skip
    return scene


def asked(scene: Scene, days: range, *, shifted: float = 0.0) -> dict[str, float]:
    """60 answers a day."""
    return scene.traffic(days, 60, shifted=dict.fromkeys(days, shifted))


def told(scene: Scene, answers: dict[str, float], *, worse: float = 1.0, at: int = 90) -> None:
    """Their labels, known on the day ``at``."""
    off = worse * errors(scene.random, list(answers.values()))
    scene.told(
        label(subject, value + gap, at=day(at))
        for (subject, value), gap in zip(answers.items(), off, strict=True)
    )


def kinds(scene: Scene) -> set[str]:
    """Kinds of the findings of one round, whose measurements are kept."""
    return {f.kind for f in scene.watch().findings}


def test_a_window_without_labels_has_an_estimate_that_its_labels_confirm(watched: Make) -> None:
    scene = prepared(watched)
    answers = asked(scene, range(8))
    (estimate,) = named(scene.watch(), "estimated_loss")
    told(scene, answers)
    loss = next(m for m in named(scene.watch(), "mae") if m.window == estimate.window)
    assert estimate.interval is not None
    assert estimate.interval[0] <= (loss.value or 0) <= estimate.interval[1]
    assert (estimate.n_rows, estimate.confidence, estimate.detail["refused"]) == (420, 0.9, None)


@pytest.mark.requirement("MON-15")
def test_inputs_that_move_and_a_relation_that_moves_are_different_findings(watched: Make) -> None:
    moved_inputs, moved_relation = prepared(watched), prepared(watched)
    told(moved_inputs, asked(moved_inputs, range(8), shifted=1.5))
    found = kinds(moved_inputs)
    assert {"data_drift", "performance", "estimate"} <= found, "cheaper cars are harder to price"
    assert "concept_drift" not in found, "and that explains all of it"
    told(moved_relation, asked(moved_relation, range(8)), worse=1.5)
    assert kinds(moved_relation) == {"performance", "concept_drift"}


def test_concept_drift_says_what_was_expected_and_refuses_what_comes_after(watched: Make) -> None:
    scene = prepared(watched)
    told(scene, asked(scene, range(8)), worse=1.5, at=9)
    finding = next(f for f in scene.watch().findings if f.kind == "concept_drift")
    assert finding.size == pytest.approx(finding.evidence["observed"] / finding.evidence["expected"])
    assert finding.size == pytest.approx(1.5, rel=0.15)
    assert finding.evidence["p_value"] <= finding.evidence["level"]
    assert "what such inputs let expect" in finding.title
    asked(scene, range(8, 16))
    (later,) = named(scene.watch(), "estimated_loss")
    assert later.value is None
    assert str(later.detail["refused"]).startswith("concept drift since 2026-01-01")


def test_labels_that_come_bit_by_bit_are_looked_at_once_per_doubling(watched: Make) -> None:
    scene = prepared(watched)
    answers = list(asked(scene, range(8)).items())[:400]
    looks = []
    for first in range(0, 400, 50):
        told(scene, dict(answers[first : first + 50]), at=10 + first)
        looks += [m.detail for m in named(scene.watch(), "concept")]
    levels = [look["level"] for look in looks]
    assert len(looks) == 4, "from 50 labels of 420 rows on: an eighth, a quarter, half of them"
    assert sum(levels) < scene.looking().level(2)
    assert scene.watch().findings == []


def test_a_value_that_training_never_saw_refuses_the_estimate_by_name(watched: Make) -> None:
    scene = prepared(watched)
    asked(scene, range(8), shifted=9.0)
    (refused,) = named(scene.watch(), "estimated_loss")
    assert refused.value is None
    assert "'mileage' that training never saw" in str(refused.detail["refused"])


def test_a_release_without_a_loss_model_says_so(watched: Make) -> None:
    scene = prepared(watched, with_model=False)
    told(scene, asked(scene, range(8)), worse=3.0)
    found = scene.watch()
    assert [m.detail["refused"] for m in named(found, "estimated_loss")] == [
        "the release keeps no loss model; rebuild it"
    ]
    assert {f.kind for f in found.findings} == {"performance"}


def test_calm_windows_hardly_ever_show_concept_drift(watched: Make) -> None:
    """A twentieth of a false alarm in a quarter is a hundredth of one in 40 windows, this monitor's share."""
    scene = prepared(watched, false_alarms=0.05)
    told(scene, asked(scene, range(40 * 7 + 1)))
    assert kinds(scene) & {"concept_drift", "estimate"} == set()


def test_an_input_that_is_recorded_in_another_form_refuses_no_estimate(watched: Make) -> None:
    scene = prepared(watched)
    scene.project = replace(scene.project, privacy=PrivacySpec(basis="consent", fields={"fuel": "hash"}))
    hashed = [
        answer(f"d{n}", at=day(n), columns={"mileage": [50_000.0] * 60, "year": [2015.0] * 60,
               "fuel": [f"digest {i}" for i in range(60)]}, outputs={"predict": [25_000.0] * 60})
        for n in range(8)
    ]  # fmt: skip
    scene.answered(hashed)
    (estimate,) = named(scene.watch(), "estimated_loss")
    assert estimate.detail["refused"] is None


def test_a_category_beyond_those_that_a_profile_names_may_have_been_seen(watched: Make) -> None:
    scene = prepared(watched)
    many = np.array([f"fuel {i % 2000}" for i in range(4000)], dtype=object)
    columns = cars(scene.random, 4000) | {"fuel": many}
    answers = price(columns)
    off = errors(scene.random, answers)
    scene.baselines[LIVE] = make_baseline(
        Profile.fit(columns, INPUTS), answers, np.abs(off), "mae", trained_until=START,
        loss_model=LossModel.fit("mae", answers + off, columns, {"predict": answers}, INPUTS),
    )  # fmt: skip
    asked(scene, range(8))
    (estimate,) = named(scene.watch(), "estimated_loss")
    assert estimate.detail["refused"] is None
