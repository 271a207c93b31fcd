"""From an approved release to the traffic and back: each step once, whatever is repeated or killed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from headrace.core.errors import Conflict, Denied, IllegalTransition, NotFound
from headrace.core.release import Release, Route
from headrace.releases import delivery
from headrace.releases.rollout import Stop
from headrace.testing import make_approval, make_release
from tests.releases.delivering import PROJECT, Scene

Make = Callable[..., Scene]


def test_a_first_release_is_promoted_without_a_canary(make: Make) -> None:
    scene = make()
    release = scene.approved()
    rollout = scene.begin(release)
    assert (rollout.state, rollout.champion_id) == ("promoted", None)
    assert (scene.route().live, scene.route().canary) == (release.id, None)
    assert delivery.finish(scene.store, release.id).state == "live"


@pytest.mark.requirement("DEP-02")
def test_a_good_release_takes_the_traffic_step_by_step(make: Make) -> None:
    scene = make()
    old, new = scene.live(), scene.approved()
    scene.begin(new)
    weights = [scene.route().canary_weight]
    while scene.store.rollouts.get(new.id).state == "canary":
        scene.answered(new, 30)
        scene.look(new)
        weights.append(scene.route().canary_weight)
    assert [w for w, before in zip(weights, [None, *weights], strict=False) if w != before] == [0.1, 0.5, 0.0]
    assert scene.route().live == new.id
    assert delivery.finish(scene.store, new.id).state == "live"
    assert scene.states() == {old.id: "superseded", new.id: "live"}


@pytest.mark.requirement("DEP-02")
def test_a_canary_that_fails_requests_is_aborted_and_the_champion_keeps_the_traffic(make: Make) -> None:
    scene = make(min_labels=0)
    old, new = scene.live(), scene.approved()
    scene.begin(new)
    scene.failed(old, 50)
    assert scene.look(new).state == "canary", "failures of the champion are not the candidate's"
    scene.answered(new, 5)
    scene.failed(new, 5)
    rollout = scene.look(new)
    assert (rollout.state, rollout.reason) == ("aborted", "5 of 10 requests failed")
    assert (scene.route().live, scene.route().canary) == (old.id, None)
    assert delivery.finish(scene.store, new.id).state == "aborted"
    assert scene.states()[old.id] == "live"
    (judged,) = scene.store.evidence.verdicts(new.id)
    assert (judged.outcome, judged.evidence["failed"], judged.evidence["share_percent"]) == ("failed", 5, 10)


def test_requests_count_for_the_step_in_which_they_were_answered(make: Make) -> None:
    scene = make(min_labels=0)
    scene.live()
    new = scene.approved()
    scene.begin(new)
    scene.answered(new, 5, labelled=False)
    assert scene.look(new).step == 1
    assert scene.look(new).step == 1, "the answers of the first step do not carry the second"
    scene.answered(new, 5, labelled=False)
    assert scene.look(new).state == "promoted"


def test_a_canary_without_traffic_ends_when_its_time_is_up(make: Make) -> None:
    scene = make()
    old, new = scene.live(), scene.approved()
    scene.begin(new)
    assert scene.look(new).state == "canary"
    assert scene.store.evidence.verdicts(new.id) == [], "a look that decides nothing is no verdict"
    scene.wait(timedelta(hours=2))
    rollout = scene.look(new)
    assert (rollout.state, rollout.reason) == ("aborted", "no conclusion in time: 0 of 5 answers so far")
    assert scene.route().live == old.id
    assert [v.outcome for v in scene.store.evidence.verdicts(new.id)] == ["inconclusive"]


def test_two_releases_cannot_roll_out_at_once(make: Make) -> None:
    scene = make()
    scene.live()
    first, second = scene.approved(), scene.approved()
    scene.begin(first)
    with pytest.raises(Conflict, match=f"{first.id} of 'cars' is still rolling out"):
        delivery.begin(scene.store, scene.project, second, scene.now)
    delivery.apply(scene.store, first.id, Stop(reason="by hand", at=scene.now))
    assert delivery.finish(scene.store, first.id).state == "aborted"
    assert scene.begin(second).state == "canary"


def test_repeating_any_step_changes_nothing(make: Make) -> None:
    scene = make(min_labels=0)
    old, new = scene.live(), scene.approved()
    approval = make_approval(new, id="again")
    steps: list[Callable[[], object]] = [
        lambda: scene.store.evidence.approve(approval),
        lambda: delivery.move(scene.store, new.id, "approve"),
        lambda: delivery.begin(scene.store, scene.project, new, scene.now),
        lambda: delivery.start(scene.store, new.id, scene.now),
        lambda: delivery.move(scene.store, new.id, "start_rollout"),
        lambda: delivery.finish(scene.store, new.id),
    ]
    delivery.begin(scene.store, scene.project, new, scene.now)
    for step in steps:
        step()
        before = scene.everything(old, new)
        step()
        assert scene.everything(old, new) == before
    scene.answered(new, 5, labelled=False)
    seen = delivery.look(scene.store, scene.project, new.id, scene.models.__getitem__, scene.now)
    assert delivery.apply_look(scene.store, scene.project, seen).step == 1
    before = scene.everything(old, new)
    assert delivery.apply_look(scene.store, scene.project, seen).step == 1, "the same look counts once"
    assert scene.everything(old, new) == before
    scene.answered(new, 5, labelled=False)
    assert scene.look(new).state == "promoted"
    delivery.finish(scene.store, new.id)
    before = scene.everything(old, new)
    delivery.finish(scene.store, new.id)
    delivery.begin(scene.store, scene.project, new, scene.now)
    delivery.start(scene.store, new.id, scene.now)
    assert delivery.apply_look(scene.store, scene.project, seen).state == "promoted"
    assert scene.everything(old, new) == before


def test_a_step_that_is_not_drawn_is_refused(make: Make) -> None:
    scene = make()
    release = scene.store.releases.add(make_release(state="waiting"))
    with pytest.raises(IllegalTransition, match="waiting cannot promote"):
        delivery.move(scene.store, release.id, "promote")
    assert scene.states() == {release.id: "waiting"}


def test_nobody_approves_their_own_work(make: Make) -> None:
    scene = make()
    release = scene.store.releases.add(make_release(author="ada", state="waiting"))
    with pytest.raises(Denied, match="cannot decide on their own work"):
        scene.store.evidence.approve(make_approval(release, approver="ada"))
    forged = make_approval(release, approver="ada", author="somebody else")
    with pytest.raises(Denied):
        scene.store.evidence.approve(forged)
    assert scene.store.evidence.approvals(release.id) == []
    assert scene.store.evidence.approve(make_approval(release)).approver == "grace"


def test_the_policy_decides_in_its_own_name_and_once(make: Make) -> None:
    scene = make()
    release = scene.store.releases.add(make_release(state="waiting"))
    first = delivery.approve_by_policy(scene.store, release, scene.now)
    assert (first.approver, first.digest, first.decision) == ("policy:automatic", release.digest, "approved")
    assert delivery.approve_by_policy(scene.store, release, scene.now) == first
    assert scene.store.evidence.approvals(release.id) == [first]


@pytest.mark.requirement("DEP-04")
def test_a_roll_back_gives_the_traffic_to_the_release_before(make: Make) -> None:
    scene = make(min_labels=0)
    first, second, third = scene.live(), scene.live(), scene.live()
    rolled_back, restored = delivery.roll_back(scene.store, PROJECT)
    assert (rolled_back.id, restored.id) == (third.id, second.id)
    assert scene.route() == Route(project=PROJECT, live=second.id, revision=scene.route().revision)
    assert scene.states() == {first.id: "superseded", second.id: "live", third.id: "rolled_back"}
    delivery.roll_back(scene.store, PROJECT)
    assert scene.states() == {first.id: "live", second.id: "rolled_back", third.id: "rolled_back"}
    fourth = scene.live()
    assert scene.states()[first.id] == "superseded"
    assert scene.route().live == fourth.id
    assert delivery.roll_back(scene.store, PROJECT)[1].id == first.id


@pytest.mark.requirement("DEP-04")
def test_there_is_nothing_before_the_first_release(make: Make) -> None:
    scene = make()
    with pytest.raises(NotFound, match="Nothing of 'cars' is live"):
        delivery.roll_back(scene.store, PROJECT)
    release = scene.live()
    before = scene.everything(release)
    with pytest.raises(NotFound, match="is the first release of 'cars'"):
        delivery.roll_back(scene.store, PROJECT)
    assert scene.everything(release) == before


def interrupt(scene: Scene, *, restored: Release | None = None) -> None:
    """What a roll back leaves behind that is killed after the route changed, or a write later."""
    route = scene.route()
    champion = scene.store.rollouts.get(route.live).champion_id
    assert champion is not None
    scene.store.rollouts.set_route(Route(project=PROJECT, live=champion, revision=route.revision + 1))
    if restored is not None:
        delivery.move(scene.store, restored.id, "restore", "")


@pytest.mark.parametrize("writes", [1, 2])
def test_a_roll_back_that_was_killed_is_finished_and_goes_no_further(make: Make, writes: int) -> None:
    scene = make(min_labels=0)
    first, second, third = scene.live(), scene.live(), scene.live()
    interrupt(scene, restored=second if writes == 2 else None)
    rolled_back, restored = delivery.roll_back(scene.store, PROJECT)
    assert (rolled_back.id, restored.id) == (third.id, second.id)
    assert scene.route().live == second.id
    assert scene.states() == {first.id: "superseded", second.id: "live", third.id: "rolled_back"}


def test_a_killed_promotion_can_be_rolled_back_and_stays_so(make: Make) -> None:
    """The route has changed, the releases' states have not: the process died in between."""
    scene = make(min_labels=0)
    old, new = scene.live(), scene.approved()
    scene.begin(new)
    for _ in range(2):
        scene.answered(new, 5, labelled=False)
        scene.look(new)
    assert scene.states() == {old.id: "live", new.id: "rolling_out"}
    delivery.roll_back(scene.store, PROJECT)
    assert scene.states() == {old.id: "live", new.id: "rolled_back"}
    assert delivery.finish(scene.store, new.id).state == "rolled_back", (
        "the workflow goes on, and changes nothing"
    )
    assert scene.states() == {old.id: "live", new.id: "rolled_back"}
    assert scene.route().live == old.id


def test_a_rollout_that_is_stopped_before_it_began_ends_as_aborted(make: Make) -> None:
    scene = make()
    old, new = scene.live(), scene.approved()
    delivery.begin(scene.store, scene.project, new, scene.now)
    delivery.apply(scene.store, new.id, Stop(reason="stopped by ann", at=scene.now))
    assert delivery.finish(scene.store, new.id).state == "approved", "its workflow has yet to begin"
    assert scene.begin(new).state == "aborted"
    assert delivery.finish(scene.store, new.id).state == "aborted"
    assert scene.route().live == old.id
