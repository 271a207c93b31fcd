"""A/B tests as people begin and end them: by whose word, on record, and what a delivery makes of it."""

from __future__ import annotations

from collections import Counter

import pytest

from headrace.app.operations import roll_back
from headrace.app.overviews.active import active
from headrace.app.rollouts.deliver import TICK
from headrace.app.rollouts.splitting import Wanted, end_split, split, split_report
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.release import Release
from tests.app.small import AUTHOR, VALIDATOR, Site, Small


def _two(project: Small) -> tuple[Release, Release]:
    """A live release and the one before it."""
    old, new = project.released(), project.promoted(project.released())
    project.delivered(new.id)
    assert (project.app.store.releases.get(old.id).state, new.state) == ("superseded", "live")
    return old, new


@pytest.fixture(scope="module")
def pair(shared: Site) -> tuple[Small, Release, Release]:
    """A live release and the one before it; tests leave no A/B test behind."""
    project = shared.project("shared-out")
    return (project, *_two(project))


Pair = tuple[Small, Release, Release]


def _grace(project: Small) -> Principal:
    return project.app.identities.resolve(VALIDATOR)


def _halves() -> list[Wanted]:
    return [Wanted(version="2", share=0.5), Wanted(version="1", share=0.5)]


@pytest.mark.requirement("DEP-17")
@pytest.mark.requirement("DEP-03")
def test_versions_share_the_traffic_by_name_until_somebody_who_may_promote_ends_it(pair: Pair) -> None:
    project, old, new = pair
    grace, before = _grace(project), _entries(project)
    report = split(project.app, grace, project.name, _halves())
    assert [(arm.name, arm.release_id, arm.share) for arm in report.arms] == [
        ("v2", new.id, 0.5),
        ("v1", old.id, 0.5),
    ]
    found = [
        (a.environment, a.share_percent) for a in active(project.app, project.me) if a.project == project.name
    ]
    assert found == [("production", 50), ("split", 50)]
    named = split(project.app, grace, project.name, [
        Wanted(version=old.id, share=0.8, name="control"), Wanted(version="2", share=0.2),
    ])  # fmt: skip
    assert [(arm.name, arm.share) for arm in named.arms] == [("v2", 0.2), ("control", 0.8)]
    assert split_report(project.app, project.me, project.name) == named
    assert end_split(project.app, grace, project.name).id == new.id
    with pytest.raises(NotFound, match="No A/B test of 'shared-out' is under way. Begin one: headrace"):
        split_report(project.app, project.me, project.name)
    added = _entries(project) - before
    assert added == Counter({"route.split": 3, "release.split": 2, "release.end": 1})


def _entries(project: Small) -> Counter[str]:
    """What the validator did to the project itself, by the audit log."""
    entries = project.app.store.audit.list(limit=1000)
    return Counter(
        e.action for e in entries if (e.actor, e.resource) == (VALIDATOR, f"project:{project.name}")
    )


@pytest.mark.requirement("DEP-17")
def test_nobody_puts_their_own_release_to_a_test_nor_without_the_right_to_approve(pair: Pair) -> None:
    project, _, _ = pair
    before = project.route()
    with pytest.raises(Denied, match="release.approve"):
        split(project.app, project.me, project.name, _halves())
    vera = project.app.identities.add("vera", ["viewer"], actor=AUTHOR)
    with pytest.raises(Denied, match="release.approve"):
        split(project.app, vera, project.name, _halves())
    split(project.app, _grace(project), project.name, _halves())
    for keep in (None, "v1"):
        with pytest.raises(Denied, match="release.approve"):
            end_split(project.app, project.me, project.name, keep)
    assert roll_back(project.app, project.work, project.me, project.name).id == before.live  # type: ignore[union-attr]
    assert project.route().split is None  # type: ignore[union-attr]


@pytest.mark.requirement("DEP-17")
@pytest.mark.requirement("DEP-04")
def test_one_rollback_ends_a_test_and_the_next_one_goes_back_a_release(pair: Pair) -> None:
    project, _, new = pair
    split(project.app, _grace(project), project.name, _halves())
    assert roll_back(project.app, project.work, project.me, project.name).id == new.id
    route = project.route()
    assert route is not None
    assert (route.live, route.split) == (new.id, None)


@pytest.mark.parametrize(
    ("versions", "message"),
    [(("2", "7"), "no release '7'"), (("2", "2"), "same name"), (("2",), "two or more")],
)
def test_what_cannot_be_tested_is_refused_and_nothing_changes(
    pair: Pair, versions: tuple[str, ...], message: str
) -> None:
    project, _, _ = pair
    before = project.route()
    with pytest.raises((NotFound, InvalidInput), match=message):
        split(project.app, _grace(project), project.name, [Wanted(version=v, share=0.5) for v in versions])
    assert project.route() == before


@pytest.mark.requirement("DEP-17")
def test_a_release_approved_during_a_test_waits_joins_and_wins(shared: Site) -> None:
    project = shared.project("joins")
    grace = _grace(project)
    old, new = _two(project)
    split(project.app, grace, project.name, _halves())
    third = project.released()
    assert third.state == "approved", "it waits, and nobody waits for it"
    split(project.app, grace, project.name, [
        Wanted(version="2", share=0.5), Wanted(version="1", share=0.25), Wanted(version="3", share=0.25),
    ])  # fmt: skip
    assert end_split(project.app, grace, project.name, "v3").id == third.id
    route = project.route()
    assert route is not None
    assert route.live == third.id
    assert {r.id: r.state for r in project.releases()} == {
        old.id: "superseded", new.id: "superseded", third.id: "live",
    }  # fmt: skip
    project.work.durable.send(f"deliver:{third.id}", TICK, "look")
    assert project.work.durable.result(f"deliver:{third.id}") == "live"
    assert roll_back(project.app, project.work, project.me, project.name).id == new.id


def test_no_test_while_a_canary_rolls_out(shared: Site) -> None:
    project = shared.project("canary-first")
    first, canary = project.released(), project.released()
    assert canary.state == "rolling_out"
    with pytest.raises(Conflict, match="rolling out"):
        split(project.app, _grace(project), project.name, _halves())
    route = project.route()
    assert route is not None
    assert (route.live, route.canary) == (first.id, canary.id)
    roll_back(project.app, project.work, project.me, project.name)
