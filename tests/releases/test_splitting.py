"""A/B tests: who may share the traffic, what becomes of the arms, and how their losses compare."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from headrace.checks.sequential import AlwaysValid
from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.release import Release, Share
from headrace.monitoring.ingest import prediction_rows, predictions_table
from headrace.releases import delivery, splitting
from headrace.testing import make_prediction, make_release
from tests.releases.delivering import INPUTS, PROJECT, Scene

Make = Callable[..., Scene]


def _half(*releases: Release) -> list[Share]:
    share = 1 / len(releases)
    return [
        Share(name=name, release_id=r.id, share=share) for name, r in zip("abcdef", releases, strict=False)
    ]


def _split(scene: Scene, *releases: Release) -> None:
    splitting.start(scene.store, PROJECT, _half(*releases), scene.now, by="grace")


def _end(scene: Scene, keep: Release) -> Release:
    return splitting.end(scene.store, PROJECT, keep.id, scene.now, by="grace")


def _pair(scene: Scene) -> tuple[Release, Release]:
    old, new = scene.live(), scene.live()
    return old, new


def _answered(scene: Scene, arm: str, release: Release, errors: np.ndarray) -> None:
    """One labelled row for each error that ``release`` made, in ``arm``."""
    made = [
        make_prediction(
            id=f"{arm}-{scene.now.timestamp()}", release_id=release.id, arm=arm, n_rows=1, at=scene.now,
            event_time=scene.now, columns={name: [1.0] for name in INPUTS}, outputs={"predict": [100.0 + e]},
        )
        for e in errors
    ]  # fmt: skip
    rows = prediction_rows(made, frozenset(INPUTS))
    scene.store.tables.append(predictions_table(PROJECT), rows)
    scene.told({f"{one.id}:0": 100.0 for one in made})


@pytest.mark.requirement("DEP-03")
def test_releases_share_the_traffic_until_one_is_kept_and_both_stay_on_record(make: Make) -> None:
    scene = make()
    old, new = _pair(scene)
    _split(scene, new, old)
    route = scene.route()
    assert (route.live, route.canary, route.arms) == (new.id, None, (("a", new.id), ("b", old.id)))
    assert scene.states() == {old.id: "superseded", new.id: "live"}, "nothing is promoted by a test"
    assert _end(scene, new).id == new.id
    assert (scene.route().live, scene.route().split) == (new.id, None)
    splits = [e for e in scene.store.audit.list(limit=1000) if e.action == "route.split"]
    assert [e.actor for e in splits] == ["grace", "grace"]


def test_the_arm_that_is_kept_is_live_and_a_rollback_goes_back_to_what_was(make: Make) -> None:
    scene = make()
    old, new = _pair(scene)
    _split(scene, new, old)
    assert _end(scene, old).state == "live"
    assert scene.states() == {old.id: "live", new.id: "superseded"}
    assert scene.route().live == old.id
    delivery.roll_back(scene.store, PROJECT)
    assert (scene.route().live, scene.states()) == (new.id, {old.id: "rolled_back", new.id: "live"})


def test_a_release_that_waits_for_its_rollout_can_be_an_arm_and_win(make: Make) -> None:
    scene = make()
    old, new = _pair(scene)
    _split(scene, new, old)
    third = scene.approved()
    with pytest.raises(Conflict, match="has an A/B test. End it"):
        delivery.begin(scene.store, scene.project, third, scene.now)
    assert scene.store.rollouts.find_active(PROJECT) is None, "nothing is left of the attempt"
    _split(scene, new, third)
    assert _end(scene, third).state == "live"
    assert (scene.route().live, scene.states()[new.id]) == (third.id, "superseded")
    rollout = delivery.begin(scene.store, scene.project, third, scene.now)
    assert rollout.state == "promoted", "its delivery finds that it is done"
    delivery.roll_back(scene.store, PROJECT)
    assert scene.route().live == new.id


def test_an_arm_that_was_never_live_and_loses_is_aborted_and_gets_no_canary(make: Make) -> None:
    scene = make()
    old, new = _pair(scene)
    _split(scene, new, old)
    third = scene.approved()
    _split(scene, new, third)
    _end(scene, new)
    assert (scene.states()[third.id], scene.states()[new.id]) == ("aborted", "live")
    assert scene.route().releases == (new.id,)
    assert delivery.begin(scene.store, scene.project, third, scene.now).state == "aborted"


def test_nothing_that_is_not_approved_gets_traffic(make: Make) -> None:
    scene = make()
    live = scene.live()
    before = scene.route()
    for state in ("proposed", "waiting", "refused", "rejected", "rolled_back", "aborted", "external"):
        other = scene.store.releases.add(make_release(state=state))
        with pytest.raises(Conflict, match=f"is {state.replace('_', ' ')}: only releases that are approved"):
            _split(scene, live, other)
    with pytest.raises(InvalidInput, match="is one of 'vans', not of 'cars'"):
        _split(scene, live, scene.store.releases.add(make_release(project="vans", state="live")))
    assert scene.route() == before


def test_a_test_and_a_rollout_exclude_each_other(make: Make) -> None:
    scene = make()
    old, new = _pair(scene)
    canary = scene.approved()
    scene.begin(canary)
    before = scene.route()
    with pytest.raises(Conflict, match="still rolling out"):
        _split(scene, new, old)
    assert scene.route() == before
    assert not [e for e in scene.store.audit.list(limit=1000) if e.action == "route.split"]


def test_shares_add_up_and_each_arm_has_a_name_of_its_own(make: Make) -> None:
    scene = make()
    nan = float("nan")
    shares = {
        (0.5,): "two or more",
        (0.5, 0.4): "add up to 0.9",
        (1.0, 0.0): "between",
        (nan, 0.5): "between",
    }
    for given, message in shares.items():
        arms = [Share(name=f"v{i}", release_id=f"r{i}", share=share) for i, share in enumerate(given)]
        with pytest.raises(InvalidInput, match=message):
            splitting.start(scene.store, PROJECT, arms, scene.now, by="grace")
    for name in ("live", "canary", "shadow", "", "B", "a b", "x" * 21):
        arms = [Share(name=name, release_id="r1", share=0.5), Share(name="b", release_id="r2", share=0.5)]
        with pytest.raises(InvalidInput, match="cannot be named"):
            splitting.start(scene.store, PROJECT, arms, scene.now, by="grace")


def test_the_live_release_takes_part_and_nobody_twice(make: Make) -> None:
    scene = make()
    with pytest.raises(NotFound, match="Nothing of 'cars' is live"):
        _split(scene, make_release(), make_release())
    old, new = _pair(scene)
    with pytest.raises(InvalidInput, match="same release"):
        _split(scene, new, new)
    third = scene.approved()
    with pytest.raises(InvalidInput, match="is not among the arms"):
        _split(scene, old, third)
    with pytest.raises(NotFound, match="No A/B test"):
        _end(scene, new)
    _split(scene, new, old)
    with pytest.raises(NotFound, match=f"Its arms: a .{new.id}., b"):
        _end(scene, third)


@pytest.mark.requirement("DEP-03")
def test_arms_are_compared_on_what_each_answered_itself(make: Make) -> None:
    scene = make()
    old, new = _pair(scene)
    _answered(scene, "live", new, scene.random.normal(0, 50, 80))  # before the test: not of it
    _split(scene, new, old)
    route = scene.route()
    assert [a.conclusion for a in splitting.compare(scene.store, scene.project, route, _no_classes)] == [
        None,
        "undecided",
    ]
    _answered(scene, "a", new, scene.random.normal(0, 1, 300))
    _answered(scene, "b", old, scene.random.normal(0, 6, 200))
    scene.failed(old, 3)
    live, other = splitting.compare(scene.store, scene.project, route, _no_classes)
    assert (live.failed, other.failed) == (0, 3)
    assert (live.name, live.answered, live.n_labels, live.difference) == ("a", 300, 300, None)
    assert (other.name, other.answered, other.n_labels, other.conclusion) == ("b", 200, 200, "worse")
    assert other.difference is not None
    expected = 5 * (2 / np.pi) ** 0.5  # of mean absolute errors of normal values
    assert other.difference[0] < expected < other.difference[1]
    scene.wait(timedelta(minutes=1))
    _split(scene, new, old)
    assert splitting.compare(scene.store, scene.project, scene.route(), _no_classes)[0].answered == 0


@pytest.mark.parametrize(("gap", "expected"), [(0.0, 0), (4.0, 100)])
def test_looking_at_every_turn_fools_nobody_and_a_real_difference_is_found(gap: float, expected: int) -> None:
    random = np.random.default_rng(11)
    n_tests, wrong, told = 100, 0, 0
    for _ in range(n_tests):
        arm, live = AlwaysValid(alpha=0.025), AlwaysValid(alpha=0.025)
        intervals = []
        for _ in range(20):
            arm.update(np.abs(random.normal(0, 10, 40)) + gap)
            live.update(np.abs(random.normal(0, 10, 40)))
            intervals.append(splitting.difference_of(arm, live))
        seen = [one for one in intervals if one is not None]
        wrong += any(not low <= gap <= high for low, high in seen)
        told += any(not low <= 0 <= high for low, high in seen)
    assert wrong <= 0.05 * n_tests, "at any of 20 looks"
    assert abs(told - expected) <= 0.05 * n_tests


def test_a_loss_that_cannot_be_measured_decides_nothing(make: Make) -> None:
    scene = make()
    old, new = _pair(scene)
    _split(scene, new, old)
    _answered(scene, "a", new, scene.random.normal(0, 9, 100))
    _answered(scene, "b", old, np.append(scene.random.normal(0, 1, 100), np.nan))
    _, other = splitting.compare(scene.store, scene.project, scene.route(), _no_classes)
    assert (other.n_labels, other.unmeasured, other.difference, other.conclusion) == (
        101,
        1,
        None,
        "undecided",
    )


def _no_classes(_release_id: str) -> None:
    return None
