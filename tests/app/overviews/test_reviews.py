"""Periodic reviews: due, recorded by who may, with evidence; overdue ones are shown and told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from headrace.access.privacy.charters import terms_of
from headrace.app.alerting.alerts import raise_on_findings
from headrace.app.composition import App, open_app
from headrace.app.inbox import inbox
from headrace.app.overviews import reviews
from headrace.app.overviews.fleet import overview
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound, ProofNeeded
from headrace.core.identity import Principal, Role
from headrace.core.project import ReviewSpec
from headrace.monitoring.ingest import predictions_table
from headrace.store.records import encode_prediction
from headrace.testing import START, FakeClock
from headrace.testing.factories import (
    make_finding,
    make_manifest,
    make_measurement,
    make_prediction,
    make_project,
    make_release,
    make_rollout,
    make_route,
    make_settings,
)

DAY = timedelta(days=1)
EVERY = make_project(review=ReviewSpec(every_days=90))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def app(tmp_path: Path, clock: FakeClock) -> Iterator[App]:
    with open_app(make_settings(tmp_path / "home"), clock=clock) as found:
        for name, roles in (
            ("ada", ("developer", "validator")),
            ("grace", ("validator",)),
            ("vera", ("viewer",)),
        ):
            _join(found, name, *roles)
        yield found


def _join(app: App, name: str, *roles: Role) -> Principal:
    person = Principal(name=name, kind="person", roles=roles, created_at=START)
    app.store.principals.save(person)
    app.store.epoch.advance()
    return person


def _live(app: App, project: object = EVERY, version: int = 1) -> str:
    """A release of ada's that went live just now and was asked once; returns its id."""
    assert isinstance(project, type(EVERY))
    store, now, revision = app.store, app.clock.now(), version - 1
    store.projects.save(project, "/nowhere")
    manifest = make_manifest(
        project=project.name, author="ada", risk=project.risk, seed=version, terms=terms_of(project)
    )
    release = store.releases.add(make_release(manifest=manifest, state="live", created_at=now))
    rollout = make_rollout(release_id=release.id, project=project.name, step_started_at=now, state="promoted")
    store.rollouts.save(rollout, make_route(project=project.name, live=release.id, revision=revision))
    asked = make_prediction(project=project.name, release_id=release.id, at=now, event_time=now)
    store.events.append(predictions_table(project.name), [encode_prediction(asked)])
    return release.id


def _who(app: App, name: str) -> Principal:
    return app.identities.resolve(name)


def _round(app: App) -> list[str]:
    """One round of watching, as far as reviews go; returns the titles of what is new."""
    found = reviews.watch_review(app, "cars").findings
    new = [finding.title for finding in found if app.store.findings.add(finding)]
    raise_on_findings(app, "cars")
    return new


@pytest.mark.requirement("GOV-15")
def test_an_overdue_review_is_told_to_those_responsible_and_shown_until_it_is_done(
    app: App, clock: FakeClock
) -> None:
    release, grace = _live(app), _who(app, "grace")
    clock.advance(75 * 86_400)
    assert [one.soon for one in reviews.standings(app, grace)] == [False]
    assert [one.kind for one in inbox(app, grace)] == []
    clock.advance(5 * 86_400)
    (waiting,) = inbox(app, grace)
    assert (waiting.kind, waiting.id, waiting.may_decide) == ("review", "cars", True)
    assert waiting.why == "soon; every 90 days"
    assert _round(app) == []
    assert overview(app, grace).counts["fine"] == 1
    clock.advance(11 * 86_400)
    assert _round(app) == [f"its review was due on {START + 90 * DAY:%Y-%m-%d}"]
    (notice,) = app.store.notices.list(subject="cars")
    assert (notice.channel, notice.to) == ("email", EVERY.owner.contact)
    (line,) = overview(app, grace).projects
    assert (line.state, [reason.why for reason in line.reasons]) == ("act", ["review"])
    assert inbox(app, grace)[0].why.startswith("overdue")
    assert _round(app) == [], "it is told once"
    made = reviews.record(app, grace, release, outcome="fit", looked_at="drift is small, groups are alike")
    assert inbox(app, grace) == []
    assert overview(app, grace).counts["fine"] == 1
    (case,) = app.store.cases.list(subject="cars")
    assert case.state == "remediated"
    assert case.notes[-1]["evidence"] == f"review {made.id}"
    assert reviews.standings(app, grace)[0].due_at == clock.now() + 90 * DAY
    clock.advance(91 * 86_400)
    assert len(_round(app)) == 1, "the next time is told anew"


