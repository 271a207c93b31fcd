"""A full round in process: answers and labels in, finding, alert, a retraining with its cause, live again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import pytest

from headrace.app.durable import Durable
from headrace.app.operations import watch_now
from headrace.app.overviews.lead_times import lead_times
from headrace.app.watching import Watching
from headrace.core.errors import Conflict, InvalidInput
from headrace.core.ids import derived_id
from headrace.core.ports import TableStore
from headrace.core.record import Alert
from headrace.core.release import Measurement
from headrace.releases import looks
from headrace.testing import START, make_alert, make_finding
from tests.app.small import Site, Small, cars
from tests.monitoring.counting import CountingTables

DRIFTS = range(8)
"""Days of traffic: one whole week, and the day that closes it."""


def watched(project: Small) -> dict[str, Any]:
    """One round, run to its end."""
    return watch_now(project.app, project.work, project.me, project.name)


def alerts(project: Small) -> list[Alert]:
    return project.app.store.findings.alerts(project.name)


@pytest.fixture(scope="module")
def drifted(shared: Site) -> tuple[Small, dict[str, Any], str]:
    """A project whose cars have become newer, its first round after that, and the release before."""
    project = shared.project("drifted", ("trainer: listed", "trainer: linear"))
    before = project.released()
    assert before.state == "live"
    for day in DRIFTS:
        project.answered(cars(40, seed=10 + day, newer_by=6), day=day, release=before.id)
    return project, watched(project), before.id


Drifted = tuple[Small, dict[str, Any], str]


def test_rounds_that_are_asked_for_at_once_come_one_after_the_other(shared: Site) -> None:
    project = shared.project("impatient")
    release = project.released()
    for day in DRIFTS:
        project.answered(cars(40, seed=10 + day, newer_by=6), day=day, release=release.id)
    with ThreadPoolExecutor(3) as threads:
        rounds = list(threads.map(lambda _: watched(project), range(3)))
    first, *others = sorted(rounds, key=lambda one: -one["ingested"])
    assert first["findings"]
    assert [one["findings"] for one in others] == [[], []], "each finding once"
    assert sum(one["build"] is not None for one in rounds) == 1


@pytest.mark.requirement("RET-01")
def test_a_shift_starts_a_retraining_whose_cause_is_the_finding(drifted: Drifted) -> None:
    project, round_, before = drifted
    found = {f.feature: f for f in project.app.store.findings.list(project.name)}
    assert "year" in found
    assert "diesel" not in found, "true and false are what they were"
    assert (found["year"].kind, found["year"].release_id) == ("data_drift", before)
    assert set(round_["findings"]) == {f.id for f in found.values()}
    assert round_["ingested"] == 640, "each answer and each label once"
    built = project.work.durable.result(round_["build"])
    release = project.app.store.releases.get(built["release_id"])
    (alert,) = [a for a in alerts(project) if derived_id("build", a.id) == round_["build"]]
    finding = next(f for f in found.values() if f.id == alert.finding_id)
    assert release.manifest.cause == f"{finding.kind}: {finding.title} (finding {finding.id})"
    assert (release.author, release.manifest.parent) == (f"trigger:{finding.kind}", before)
    assert (alert.state, alert.action) == ("closed", "automatic")
    runs = project.app.store.runs.list(project.name, build_id=round_["build"])
    assert {run.cause for run in runs} == {release.manifest.cause}


@pytest.mark.requirement("RET-04")
def test_outcomes_of_production_flow_into_the_next_training_set(drifted: Drifted) -> None:
    project, round_, before = drifted
    built = project.work.durable.result(round_["build"])
    first, second = (
        project.app.store.snapshots.get(project.app.store.releases.get(r).manifest.snapshots[0]["id"])
        for r in (before, built["release_id"])
    )
    assert (first.n_rows, second.n_rows) == (200, 200 + 320)
    assert second.columns == first.columns, "in the kinds of the project's own table"
    assert "320 labelled answers" in second.source
    assert first.id in second.source
    table = project.app.store.tables.query("select * from t", {"t": (second.table, second.table_version)})
    added = {
        key: (year, price)
        for key, year, price in zip(table["car"], table["year"], table["price"], strict=True)
    }
    sold = cars(40, seed=10, newer_by=6)
    for key, year, price in zip(sold["car"], sold["year"], sold["price"], strict=True):
        assert added[key] == (year, price)


def test_the_retrained_release_is_better_and_takes_over(drifted: Drifted) -> None:
    project, round_, before = drifted
    release = project.delivered(project.work.durable.result(round_["build"])["release_id"])
    judged = project.verdicts(release)["champion"]
    assert judged.outcome == "passed"
    assert judged.evidence["difference"] < 0
    if release.state == "rolling_out":
        release = project.promoted(release)
    assert release.state == "live"
    route = project.route()
    assert route is not None
    assert route.live == release.id
    assert project.app.store.releases.get(before).state == "superseded"


@pytest.mark.requirement("DEP-16")
def test_a_replacement_goes_live_without_anybody_and_its_time_since_the_alert_is_measured(
    drifted: Drifted,
) -> None:
    project, round_, before = drifted
    release = project.delivered(project.work.durable.result(round_["build"])["release_id"])
    if release.state == "rolling_out":
        release = project.promoted(release)
    assert release.state == "live"
    (found,) = lead_times(project.app, project.me, project.name)
    (made,) = found.replacements
    first = min(a.at for a in alerts(project) if a.build_id == round_["build"])
    assert (made.release_id, made.alerted_at) == (release.id, first)
    assert made.live_at == project.app.store.rollouts.get(release.id).step_started_at
    assert made.took_s == (made.live_at - first).total_seconds() > 0
    times = {time.release_id: time for time in found.releases}
    assert times[release.id].took_s == pytest.approx(made.took_s)
    assert times[release.id].manual == ()
    assert [step.by for step in times[before].steps if step.manual] == [(project.me.name,)]
    assert found.stalled is None


def test_another_round_finds_nothing_new_and_starts_nothing(drifted: Drifted) -> None:
    project, round_, _ = drifted
    project.work.durable.result(round_["build"])
    watched(project)  # the release that was built may be what is recommended
    measured = by_rounds(project)
    again = watched(project)
    assert (again["findings"], again["build"]) == ([], None)
    assert by_rounds(project) == measured


def by_rounds(project: Small) -> list[Measurement]:
    """What rounds have measured: a canary goes on being looked at meanwhile."""
    found = project.app.store.evidence.measurements(project.name)
    return [measured for measured in found if measured.name != looks.NAME]


def test_every_alert_is_in_the_audit_log_once(drifted: Drifted) -> None:
    project, _, _ = drifted
    raised = [
        e.detail["finding"]
        for e in project.app.store.audit.list()
        if e.action == "alert.raise" and e.resource == f"project:{project.name}"
    ]
    assert sorted(raised) == sorted(a.finding_id for a in alerts(project))
    assert len(set(raised)) == len(raised)


@pytest.mark.requirement("ALR-01")
def test_what_a_round_has_found_is_told_to_the_owner_in_one_message(drifted: Drifted) -> None:
    project, round_, _ = drifted
    (notice, *later) = project.app.store.notices.list(subject=project.name)
    assert (notice.channel, notice.to) == ("email", "ada@example.org")
    about = {alert.id: alert.finding_id for alert in alerts(project)}
    assert {about[alert] for alert in notice.alerts} == set(round_["findings"])
    assert not {alert for one in later for alert in one.alerts} & set(notice.alerts), "nobody is told twice"


def test_a_retraining_for_review_waits_for_a_person(shared: Site) -> None:
    project = shared.project("reviewed", ("do: automatic", "do: review"))
    before = project.released()
    for day in DRIFTS:
        project.answered(cars(40, seed=10 + day, newer_by=6), day=day, release=before.id)
    built = shared.work.durable.result(watched(project)["build"])
    release = project.delivered(built["release_id"])
    assert (release.state, release.manifest.approval) == ("waiting", "manual")
    later = watched(project)
    assert later["build"] is None, "one is in flight"


def test_an_alert_is_closed_with_what_its_retraining_was_refused_for(shared: Site) -> None:
    project = shared.project("unlicensed")
    before = project.released()
    for day in DRIFTS:
        project.answered(cars(40, seed=10 + day, newer_by=6), day=day, release=before.id)
    code = project.folder / "project.py"
    code.write_text(code.read_text().replace("    return ", "    raise ValueError('no licence')  # "))
    built = shared.work.durable.result(watched(project)["build"])
    assert built["release_id"] is None
    why = [
        str(entry.detail["why"])
        for entry in project.app.store.audit.list()
        if entry.action == "alert.close" and entry.resource == f"project:{project.name}"
    ]
    assert any(one.startswith("its build made no release: ") and "no licence" in one for one in why), why


def test_a_quiet_round_does_nothing_and_a_build_that_broke_down_blocks_no_other(shared: Site) -> None:
    project = shared.project("quiet")
    release = project.released()
    assert watched(project) == {"ingested": 0, "findings": [], "build": None}
    acting(project, "build:quiet:under-way")
    acting(project, break_down(shared))
    project.answered(cars(5), day=0, release=release.id)
    assert watched(project) == {"ingested": 10, "findings": [], "build": None}
    states = {alert.build_id: alert.state for alert in alerts(project)}
    assert states == {"build:quiet:under-way": "acting", "build:quiet:broken": "closed"}


class Direct:
    """Runs each step at once."""

    def step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def unfinished(self, kind: str) -> list[str]:
        return []


class Noting(Direct):
    """And has begun nothing yet."""

    def status(self, workflow_id: str) -> str:
        return "absent"

    def child(self, name: str, workflow_id: str, request: Any) -> None:
        """Begins nothing either."""


def test_what_a_person_changes_in_the_same_moment_ends_no_round(shared: Site) -> None:
    project = shared.project("met")
    release = project.released()
    for day in DRIFTS:
        project.answered(cars(40, seed=10 + day, newer_by=6), day=day, release=release.id)
    app, changed = project.app, list[bool]()

    class Met(Watching):
        """As a person is quicker than the first look."""

        def _close_stale(self, name: str) -> None:
            super()._close_stale(name)
            if not changed:
                changed.append(True)
                raise Conflict("The case has changed meanwhile.")

    round_ = Met(app, cast(Durable, Noting())).run(project.name)
    assert changed
    assert round_["build"] is not None


def test_a_round_reads_no_labels_that_the_one_before_has_looked_at(shared: Site) -> None:
    project, days, n_rows = shared.project("steady"), 3, 50
    release = project.released()
    for day in range(days):
        project.answered(cars(n_rows, seed=10 + day), day=day, release=release.id)
    counting = CountingTables(shared.app.store.tables)
    store = replace(shared.app.store, tables=cast(TableStore, counting))
    watching = Watching(replace(shared.app, store=store), cast(Durable, Direct()))
    counts = []
    for _ in range(2):
        counting.n_rows = 0
        assert watching.run(project.name)["build"] is None
        counts.append(counting.n_rows)
    n_readers = 3  # performance, estimates, segments
    assert counts[0] - counts[1] >= n_readers * days * n_rows > 2 * counts[1]


def acting(project: Small, build_id: str) -> None:
    """An alert whose build is said to be under way."""
    finding = make_finding(project=project.name, release_id=project.releases()[0].id)
    project.app.store.findings.add(finding)
    alert = make_alert(project=project.name, finding_id=finding.id, action="automatic", at=START)
    project.app.store.findings.save_alert(replace(alert, state="acting", build_id=build_id))


def break_down(shared: Site) -> str:
    """A build that ended in an error of ours: what it was asked for cannot be read."""
    build_id = "build:quiet:broken"
    shared.work.durable.start("build", build_id, {"build_id": build_id})
    with pytest.raises(InvalidInput, match="no BuildRequest"):
        shared.work.durable.result(build_id)
    return build_id
