"""Both models on the same rows: what a look at the canary concludes from labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headrace.core.ports import Columns
from headrace.core.project import Column, PrivacySpec
from headrace.core.release import Release
from headrace.releases import delivery, observing
from headrace.releases.looks import is_kept
from headrace.testing import EchoModel
from tests.releases.delivering import Scene

Make = Callable[..., Scene]


def canary(scene: Scene, answers_with: str) -> Release:
    """A release beside a champion that answers with ``good``."""
    if scene.store.rollouts.route("cars") is None:
        scene.live("good")
    release = scene.approved(answers_with)
    scene.begin(release)
    return release


@pytest.mark.requirement("DEP-02", "GAT-10")
def test_a_candidate_that_is_worse_on_the_same_rows_is_aborted(make: Make) -> None:
    scene = make()
    new = canary(scene, "bad")
    scene.answered(new, 200)
    rollout = scene.look(new)
    assert rollout.state == "aborted"
    assert "worse by at least" in rollout.reason
    (judged,) = scene.store.evidence.verdicts(new.id)
    low, high = judged.evidence["difference"]
    assert 0 < judged.evidence["margin"] * judged.evidence["champion_loss"] < low < high
    assert judged.evidence["n_labels"] == 200


@pytest.mark.requirement("PRV-07")
def test_without_the_inputs_as_they_came_failures_alone_decide(make: Make) -> None:
    scene = make()
    inputs = (Column(name="good", role="numeric"), Column(name="bad", role="numeric"))
    scene.project = replace(
        scene.project,
        data=replace(scene.project.data, columns=inputs),
        privacy=PrivacySpec(basis="consent", fields={"bad": "mask"}),
        rollout=replace(scene.project.rollout, min_labels=0),
    )
    new = canary(scene, "bad")
    scene.answered(new, 200)
    rollout = scene.look(new)
    (judged,) = scene.store.evidence.verdicts(new.id)
    assert (judged.evidence["n_labels"], judged.evidence["difference"]) == (0, None)
    assert (rollout.state, rollout.reason) == ("canary", "200 answers, 0 failed")


def test_a_candidate_that_is_better_is_promoted(make: Make) -> None:
    scene = make()
    scene.live("bad")
    new = canary(scene, "good")
    for _ in range(2):
        scene.answered(new, 200)
        scene.look(new)
    assert scene.store.rollouts.get(new.id).state == "promoted"


@pytest.mark.requirement("DEP-02")
def test_a_candidate_that_answers_alike_is_promoted(make: Make) -> None:
    scene = make()
    new = canary(scene, "same")
    for _ in range(2):
        scene.answered(new, 60)
        scene.look(new)
    rollout = scene.store.rollouts.get(new.id)
    assert rollout.state == "promoted"
    assert "loss difference within [0, 0]" in rollout.reason


def test_rows_of_either_arm_are_compared(make: Make) -> None:
    """The champion answers most rows; the candidate is scored on them all the same."""
    scene = make()
    old = scene.live("good")
    new = canary(scene, "bad")
    scene.answered(new, 5)
    scene.answered(old, 200)
    assert scene.look(new).state == "aborted"


def test_rows_from_before_the_canary_say_nothing_about_it(make: Make) -> None:
    scene = make()
    old = scene.live("good")
    scene.answered(old, 200)
    new = canary(scene, "bad")
    scene.answered(new, 10)
    seen = observing.observe(
        scene.store, scene.project, scene.store.rollouts.get(new.id), scene.models.__getitem__
    )
    assert (seen.answered, seen.n_labels) == (10, 10)


def test_without_enough_labels_nothing_is_concluded(make: Make) -> None:
    scene = make()
    new = canary(scene, "bad")
    scene.answered(new, 40)
    scene.answered(new, 100, labelled=False)
    rollout = scene.look(new)
    assert (rollout.state, rollout.reason) == ("canary", "40 of 60 labels so far")


class NoModel:
    """A scorer that cannot read these rows."""

    outputs = ("predict",)
    classes = None

    def score(self, columns: Columns) -> dict[str, Any]:
        return EchoModel("a column that nobody recorded").score(columns)


class FailsOften:
    """A scorer whose answers are no numbers now and then."""

    outputs = ("predict",)
    classes = None

    def score(self, columns: Columns) -> dict[str, Any]:
        values = np.array(columns["good"])
        values[::7] = np.nan
        return {"predict": values}


@pytest.mark.parametrize("model", [NoModel(), FailsOften()])
def test_what_cannot_be_measured_is_neither_good_nor_bad(make: Make, model: NoModel | FailsOften) -> None:
    scene = make()
    new = canary(scene, "good")
    scene.models[new.id] = model
    scene.answered(new, 100)
    judged = delivery.look(scene.store, scene.project, new.id, scene.models.__getitem__, scene.now)
    assert judged.outcome == "error"
    assert "could not be measured" in judged.reason
    assert judged.evidence["answered"] == 100
    assert delivery.apply_look(scene.store, scene.project, judged).state == "canary", "it is looked at again"


def test_labels_that_say_nothing_are_left_out(make: Make) -> None:
    scene = make()
    new = canary(scene, "same")
    scene.answered(new, 60)
    scene.answered(new, 3, labelled=False)
    unlabelled = scene.store.tables.query(
        "select subject from p where subject not in (select subject from o)",
        {"p": ("cars/predictions", None), "o": ("cars/outcomes", None)},
    )["subject"]
    scene.told(dict.fromkeys(unlabelled.tolist(), "unknown"))
    judged = delivery.look(scene.store, scene.project, new.id, scene.models.__getitem__, scene.now)
    assert (judged.outcome, judged.evidence["n_labels"]) == ("passed", 60)


def kept(scene: Scene, release: Release) -> list[Any]:
    return scene.store.evidence.measurements("cars", name="canary_look", release_id=release.id)


def test_a_look_that_decides_nothing_is_kept_for_the_course_once(make: Make) -> None:
    scene = make(steps=(10,), min_labels=400)
    new = canary(scene, "same")
    scene.answered(new, 60)
    before = scene.store.rollouts.get(new.id)
    judged = delivery.look(scene.store, scene.project, new.id, scene.models.__getitem__, scene.now)
    for _ in range(2):
        delivery.apply_look(scene.store, scene.project, judged)
    (one,) = kept(scene, new)
    assert (one.n_rows, one.detail["look"], one.detail["outcome"]) == (60, 1, "inconclusive")
    assert one.window == (before.step_started_at, judged.at)
    assert scene.store.evidence.verdicts(new.id) == [], "as a verdict it would be one of thousands"


def test_a_look_that_decides_is_kept_with_what_it_was_decided_by(make: Make) -> None:
    scene = make()
    new = canary(scene, "bad")
    scene.answered(new, 200)
    scene.look(new)
    (one,) = kept(scene, new)
    (judged,) = scene.store.evidence.verdicts(new.id)
    assert one.interval is not None
    assert one.value is not None
    assert list(one.interval) == judged.evidence["difference"]
    assert one.interval[0] < one.value < one.interval[1]
    assert one.interval[0] > one.detail["allowed"] > 0


def test_of_many_looks_some_hundred_are_kept_all_along() -> None:
    numbers = [look for look in range(1, 17_281) if is_kept(look)]
    assert len(numbers) < 500
    gaps = np.diff(numbers)
    assert gaps.max() <= 256
    assert (np.diff(gaps) >= 0).mean() > 0.99, "the first are kept best"


def test_a_decision_among_looks_that_are_left_out_is_kept(make: Make) -> None:
    scene = make()
    new = canary(scene, "bad")
    rollout = scene.store.rollouts.get(new.id)
    for look in range(100):
        rollout = replace(rollout, looks=look + 1, revision=rollout.revision + 1)
        scene.store.rollouts.save(rollout)
    assert not is_kept(101)
    scene.answered(new, 200)
    assert scene.look(new).state == "aborted"
    assert [one.detail["look"] for one in kept(scene, new)] == [101]