@pytest.mark.requirement("GOV-15")
def test_what_was_found_and_measured_since_the_last_review_is_attached_by_id(
    app: App, clock: FakeClock
) -> None:
    release, grace = _live(app), _who(app, "grace")
    window = (START, START + DAY)
    kinds = ("data_drift", "fairness", "bias", "traffic")
    found = [make_finding(release_id=release, kind=kind, at=START) for kind in kinds]
    for finding in (*found, make_finding(release_id="another")):
        app.store.findings.add(finding)
    shift = make_measurement(name="shift", release_id=release, window=window, feature="age")
    app.store.evidence.measure([shift, make_measurement(name="shift", release_id="another", window=window)])
    clock.advance(86_400)
    first = reviews.record(app, grace, release, outcome="fit", looked_at="the age has moved a little")
    assert set(first.findings) == {one.id for one in found[:3]}
    assert first.measurements == (shift.id,)
    assert first.digest == app.store.releases.get(release).digest
    entry = app.store.audit.search("release.review")[0]
    assert (entry.actor, entry.resource) == ("grace", f"release:{release}")
    assert set(entry.detail["findings"]) == set(first.findings)
    clock.advance(86_400)
    later = make_finding(release_id=release, kind="concept_drift", at=clock.now())
    app.store.findings.add(later)
    second = reviews.record(app, grace, release, outcome="unfit", looked_at="the relation has changed")
    assert second.findings == (later.id,)
    assert reviews.history(app, grace, "cars") == [second, first]


@pytest.mark.requirement("GOV-15")
def test_a_shift_that_still_stands_is_looked_at_again(app: App, clock: FakeClock) -> None:
    """It was found once; that it goes on is measured in each window."""
    release, grace = _live(app), _who(app, "grace")
    found = {
        name: make_finding(release_id=release, kind="data_drift", feature=name, at=START)
        for name in ("age", "mileage")
    }
    for finding in found.values():
        app.store.findings.add(finding)

    def measure(week: int, shifted: tuple[str, ...]) -> None:
        window = (START + 7 * week * DAY, START + 7 * (week + 1) * DAY)
        measured = [
            make_measurement(
                name="shift", release_id=release, window=window, feature=name,
                detail={"kind": "data_drift", "course": "abrupt" if name in shifted else ""},
            )
            for name in found
        ]  # fmt: skip
        app.store.evidence.measure(measured)

    measure(0, ("age", "mileage"))
    clock.advance(7 * 86_400)
    (due,) = reviews.standings(app, grace)
    assert ({one.feature for one in due.findings}, due.still) == ({"age", "mileage"}, ())
    reviews.record(app, grace, release, outcome="fit", looked_at="both have moved a little")
    measure(1, ("mileage",))
    clock.advance(7 * 86_400)
    (due,) = reviews.standings(app, grace)
    assert [one.feature for one in due.findings] == ["mileage"]
    assert due.still == (found["mileage"].id,)
    again = reviews.record(app, grace, release, outcome="fit", looked_at="the mileage again")
    assert again.findings == due.still
    measure(2, ())
    assert reviews.standings(app, grace)[0].findings == ()


@pytest.mark.requirement("GOV-15")
def test_a_maker_sheds_no_review_by_declaring_the_project_anew(app: App, clock: FakeClock) -> None:
    risky = make_project(risk="high")
    release, grace = _live(app, risky), _who(app, "grace")
    often = make_project(name="boats", review=ReviewSpec(every_days=30))
    _live(app, often)
    for declared in (make_project(risk="low"), make_project(name="boats")):
        app.store.projects.save(declared, "/nowhere")
    clock.advance(91 * 86_400)
    assert [(one.project, one.every_days, one.overdue) for one in reviews.standings(app, grace)] == [
        ("boats", 30, True),
        ("cars", 90, True),
    ]
    assert _round(app) == [f"its review was due on {START + 90 * DAY:%Y-%m-%d}"]
    assert overview(app, grace).counts["act"] == 2
    later = make_manifest(project="boats", author="ada", seed=9, terms=terms_of(make_project(name="boats")))
    (waiting,) = app.access.charters.loosened_by(make_release(manifest=later))
    assert str(waiting) == "review.every_days: declared none, 30 holds"
    _live(app, make_project(name="boats"), version=2)
    assert [one.project for one in reviews.standings(app, grace)] == ["cars"], "approved, and live"
    assert release


