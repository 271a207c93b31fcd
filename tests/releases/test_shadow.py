"""A rollout whose first step has no share: the candidate is asked everything and answers nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from headrace.core.release import Release, Route
from headrace.monitoring.ingest import prediction_rows, shadows_table
from headrace.releases import observing
from headrace.testing import make_prediction
from tests.releases.delivering import INPUTS, PROJECT, Scene

Make = Callable[..., Scene]
STEPS = (0, 50)


def begun(scene: Scene, answers_with: str = "good") -> tuple[Release, Release]:
    """A champion, and a candidate in its shadow."""
    scene.project = replace(scene.project, rollout=replace(scene.project.rollout, steps=()))
    old = scene.live()
    scene.project = replace(scene.project, rollout=replace(scene.project.rollout, steps=STEPS))
    new = scene.approved(answers_with)
    scene.begin(new)
    return old, new


def test_a_canary_without_a_share_is_a_shadow() -> None:
    route = Route(project=PROJECT, live="old", canary="new")
    assert route.shadow == "new"
    assert replace(route, canary_weight=0.01).shadow is None
    assert replace(route, canary=None).shadow is None


@pytest.mark.requirement("DEP-03")
def test_a_shadow_that_does_as_well_gets_its_first_share(make: Make) -> None:
    scene = make()
    old, new = begun(scene, "same")
    assert (scene.route().live, scene.route().shadow) == (old.id, new.id)
    assert "shadow" in scene.store.rollouts.get(new.id).reason
    assert scene.look(new).step == 0, "nothing has been asked"
    scene.answered(old, 70, shadow=new)
    rollout = scene.look(new)
    assert (rollout.state, rollout.step) == ("canary", 1), rollout.reason
    assert (scene.route().canary_weight, scene.route().shadow) == (0.5, None)
    (judged,) = scene.store.evidence.verdicts(new.id)
    seen = judged.evidence
    assert (seen["share_percent"], seen["answered"], seen["n_labels"]) == (0, 70, 70)
    assert (seen["shadow_rows"], seen["same"], seen["difference"]) == (70, 70, [0.0, 0.0])
    assert seen["apart"] == 0.0


@pytest.mark.requirement("DEP-03")
def test_a_shadow_that_does_worse_is_aborted_before_it_answers_anybody(make: Make) -> None:
    scene = make()
    old, new = begun(scene, "bad")
    scene.answered(old, 200, shadow=new)
    rollout = scene.look(new)
    assert rollout.state == "aborted"
    assert "worse by at least" in rollout.reason
    assert (scene.route().live, scene.route().canary) == (old.id, None)
    (judged,) = scene.store.evidence.verdicts(new.id)
    assert (judged.evidence["shadow_rows"], judged.evidence["same"]) == (200, 0)
    assert 2 < judged.evidence["apart"] < 5, "the mean of |N(0, 4) - N(0, 1)| is 3.3"


def test_a_shadow_that_fails_is_aborted(make: Make) -> None:
    scene = make(min_labels=0)
    old, new = begun(scene)
    scene.answered(old, 5, shadow=new)
    scene.failed(new, 5)
    assert scene.look(new).state == "aborted"
    assert scene.route().live == old.id


def test_what_a_shadow_says_counts_for_no_later_step(make: Make) -> None:
    scene = make(min_labels=0)
    old, new = begun(scene, "same")
    scene.answered(old, 5, shadow=new, labelled=False)
    assert scene.look(new).step == 1
    assert scene.look(new).step == 1, "the canary has not been asked yet"
    scene.answered(new, 5, labelled=False)
    assert scene.look(new).state == "promoted"


def test_labels_are_compared_as_labels(make: Make) -> None:
    scene = make()
    old, new = begun(scene)
    rows = [make_prediction(id=f"p{i}", release_id=old.id, n_rows=1, columns={}, keys=None) for i in range(3)]
    answered = [replace(row, outputs={"predict": [text]}) for row, text in zip(rows, "aab", strict=True)]
    said = [replace(row, release_id=new.id, arm="shadow", outputs={"predict": ["a"]}) for row in rows]
    tables = scene.store.tables
    tables.append(f"{PROJECT}/predictions", prediction_rows(answered, frozenset(INPUTS)))
    rollout = scene.store.rollouts.get(new.id)
    assert observing.agreement(scene.store, rollout) == {}, "it has said nothing yet"
    tables.append(shadows_table(PROJECT), prediction_rows(said, frozenset(INPUTS)))
    assert observing.agreement(scene.store, rollout) == {"shadow_rows": 3, "same": 2}
