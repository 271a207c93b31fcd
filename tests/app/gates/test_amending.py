"""Settings are released: a charter that is only declared holds for nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.app.operations import decide, declare, roll_back
from headrace.app.overviews.reading import project_report, release_report
from headrace.app.overviews.unreleased import as_written, unreleased
from headrace.app.rollouts.comparing import difference
from headrace.core.canonical import digest_of
from headrace.core.errors import Conflict, Denied
from headrace.projects.sections import changed_lines
from headrace.projects.versioning import commit_all, git
from headrace.training.lock import code_digest
from tests.app.small import VALIDATOR, Site, Small, cars

MANUAL = ("approval: automatic", "approval: manual")
WIDER = ("monitors: {window_s: 604800}", "monitors: {window_s: 604800, shift: 0.3}")
OTHERS = (
    WIDER,
    ("steps: [50]", "steps: [20, 40]"),
    ("do: automatic, min_labels: 50", "do: warn"),
    ("model: {metric: mae}", "model: {metric: mae, max_loss: 5000}"),
)


def held(project: Small) -> float:
    """From which shift on the watch reports one."""
    return project.app.access.charters.in_force(project.name).monitors.shift


@pytest.mark.requirement("DEP-17")
def test_changed_settings_hold_once_their_release_was_judged_approved_and_is_live(shared: Site) -> None:
    project = shared.project("settings", MANUAL)
    first = project.released()
    grace = shared.app.identities.resolve(VALIDATOR)
    decide(shared.app, shared.work, grace, first.id, "approved", "")
    assert project.delivered(first.id).state == "live"

    project.write(MANUAL, *OTHERS)
    declare(shared.app, project.me, project.folder)
    assert held(project) == 0.08, "declared is not released"
    charters = shared.app.access.charters
    assert charters.in_force("settings").triggers[0].do == "automatic"
    told = unreleased(shared.app, [shared.app.store.projects.get("settings")])["settings"]
    assert "monitors.shift 0.08 -> 0.3" in [str(one) for one in told]
    assert project_report(shared.app, project.me, "settings").unreleased == told

    second = project.amended(MANUAL, *OTHERS)
    assert second.state == "waiting", "its risk tier wants a person"
    assert unreleased(shared.app, [shared.app.store.projects.get("settings")]) == {}, "they are on their way"
    assert held(project) == 0.08, "nor is what waits"
    assert second.manifest.subject == first.manifest.subject
    assert second.manifest.run_id == first.manifest.run_id, "nothing was trained"
    assert len(project.runs()) == 2
    assert second.manifest.code.digest == code_digest(project.folder), "the trigger 'code' sees no change"
    gates = {gate for gate, one in project.verdicts(second).items() if one.outcome == "passed"}
    assert {"data", "model", "champion", "artefact", "package", "flight_check", "compliance"} <= gates
    assert {"tests", "training", "ingredients"} <= gates
    assert second.digest == digest_of(second.manifest) != first.digest
    changed = {line.key: (line.before, line.after) for line in difference(
        shared.app, project.me, second.id).settings}  # fmt: skip
    assert changed["monitors.shift"] == (0.08, 0.3)
    assert changed["rollout.steps"] == ((50,), (20, 40))
    assert changed["triggers.drift.do"] == ("automatic", "warn")
    assert changed["gates.model.max_loss"] == (None, 5000)

    with pytest.raises(Denied):
        decide(shared.app, shared.work, project.me, second.id, "approved", "my own")
    decide(shared.app, shared.work, grace, second.id, "approved", "fewer false alarms")
    assert project.delivered(second.id).state == "live"
    assert held(project) == 0.3
    assert charters.in_force("settings").triggers[0].do == "warn"
    assert unreleased(shared.app, [shared.app.store.projects.get("settings")]) == {}

    assert roll_back(shared.app, shared.work, project.me, "settings").id == first.id
    assert held(project) == 0.08, "the old settings came back with the old release"
    assert [
        line.key for line in unreleased(shared.app, [shared.app.store.projects.get("settings")])["settings"]
    ]


@pytest.mark.requirement("DEP-17")
def test_the_watch_finds_by_the_settings_that_are_released(shared: Site) -> None:
    project = shared.project("watched-settings")
    live = project.released()
    for day in (0, 1, 8):
        newer = cars(40, seed=10 + day, newer_by=6)
        project.answered(newer, day=day, release=live.id, labelled=False)
    project.write(("monitors: {window_s: 604800}", "monitors: {window_s: 604800, shift: 9.0}"))
    declare(shared.app, project.me, project.folder)
    shared.work.durable.result(shared.work.watching.start("watched-settings"))
    found = shared.app.store.findings.list("watched-settings")
    assert [one for one in found if one.kind == "data_drift" and one.feature == "year"], "shift 0.08 holds"


@pytest.mark.requirement("DEP-17")
def test_a_limit_that_the_live_model_does_not_keep_is_refused(shared: Site) -> None:
    project = shared.project("too-strict")
    first = project.released()
    refused = project.amended(("model: {metric: mae}", "model: {metric: mae, max_loss: 1}"))
    assert refused.state == "refused"
    assert "model" in refused.reason
    route = project.route()
    assert route is not None
    assert route.live == first.id


@pytest.mark.requirement("DEP-17")
def test_nobody_makes_their_own_release_decide_itself(shared: Site) -> None:
    project = shared.project("loosens", MANUAL)
    first = project.released()
    grace = shared.app.identities.resolve(VALIDATOR)
    decide(shared.app, shared.work, grace, first.id, "approved", "")
    project.delivered(first.id)
    loosened = project.amended()
    assert loosened.manifest.approval == "automatic"
    assert release_report(shared.app, project.me, loosened.id).release.state == "waiting"


@pytest.mark.requirement("DEP-17")
def test_a_trigger_retrains_under_the_settings_that_are_released(shared: Site) -> None:
    project = shared.project("retrains")
    first = project.released()
    project.write(WIDER)
    declare(shared.app, project.me, project.folder)
    build_id = "build:retrains:by-trigger"
    request = {
        "build_id": build_id, "folder": str(project.folder), "project": "retrains",
        "author": "trigger:drift", "cause": "drift", "until": None, "approval": None,
        "with_production": False, "settings": "live",
    }  # fmt: skip
    shared.work.durable.start("build", build_id, request)
    made = shared.app.store.releases.get(shared.work.durable.result(build_id)["release_id"])
    assert made.id != first.id
    assert made.manifest.charter is not None
    assert made.manifest.charter.monitors.shift == 0.08


@pytest.mark.requirement("DEP-17")
def test_a_trigger_retrains_under_no_looser_rules_than_those_that_were_approved(shared: Site) -> None:
    strict = (
        "privacy: {basis: not_personal}",
        "privacy: {basis: not_personal, retention_days: 30}\nserving: {on_record_failure: refuse}",
    )
    project = shared.project("retrains-strictly", strict)
    project.released()
    project.write((strict[0], "privacy: {basis: not_personal}\nserving: {on_record_failure: serve}"))
    declare(shared.app, project.me, project.folder)
    build_id = "build:retrains-strictly:by-trigger"
    request = {
        "build_id": build_id, "folder": str(project.folder), "project": project.name,
        "author": "trigger:drift", "cause": "drift", "until": None, "approval": None,
        "with_production": False, "settings": "live",
    }  # fmt: skip
    shared.work.durable.start("build", build_id, request)
    terms = shared.app.store.releases.get(shared.work.durable.result(build_id)["release_id"]).manifest.terms
    assert terms is not None
    assert (terms.privacy.retention_days, terms.serving.on_record_failure) == (30, "refuse")


@pytest.mark.requirement("DEP-17")
def test_the_commit_of_changed_settings_is_not_taken_for_that_of_the_model(shared: Site) -> None:
    project = shared.project("of-a-commit")
    git(project.folder, "init", "--quiet")
    made_of = commit_all(project.folder, "as trained")
    assert project.released().manifest.commit == made_of
    assert project.amended(WIDER).manifest.commit == f"{made_of}+changes"


def test_there_is_nothing_to_change_before_something_is_live(shared: Site) -> None:
    with pytest.raises(Conflict, match="Run 'headrace run'"):
        shared.project("not-live").build(settings_only=True)


def test_the_folder_says_what_is_written(shared: Site) -> None:
    project = shared.project("written")
    project.released()
    declared = shared.app.store.projects.get("written")
    project.write(WIDER)
    assert [str(one) for one in changed_lines(declared, as_written(shared.app, declared))] == [
        "monitors.shift 0.08 -> 0.3"
    ]
    (project.folder / "headrace.yaml").write_text("name: [", encoding="utf-8")
    assert as_written(shared.app, declared) == declared
    assert as_written(shared.app, replace(declared, name="written")) == declared