def test_whether_a_release_is_there_is_told_to_nobody_who_may_not_see_it(app: App) -> None:
    release, vera = _live(app), _who(app, "vera")
    stranger = Principal(
        name="otto", kind="person", roles=("validator",), created_at=START, workspace="elsewhere"
    )
    app.store.principals.save(stranger)
    app.store.epoch.advance()
    for who in (vera, _who(app, "otto")):
        said = []
        for asked in (release, "0" * len(release)):
            with pytest.raises(Denied) as refused:
                reviews.record(app, who, asked, outcome="fit", looked_at="looked")
            said.append(str(refused.value).replace(asked, "ID"))
        assert said[0] == said[1]


@pytest.mark.requirement("GOV-15")
def test_what_was_found_unfit_needs_somebody_until_it_is_replaced(app: App, clock: FakeClock) -> None:
    release, grace = _live(app), _who(app, "grace")
    clock.advance(86_400)
    reviews.record(app, grace, release, outcome="unfit", looked_at="it treats the old worse")
    (line,) = overview(app, grace).projects
    assert (line.state, line.reasons[0].why) == ("act", "review")
    assert line.reasons[0].text.startswith("grace found it unfit on ")
    assert len(_round(app)) == 1
    _live(app, version=2)
    assert overview(app, grace).counts["fine"] == 1
    assert _round(app) == []


@pytest.mark.requirement("GOV-15")
def test_nobody_reviews_their_own_work_or_what_they_may_not(app: App) -> None:
    release = _live(app)
    with pytest.raises(Denied):
        reviews.record(app, _who(app, "ada"), release, outcome="fit", looked_at="mine")
    with pytest.raises(Denied):
        reviews.record(app, _who(app, "vera"), release, outcome="fit", looked_at="looked")
    (standing,) = reviews.standings(app, _who(app, "vera"))
    said = [reviews.why_not_review(app, _who(app, name), standing) for name in ("ada", "vera", "grace")]
    assert said == ["yours: somebody else reviews it", "your roles may not review it", ""]
    assert app.store.reviews.list() == []


@pytest.mark.requirement("GOV-15")
@pytest.mark.parametrize(
    ("by", "allowed"), [("grace", True), ("validator", True), ("hal", False), ("auditor", False)]
)
def test_a_project_names_the_person_or_the_role_that_reviews_it(app: App, by: str, allowed: bool) -> None:
    release, grace = _live(app, replace(EVERY, review=ReviewSpec(every_days=90, by=by))), _who(app, "grace")
    (standing,) = reviews.standings(app, grace)
    assert reviews.why_not_review(app, grace, standing) == ("" if allowed else f"{by} reviews it")
    if allowed:
        assert reviews.record(app, grace, release, outcome="fit", looked_at="all of it").by == "grace"
    else:
        with pytest.raises(Denied, match=f"names '{by}'"):
            reviews.record(app, grace, release, outcome="fit", looked_at="all of it")


@pytest.mark.requirement("GOV-15")
def test_a_high_risk_is_reviewed_by_default_and_takes_a_second_factor(app: App) -> None:
    release, grace = _live(app, make_project(risk="high")), _who(app, "grace")
    (standing,) = reviews.standings(app, grace)
    assert (standing.every_days, reviews.why_not_review(app, grace, standing)) == (90, "")
    with pytest.raises(ProofNeeded):
        reviews.record(app, grace, release, outcome="fit", looked_at="all of it")


def test_only_what_answers_is_reviewed_and_it_takes_words(app: App) -> None:
    old, grace = _live(app), _who(app, "grace")
    new = _live(app, version=2)
    with pytest.raises(Conflict, match="does not answer"):
        reviews.record(app, grace, old, outcome="fit", looked_at="all of it")
    with pytest.raises(InvalidInput, match="looked at"):
        reviews.record(app, grace, new, outcome="fit", looked_at="  ")
    with pytest.raises(InvalidInput, match="'fit' or 'unfit'"):
        reviews.record(app, grace, new, outcome="fine", looked_at="x")  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        reviews.record(app, grace, "none", outcome="fit", looked_at="x")


def test_a_project_that_is_not_reviewed_is_not_due(app: App) -> None:
    release, grace = _live(app, make_project()), _who(app, "grace")
    assert reviews.standings(app, grace) == []
    assert reviews.watch_review(app, "cars").findings == []
    assert reviews.record(app, grace, release, outcome="fit", looked_at="of my own accord").state == "fit"
