"""A shadow is asked what the live release is asked, and nobody but the record hears what it says."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InternalError
from headrace.core.ports import Columns
from headrace.core.project import PrivacySpec
from headrace.core.record import Prediction
from headrace.core.release import Route
from headrace.serving.shadows import Comparison, Shadows, distances
from headrace.testing.factories import make_prediction
from tests.serving.scene import ROW, ROWS, Classifier, Scene, Spec, StubModel

Stage = Callable[..., Scene]
DEADLINE_S = 20.0


def _predict(scene: Scene, values: dict[str, list[Any]] | None = None, **more: Any) -> Prediction:
    columns = ROW if values is None else values
    return asyncio.run(scene.handler.predict("cars", columns, principal=scene.caller, **more))


def _compared(scene: Scene, n_asked: int, release_id: str = "r2") -> Comparison:
    """What is known about a shadow, once it has been asked this often and all of it is recorded."""
    until_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < until_s:
        found = scene.shadows.comparisons().get(release_id, Comparison())
        if found.asked + found.skipped >= n_asked:
            scene.shadows.close()
            return scene.shadows.comparisons()[release_id]
        threading.Event().wait(0.001)
    raise AssertionError(f"the shadow was not asked {n_asked} times")


class Gated(StubModel):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.pass_on = threading.Event()

    def score(self, columns: Columns) -> dict[str, Any]:
        self.entered.set()
        assert self.pass_on.wait(DEADLINE_S)
        return super().score(columns)


class Narrow(StubModel):
    """Knows one input less than the live model."""

    inputs = (Spec("mileage", "number"),)
    encoding = None  # type: ignore[assignment]  # a model without an encoding of ours

    def score_row(self, values: Sequence[Any]) -> Mapping[str, Any]:
        return {"predict": float(values[0])}


@pytest.mark.requirement("DEP-03")
def test_what_a_shadow_says_is_recorded_and_compared_and_given_to_nobody(stage: Stage) -> None:
    scene = stage(canary=StubModel(bias=2.0))
    answers = [_predict(scene, key=f"customer-{i}", keys=[f"car-{i}"]) for i in range(3)]
    assert {(a.release_id, a.arm, a.outputs["predict"][0]) for a in answers} == {("r1", "live", 12.5)}
    compared = _compared(scene, 3)
    assert compared == Comparison(asked=3, rows=3, same=0, difference=6.0)
    said = {one.id: one for one in scene.said_in_shadow()}
    assert said.keys() == {answer.id for answer in answers}
    for answer in answers:
        one = said[answer.id]
        assert (one.release_id, one.arm, one.outputs) == ("r2", "shadow", {"predict": [14.5]})
        assert (one.columns, one.keys, one.at, one.event_time) == (
            answer.columns,
            answer.keys,
            answer.at,
            answer.event_time,
        )
    assert scene.predictions() == answers
    assert scene.handler.counts() == {"r1": (3, 0)}


def test_many_rows_are_compared_row_by_row(stage: Stage) -> None:
    scene = stage(canary=StubModel())
    _predict(scene, ROWS)
    assert _compared(scene, 1) == Comparison(asked=1, rows=3, same=3)


def test_labels_are_alike_or_not(stage: Stage) -> None:
    scene = stage(live=Classifier("no", "yes"), canary=Classifier("no", "maybe", "yes"))
    _predict(scene, {**ROW, "mileage": [90.0]})
    _predict(scene, {**ROW, "mileage": [40.0]})
    assert _compared(scene, 2) == Comparison(asked=2, rows=2, same=1, difference=1.0)


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_a_canary_with_a_share_is_no_shadow(stage: Stage, weight: float) -> None:
    scene = stage(canary=StubModel())
    scene.weigh(weight)
    for i in range(20):
        _predict(scene, key=str(i))
    scene.shadows.close()
    assert scene.shadows.comparisons() == {}
    assert scene.said_in_shadow() == []


def test_whoever_names_a_version_is_not_copied(stage: Stage) -> None:
    scene = stage(canary=StubModel(bias=1.0))
    assert _predict(scene, version="2").outputs == {"predict": [13.5]}
    scene.shadows.close()
    assert scene.said_in_shadow() == []


@pytest.mark.requirement("DEP-03")
def test_a_shadow_that_fails_harms_no_caller_and_is_on_record(stage: Stage) -> None:
    scene = stage(canary=StubModel(error=RuntimeError("no such thing as 12.5")))
    answer = _predict(scene)
    assert answer.outputs == {"predict": [12.5]}
    assert _compared(scene, 1) == Comparison(asked=1, failed=1)
    (failure,) = scene.failures()
    assert (failure.id, failure.release_id, failure.arm) == (answer.id, "r2", "shadow")
    assert failure.error.startswith("RuntimeError")


def test_an_input_that_a_shadow_does_not_know_is_its_failure(stage: Stage) -> None:
    scene = stage(canary=Narrow())
    _predict(scene)
    assert _compared(scene, 1).failed == 1
    assert "no input 'model'" in scene.failures()[0].error


def test_a_shadow_that_does_not_load_is_a_failure_too(stage: Stage) -> None:
    scene = stage(canary=StubModel())
    del scene.shelf.models["r2"]
    scene.models.keep([])
    _predict(scene)
    assert _compared(scene, 1).failed == 1
    assert "cannot be loaded" in scene.failures()[0].error


def test_a_request_that_failed_is_not_repeated(stage: Stage) -> None:
    scene = stage(live=StubModel(error=RuntimeError("broken")), canary=StubModel())
    with pytest.raises(InternalError):
        _predict(scene)
    scene.shadows.close()
    assert scene.shadows.comparisons() == {}


def test_privacy_rules_hold_for_shadows(stage: Stage) -> None:
    scene = stage(canary=StubModel())
    scene.project = replace(scene.project, privacy=PrivacySpec(fields={"model": "drop", "key": "hash"}))
    _predict(scene, keys=["car-1"])
    assert _compared(scene, 1).asked == 1
    (said,) = scene.said_in_shadow()
    assert "model" not in said.columns
    assert said.keys == scene.predictions()[0].keys != ["car-1"]


def test_answers_do_not_wait_and_what_is_too_much_is_skipped_and_counted(stage: Stage) -> None:
    gated = Gated()
    scene = stage(canary=gated)
    scene.shadows = Shadows(scene.models, scene.events, scene.clock, scene.rules_of, max_waiting_rows=2)
    answered = make_prediction(project="cars", n_rows=1, columns=ROW, outputs={"predict": [12.5]})
    scene.shadows.offer("r2", answered, ROW)
    assert gated.entered.wait(DEADLINE_S)
    for _ in range(5):
        scene.shadows.offer("r2", answered, ROW)
    assert scene.shadows.comparisons()["r2"].skipped == 3
    gated.pass_on.set()
    assert _compared(scene, 6) == Comparison(asked=3, skipped=3, rows=3, same=3)


def test_one_long_request_is_asked_where_nothing_else_waits(stage: Stage) -> None:
    scene = stage(canary=StubModel())
    scene.shadows = Shadows(scene.models, scene.events, scene.clock, scene.rules_of, max_waiting_rows=2)
    answered = make_prediction(project="cars", n_rows=3, columns=ROWS, outputs={"predict": [1.0, 0.0, 3.5]})
    scene.shadows.offer("r2", answered, ROWS)
    assert _compared(scene, 1) == Comparison(asked=1, rows=3, same=3)


def test_closing_skips_what_waits_and_whatever_comes_later(stage: Stage) -> None:
    gated = Gated()
    scene = stage(canary=gated)
    answered = make_prediction(project="cars", n_rows=1, columns=ROW, outputs={"predict": [12.5]})
    scene.shadows.offer("r2", answered, ROW)
    assert gated.entered.wait(DEADLINE_S)
    closing = threading.Thread(target=scene.shadows.close)
    closing.start()
    offered = 1
    while not scene.shadows.comparisons().get("r2", Comparison()).skipped:
        scene.shadows.offer("r2", answered, ROW)
        offered += 1
    gated.pass_on.set()
    closing.join(DEADLINE_S)
    assert scene.shadows.comparisons()["r2"] == Comparison(asked=1, skipped=offered - 1, rows=1, same=1)
    assert len(scene.said_in_shadow()) == 1


def test_a_full_disk_loses_copies_and_says_so(stage: Stage) -> None:
    scene = stage(canary=StubModel())
    answered = make_prediction(project="cars", n_rows=1, columns=ROW, outputs={"predict": [12.5]})
    scene.events.failing = OSError(28, "No space left on device")
    scene.shadows.offer("r2", answered, ROW)
    assert _compared(scene, 1) == Comparison(asked=1, skipped=1, rows=1, same=1)
    scene.events.failing = None
    assert scene.said_in_shadow() == []


def test_a_shadow_ends_when_its_route_does(stage: Stage) -> None:
    scene = stage(canary=StubModel())
    _predict(scene)
    scene.rollouts.set_route(Route(project="cars", live="r1"))
    scene.refresh()
    _predict(scene)
    assert _compared(scene, 1).asked == 1


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), st.booleans())
def test_a_model_agrees_with_itself(values: list[float], labels: bool) -> None:
    assert distances({"predict": values}, {"predict": list(values)}, labels=labels) == [0.0] * len(values)


@pytest.mark.parametrize(
    ("answered", "said", "labels", "expected"),
    [
        ([1.0, 2.0], [1.5, 2.0], False, [0.5, 0.0]),
        ([1.0], [1.0 + 1e-12], False, [0.0]),
        ([1.0, 3.0], [7.0, 3.0], True, [1.0, 0.0]),
        (["a", None], ["b", None], False, [1.0, 0.0]),
        ([[1.0, 2.0]], [[1.0, 5.0]], False, [3.0]),
        ([[1.0]], [[1.0, 2.0]], False, [1.0]),
        ([1.0], ["a"], False, [1.0]),
    ],
)
def test_how_far_two_answers_are_apart(
    answered: list[Any], said: list[Any], labels: bool, expected: list[float]
) -> None:
    assert distances({"predict": answered}, {"predict": said}, labels=labels) == expected


def test_outputs_that_only_one_model_has_are_not_compared() -> None:
    assert distances({"low": [1.0]}, {"high": [2.0]}, labels=False) == []


def _answered(scene: Scene) -> Prediction:
    return make_prediction(
        project="cars", n_rows=1, columns=ROW, outputs={"predict": [12.5]}, at=scene.clock.now()
    )


@pytest.mark.requirement("PRV-02")
def test_what_was_asked_before_an_erasure_is_not_recorded_after_it(stage: Stage) -> None:
    gated = Gated()
    scene = stage(canary=gated)
    begun_s = [0.0]
    scene.shadows = Shadows(
        scene.models, scene.events, scene.clock, scene.rules_of, erased_s=lambda _project: begun_s[0]
    )
    before = _answered(scene)
    scene.shadows.offer("r2", before, ROW)
    assert gated.entered.wait(DEADLINE_S)
    begun_s[0] = before.at.timestamp()
    scene.shadows.offer("r2", replace(before, id="later", at=before.at + timedelta(seconds=1)), ROW)
    gated.pass_on.set()
    assert _compared(scene, 2).skipped == 1
    assert [said.id for said in scene.said_in_shadow()] == ["later"]


@pytest.mark.requirement("PRV-02")
def test_an_erasure_that_begins_during_the_write_is_followed(stage: Stage) -> None:
    scene = stage(canary=StubModel())
    answered = _answered(scene)
    moments = iter((0.0, answered.at.timestamp()))
    scene.shadows = Shadows(
        scene.models, scene.events, scene.clock, scene.rules_of, erased_s=lambda _project: next(moments)
    )
    scene.shadows.offer("r2", answered, ROW)
    assert _compared(scene, 1).asked == 1
    assert scene.said_in_shadow() == []
