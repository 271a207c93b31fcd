"""What is recommended: other releases answer recorded rows again, and are better, or not told apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from headrace.app.operations import decide, watch_now
from headrace.app.rollouts.recommending import kept_recommendation, recommendation
from headrace.cli.main import app as command_line
from headrace.core.alerts import Case
from headrace.core.errors import Denied, NotFound
from headrace.core.release import Release
from headrace.testing.factories import make_alert, make_finding
from tests.app.small import AUTHOR, VALIDATOR, Site, Small, cars

GUESS = ("trainer: listed", "trainer: guess")


def swapped(n_rows: int) -> dict[str, list[Any]]:
    """Cars of which the guess is the better of the two, as production's are not."""
    rows = cars(n_rows, seed=9)
    return rows | {"listed": rows["guess"], "guess": rows["listed"]}


def promoted(project: Small) -> Release:
    """Another version, live, that the gates have let through by rows unlike production's."""
    project.write(GUESS, rows=swapped(300)).build(cause="another")
    newest = project.releases()[0]
    return project.promoted(project.delivered(newest.id))


@pytest.mark.requirement("RET-09")
def test_the_release_before_is_recommended_once_rows_have_shown_that_it_was_better(shared: Site) -> None:
    project = shared.project("regretted")
    first = project.released()
    second = promoted(project)
    assert second.state == "live"
    project.answered(cars(40, seed=5), day=1, release=second.id)
    found = recommendation(project.app, project.me, project.name)
    assert (found.do, found.release_id) == ("keep", None), "40 rows are too few"
    assert found.rivals[0].why == "40 rows that both can be held against; 50 are needed"
    project.answered(cars(200, seed=6), day=2, release=second.id)
    found = recommendation(project.app, project.me, project.name)
    assert (found.do, found.release_id) == ("roll_back", first.id)
    (rival,) = found.rivals
    assert (rival.role, rival.n_rows) == ("before", 240)
    assert rival.high is not None
    assert rival.high < -300, "about 1,600 against 400"
    assert found.why.startswith("Go back to regretted@1: its mae is smaller than that of regretted@2 by ")
    shown = CliRunner(env={"HEADRACE_HOME": str(project.app.settings.home), "HEADRACE_USER": AUTHOR}).invoke(
        command_line, ["release", "recommend", project.name]
    )
    assert shown.exit_code == 0, shown.output
    assert found.why in shown.output


@pytest.mark.requirement("RET-09")
def test_a_better_release_that_waits_is_recommended_and_a_round_of_watching_keeps_it(shared: Site) -> None:
    project = shared.project("waiting-room", GUESS, ("approval: automatic", "approval: manual"))
    made = project.released()
    grace = project.app.identities.resolve(VALIDATOR)
    live = decide(project.app, project.work, grace, made.id, "approved", "read it")
    assert live.state == "live"
    project.answered(cars(200, seed=7), day=1, release=live.id)
    built = project.write(("approval: automatic", "approval: manual")).build(cause="listed")
    better = project.delivered(built["release_id"])
    assert better.state == "waiting"
    watch_now(project.app, project.work, project.me, project.name)
    kept = kept_recommendation(project.app, project.me, project.name)
    assert kept is not None
    assert (kept.detail["do"], kept.detail["release_id"]) == ("keep", None), (
        "it may have learnt from these rows"
    )
    assert kept.detail["rivals"][0]["n_rows"] == 0
    project.answered(cars(200, seed=8), day=400, release=live.id)
    watch_now(project.app, project.work, project.me, project.name)
    kept = kept_recommendation(project.app, project.me, project.name)
    assert kept is not None
    assert (kept.detail["do"], kept.detail["release_id"]) == ("roll_out", better.id)
    decide(project.app, project.work, grace, better.id, "rejected", "not now")
    watch_now(project.app, project.work, project.me, project.name)
    kept = kept_recommendation(project.app, project.me, project.name)
    assert kept is not None
    assert (kept.detail["do"], kept.detail["rivals"]) == ("keep", []), "it waits no longer"
    before = len(project.app.store.evidence.measurements(project.name, name="recommendation"))
    watch_now(project.app, project.work, project.me, project.name)
    assert len(project.app.store.evidence.measurements(project.name, name="recommendation")) == before


@pytest.mark.requirement("RET-09")
def test_nothing_live_and_nobody_foreign_gets_a_recommendation(shared: Site) -> None:
    project = shared.project("unborn")
    with pytest.raises(NotFound):
        recommendation(project.app, project.me, project.name)
    foreign = project.app.identities.add("victor", ["viewer"], actor=AUTHOR)
    project.build()
    with pytest.raises(Denied):
        recommendation(project.app, replace(foreign, roles=()), project.name)


@pytest.mark.requirement("RET-09")
def test_what_is_found_and_not_settled_asks_for_another_one(shared: Site) -> None:
    project = shared.project("worse")
    live = project.released()
    store = project.app.store
    finding = make_finding(project=project.name, kind="performance", release_id=live.id, title="mae is worse")
    store.findings.add(finding)
    found = recommendation(project.app, project.me, project.name)
    assert (found.do, found.worse) == ("retrain", ("mae is worse",))
    alert = make_alert(project=project.name, finding_id=finding.id, action="warn", state="closed")
    store.findings.save_alert(alert)
    assert recommendation(project.app, project.me, project.name).do == "keep"
    store.cases.add(
        Case(id=alert.id, workspace="main", subject=project.name, kind="performance", at=alert.at, round="r")
    )
    assert recommendation(project.app, project.me, project.name).do == "retrain", "somebody has to see to it"
