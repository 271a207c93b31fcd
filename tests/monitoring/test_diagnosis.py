"""Several findings of one fault, and the cause that is named first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from headrace.core.record import Finding
from headrace.monitoring.diagnosis import diagnose, of_newest
from headrace.testing import START
from tests.monitoring.traffic import LIVE, Scene, answer, cars, day, price

Make = Callable[..., Scene]
WEEK = timedelta(days=7)


def finding(kind: str, feature: str | None = None, week: int = 0, **evidence: Any) -> Finding:
    return Finding(
        id=f"{kind}-{feature}-{week}", project="cars", kind=kind, release_id=LIVE, title=f"{kind} is off",
        window=(START + week * WEEK, START + (week + 1) * WEEK), evidence=evidence, size=1.0, at=START,
        feature=feature,
    )  # fmt: skip


def driven(scene: Scene, change: Callable[[Mapping[str, Any]], Mapping[str, Any]], scale: float = 1) -> Any:
    """What is found in a week in which something is wrong with the inputs, or with the answers."""
    made = []
    for number in range(8):
        columns = cars(scene.random, 40)
        said = scale * price(columns)
        now = {k: np.asarray(v).tolist() for k, v in {**columns, **change(columns)}.items()}
        made.append(answer(f"d{number}", at=day(number), columns=now, outputs={"predict": said.tolist()}))
    scene.answered(made)
    return scene.watch().findings


def test_each_finding_says_which_inputs_carry_how_much(watched: Make) -> None:
    found = driven(watched(), lambda c: {"mileage": c["mileage"] * 1000, "year": c["year"] + 3})
    listed = next(f for f in found if f.feature == "year").evidence["causes"]
    assert [(one["feature"], one["cause"]) for one in listed] == [("mileage", "rescaled"), ("year", "moved")]
    assert sum(one["share"] for one in listed) == pytest.approx(1)
    assert diagnose(found)[0].name == "rescaled"


def test_predictions_that_move_while_no_input_does_are_the_model(watched: Make) -> None:
    found = driven(watched(), lambda _: {}, scale=0.5)
    drift = next(f for f in found if f.kind == "prediction_drift")
    assert drift.evidence["causes"] == []
    assert "no input has moved" in drift.evidence["undecided"]
    assert diagnose(found)[0].name == "model"


def test_a_fault_that_has_a_name_goes_before_the_loss_that_follows_from_it() -> None:
    cause = {"feature": "km", "cause": "empty", "share": 1.0, "what": "is empty"}
    found = [finding("performance"), finding("concept_drift"), finding("data_drift", "km", causes=[cause])]
    assert [(one.name, one.feature) for one in diagnose(found)] == [("empty", "km"), ("relation", None)]


@pytest.mark.parametrize(("elsewhere", "first"), [(1.1, "relation_in_segment"), (2.8, "relation")])
def test_a_segment_is_the_cause_where_the_loss_has_not_risen_elsewhere(elsewhere: float, first: str) -> None:
    segment: dict[str, Any] = {
        "column": "fuel",
        "segment": "gas",
        "observed": 3.0,
        "reference": 1.0,
        "elsewhere": elsewhere,
    }
    found = [finding("concept_drift"), finding("performance", "fuel: gas", **segment)]
    assert diagnose(found)[0].name == first


def test_what_only_follows_from_something_names_no_cause() -> None:
    assert diagnose([finding("answers", "range by hour"), finding("estimate")]) == []


def test_old_findings_are_not_taken_for_the_cause_of_new_ones() -> None:
    old, new, other = finding("traffic"), finding("traffic", week=2), finding("performance", week=2)
    assert of_newest([old, new, other]) == [new, other]
    assert of_newest([]) == []
