"""What people may do: each operation asks first, says clearly what was wrong, and changes nothing then."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from headrace.app.operations import (
    DECIDING,
    decide,
    declare,
    find_release,
    record_outcomes,
    roll_back,
    settle,
    watch_now,
)
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound
from headrace.core.ids import new_id
from headrace.core.project import PrivacySpec
from headrace.core.record import Outcome
from headrace.core.release import Release
from headrace.store.records import decode_outcome
from headrace.testing import START, make_approval, make_prediction
from tests.app.small import AUTHOR, VALIDATOR, Site, Small, cars

MANUAL = ("approval: automatic", "approval: manual")


@pytest.fixture(scope="module")
def waiting(shared: Site) -> tuple[Small, Release]:
    """A release that waits; the tests that share it leave it waiting."""
    project = shared.project("waiting", MANUAL)
    return project, project.released()


Waiting = tuple[Small, Release]


def logged(project: Small) -> list[Outcome]:
    """All outcomes in the event log."""
    events, stream = project.app.store.events, f"{project.name}/outcomes"
    return [
        decode_outcome(record)
        for segment in events.segments(stream)
        for record in events.read(stream, segment.name, 0, 1000)[0]
    ]


def test_a_release_is_found_by_its_id_or_how_id_or_digest_begin(waiting: Waiting) -> None:
    project, release = waiting
    for text in (release.id, release.id[:8], release.digest, release.digest[:6]):
        assert find_release(project.app, project.me, text).id == release.id


@pytest.mark.parametrize("text", ["", "abc", "no-such-release", "-"])
def test_a_release_that_cannot_be_told_says_how_to_list_them(waiting: Waiting, text: str) -> None:
    with pytest.raises(NotFound, match=r"There is no release .*headrace release ls"):
        find_release(waiting[0].app, waiting[0].me, text)


@pytest.mark.requirement("GOV-01")
def test_a_decision_whose_process_died_before_its_effect_takes_effect(shared: Site) -> None:
    project = shared.project("reminded", MANUAL)
    release = project.released()
    approval = make_approval(release, id=new_id(START), approver=VALIDATOR)
    project.app.store.evidence.approve(approval)
    assert settle(project.app, project.work, release.id, leaving=()).state == "waiting"
    project.work.deliveries.remind()
    project.work.deliveries.remind()
    assert settle(project.app, project.work, release.id, leaving=DECIDING).state == "live"


def test_a_decision_is_one_of_two(waiting: Waiting) -> None:
    project, release = waiting
    with pytest.raises(InvalidInput, match="A decision is 'approved' or 'rejected', got 'maybe'"):
        decide(project.app, project.work, project.me, release.id, "maybe", "")


@pytest.mark.parametrize("role", ["viewer", "developer", "operator", "auditor", "admin"])
def test_only_a_validator_decides(waiting: Waiting, role: str) -> None:
    project, release = waiting
    somebody = project.app.identities.add(f"some-{role}", [role], actor=AUTHOR)
    with pytest.raises(Denied, match="release.approve"):
        decide(project.app, project.work, somebody, release.id, "approved", "")
    assert project.app.store.releases.get(release.id).state == "waiting"
    denied = project.app.store.audit.list()[-1]
    assert (denied.actor, denied.resource) == (somebody.name, f"release:{release.id}")


def test_what_nobody_made_cannot_be_decided(waiting: Waiting) -> None:
    project, _ = waiting
    grace = project.app.identities.resolve(VALIDATOR)
    with pytest.raises(NotFound):
        decide(project.app, project.work, grace, "0000-unknown", "approved", "")


def test_a_viewer_declares_nothing(waiting: Waiting) -> None:
    project, _ = waiting
    viewer = project.app.identities.add("vera", ["viewer"], actor=AUTHOR)
    with pytest.raises(Denied, match="project.run"):
        declare(project.app, viewer, project.folder)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"value": 1.0}, r"labels\[1\].subject is None"),
        ({"subject": "", "value": 1.0}, r"labels\[1\].subject is ''"),
        ({"subject": 7, "value": 1.0}, r"labels\[1\].subject is 7"),
        ({"subject": "a"}, r"labels\[1\].value is None"),
        ({"subject": "a", "value": [1]}, r"labels\[1\].value is \[1\]"),
        ({"subject": "a", "value": float("nan")}, r"labels\[1\].value is nan"),
        ({"subject": "a", "value": float("inf")}, r"labels\[1\].value is inf"),
        ({"subject": "a", "value": 10**400}, r"labels\[1\].value is 10{20}"),
        ({"subject": "a", "value": "cheap"}, r"labels\[1\].value is 'cheap'.*'price' of 'waiting'"),
        ({"subject": "a", "value": True}, r"labels\[1\].value is True"),
        ({"subject": "a", "value": "cheap", "kind": "correction"}, r"labels\[1\].value is 'cheap'"),
    ],
)
def test_one_bad_label_is_named_and_none_is_stored(
    waiting: Waiting, item: dict[str, Any], message: str
) -> None:
    project, _ = waiting
    before = len(logged(project))
    with pytest.raises(InvalidInput, match=message):
        record_outcomes(project.app, project.me, project.name, [{"subject": "ok", "value": 1.0}, item])
    assert len(logged(project)) == before


def test_labels_are_kept_as_they_were_said(waiting: Waiting) -> None:
    project, _ = waiting
    moment = START + timedelta(days=3)
    items: list[dict[str, Any]] = [
        {"subject": "car-1", "value": 20_500, "observed_at": moment},
        {"subject": "car-1", "value": "very happy", "kind": "rating"},
    ]
    ids = record_outcomes(project.app, project.me, project.name, items)
    label, rating = (outcome for outcome in logged(project) if outcome.id in ids)
    assert (label.value, label.kind, label.observed_at, label.principal) == (
        20_500.0,
        "label",
        moment,
        AUTHOR,
    )
    assert (rating.value, rating.kind) == ("very happy", "rating")
    assert record_outcomes(project.app, project.me, project.name, items[:1]) == ids[:1], (
        "the same label again"
    )


@pytest.mark.requirement("PRV-01")
def test_a_label_by_business_key_is_hashed_as_its_answer_is(waiting: Waiting) -> None:
    project, _ = waiting
    declared = project.app.store.projects.get(project.name)
    project.app.store.projects.save(replace(declared, privacy=PrivacySpec(basis="consent")), "")
    project.app.store.epoch.advance()
    try:
        (made,) = record_outcomes(project.app, project.me, project.name, [{"subject": "jane", "value": 1.0}])
        rules = project.app.access.privacy.rules(project.name)
        (label,) = (outcome for outcome in logged(project) if outcome.id == made)
        assert label.subject == rules.hashed("jane")
        assert rules.prediction(make_prediction(keys=["jane"])).keys == [label.subject]
    finally:
        project.app.store.projects.save(declared, str(project.folder))
        project.app.store.epoch.advance()


def test_labels_need_a_project_and_the_right_to_write_them(waiting: Waiting) -> None:
    project, _ = waiting
    item: dict[str, Any] = {"subject": "a", "value": 1.0}
    with pytest.raises(NotFound):
        record_outcomes(project.app, project.me, "nothing", [item])
    auditor = project.app.identities.add("olga", ["auditor"], actor=AUTHOR)
    with pytest.raises(Denied, match="label.write"):
        record_outcomes(project.app, auditor, project.name, [item])


def test_watching_needs_a_project_and_the_right_to_run_it(waiting: Waiting) -> None:
    project, _ = waiting
    with pytest.raises(NotFound):
        watch_now(project.app, project.work, project.me, "nothing")
    viewer = project.app.identities.add("vera", ["viewer"], actor=AUTHOR)
    with pytest.raises(Denied, match="monitor.run"):
        watch_now(project.app, project.work, viewer, project.name)


def test_rolling_back_needs_the_right_to_and_something_live(waiting: Waiting) -> None:
    project, _ = waiting
    grace = project.app.identities.resolve(VALIDATOR)
    with pytest.raises(Denied, match="release.rollback"):
        roll_back(project.app, project.work, grace, project.name)
    with pytest.raises(NotFound, match="Nothing of 'waiting' is live"):
        roll_back(project.app, project.work, project.me, project.name)


@pytest.mark.requirement("DEP-04")
def test_one_action_stops_a_canary_or_restores_the_release_before(shared: Site) -> None:
    project = shared.project("rolled-back")
    first, canary = project.released(), project.released()
    assert canary.state == "rolling_out"
    assert roll_back(shared.app, shared.work, project.me, project.name).id == first.id
    assert project.delivered(canary.id).state == "aborted"
    assert shared.app.store.releases.get(canary.id).reason == f"stopped by {AUTHOR}"
    second = project.promoted(project.released())
    assert second.state == "live"
    assert roll_back(shared.app, shared.work, project.me, project.name).id == first.id
    states = {release.id: release.state for release in project.releases()}
    assert states == {first.id: "live", canary.id: "aborted", second.id: "rolled_back"}
    route = project.route()
    assert route is not None
    assert (route.live, route.canary) == (first.id, None)
    with pytest.raises(NotFound, match="is the first release"):
        roll_back(shared.app, shared.work, project.me, project.name)
    asked = [e for e in shared.app.store.audit.list(limit=1000) if e.action == "release.rollback"]
    assert {e.actor for e in asked if e.resource == "project:rolled-back"} == {AUTHOR}


def test_a_second_release_waits_while_a_round_of_watching_ends_the_first_ones_canary(shared: Site) -> None:
    project = shared.project("looked-at", ("interval_s: 0.1", "interval_s: 3600.0"))
    project.released()
    canary = project.released()
    built = project.build()["release_id"]
    second = settle(shared.app, shared.work, built, leaving=("proposed", "waiting"))
    assert second.state == "approved"
    active = shared.app.store.rollouts.find_active(project.name)
    assert active is not None
    assert active.release_id == canary.id
    with pytest.raises(NotFound):
        shared.app.store.rollouts.get(second.id)
    grace = shared.app.identities.resolve(VALIDATOR)
    with pytest.raises(Conflict, match="only a release that is 'waiting'"):
        decide(shared.app, shared.work, grace, second.id, "approved", "again")
    project.answered(cars(5), day=0, release=canary.id, labelled=False, now=True)
    watch_now(shared.app, shared.work, project.me, project.name)
    assert project.delivered(canary.id).state == "live", "without waiting for an hour"
