"""The simplest model goes live first, on the path of every other, and is beaten there."""

from __future__ import annotations

import pytest

from headrace.app.operations import start_build, watch_now
from headrace.core.errors import Conflict, InvalidInput
from headrace.monitoring.joining import labelled_rows
from tests.app.small import Site, cars


@pytest.mark.requirement("TRN-11")
def test_the_baseline_goes_live_first_and_logs_what_the_next_one_is_judged_by(shared: Site) -> None:
    project = shared.project("first")
    first = project.delivered(project.build(baseline=True)["release_id"])
    assert (first.state, first.manifest.params["variant"]) == ("live", "baseline")
    verdicts = project.verdicts(first)
    assert verdicts["baseline"].reason.startswith("this is the baseline")
    assert {one.outcome for one in verdicts.values()} == {"passed"}
    assert {"data", "tests", "model", "champion", "package", "training", "contract"} <= verdicts.keys()
    rows = cars(40, seed=5)
    project.answered(rows, day=1, release=first.id)
    watch_now(project.app, project.work, project.me, project.name)
    joined = labelled_rows(project.name, project.app.store.tables)
    assert sorted(joined.columns["mileage"]) == sorted(rows["mileage"]), (
        "inputs and labels are on record from the first day"
    )

    settings = project.build(settings_only=True)
    amended = project.delivered(settings["release_id"])
    assert project.verdicts(amended)["baseline"].outcome == "passed", "it is what is live"
    assert project.promoted(amended).state == "live"

    second = project.released()
    champion = project.verdicts(second)["champion"]
    assert (second.manifest.params["variant"], champion.outcome) == ("better", "passed")
    assert champion.evidence["live_release"] == amended.id
    assert project.promoted(second).state == "live"
    with pytest.raises(Conflict, match="variant 'better', and the baseline 'baseline' goes before"):
        project.build(baseline=True)


def test_the_baseline_alone_is_refused_unless_it_is_asked_for(shared: Site) -> None:
    project = shared.project("only", ("  - {name: better, trainer: listed}\n", ""))
    release = project.released()
    assert release.state == "refused"
    assert "headrace run --baseline" in release.reason


def test_a_baseline_that_gives_the_target_away_is_refused(shared: Site) -> None:
    rows = cars(200)
    rows["listed"] = [2 * price for price in rows["price"]]
    project = shared.project("leaky", ("trainer: baseline", "trainer: listed")).write(
        ("trainer: baseline", "trainer: listed"), rows=rows
    )
    release = project.delivered(project.build(baseline=True)["release_id"])
    assert release.state == "refused"
    assert project.verdicts(release)["training"].evidence["copies of the target"] == ["listed"]


def test_baseline_and_fallback_are_two_things(shared: Site) -> None:
    project = shared.project("both")
    with pytest.raises(InvalidInput, match="released one by one"):
        start_build(
            project.app, project.work, project.me, project.folder, cause="c", until=None,
            stands_in=True, baseline=True,
        )  # fmt: skip
