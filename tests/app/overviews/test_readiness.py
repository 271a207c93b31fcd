"""How ready a project is, from what is on record; and where projects stand and stall."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from headrace.app.composition import App, open_app
from headrace.app.overviews.readiness import readiness
from headrace.app.overviews.stalls import lifecycle_map
from headrace.core.errors import Denied, NotFound
from headrace.projects.intake import STAGES
from headrace.testing import make_project, make_release, make_run, make_settings
from tests.projects.test_intake import FULL
from tests.web.seed import seed


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path / "home")) as opened:
        yield opened


def _status(app: App, name: str) -> dict[str, str]:
    return {one.name: one.status for one in readiness(app, app.me(), name).aspects}


@pytest.mark.requirement("ORG-07")
def test_evaluation_and_observability_are_judged_by_the_record_and_not_by_answers(app: App) -> None:
    seed(app)
    watched = readiness(app, app.me(), "flight-delay")
    assert watched.release == "model:flight-delay@2", "what is live is looked at, not the newest"
    found = {one.name: one for one in watched.aspects}
    assert found["held-out test"].evidence == "log_loss 0.4381"
    assert found["labels come back"].status == "there"
    assert found["seen by a second person"].evidence == "approved by grace"
    assert found["business KPI measured"].status == "missing"
    assert found["somebody is told"].status == "missing"
    assert all(one.next_step for one in watched.gaps)
    unwatched = readiness(app, app.me(), "cars")
    assert unwatched.scores["observability"].points == 0, "it answers, and nobody would see it go wrong"
    project = app.store.projects.get("cars")
    answered = replace(project, intake={key: FULL[key] for key in ("need", "organisation", "ai_act")})
    app.store.projects.save(answered, app.store.projects.path("cars"))
    after = readiness(app, app.me(), "cars")
    for area in ("evaluation", "observability"):
        assert after.scores[area] == unwatched.scores[area]
    assert after.total.points > unwatched.total.points


def test_before_the_first_release_nothing_is_evaluated(app: App) -> None:
    app.store.projects.save(make_project(), "/nowhere")
    found = readiness(app, app.me(), "cars")
    assert found.release is None
    assert found.scores["evaluation"].points == 0
    assert found.scores["observability"].points == 0
    with pytest.raises((NotFound, Denied)):
        readiness(app, app.me(), "gone")


@pytest.mark.requirement("ORG-20")
def test_a_stage_for_which_nobody_able_is_here_is_a_gap(app: App) -> None:
    app.identities.add("ada", ["developer", "admin"], actor="ada")
    app.store.projects.save(make_project(intake={"stages": FULL["stages"]}), "/nowhere")
    assert _status(app, "cars")["approve"] == "missing"
    assert _status(app, "cars")["build"] == "there"
    app.identities.add("grace", ["validator"], actor="ada")
    stages = {stage.name: stage.able for stage in readiness(app, app.me(), "cars").stages}
    assert stages["approve"] == ("grace",)
    assert _status(app, "cars")["approve"] == "there"
    app.identities.freeze("grace", "on leave", actor="ada")
    assert _status(app, "cars")["approve"] == "missing", "whoever may not act is not able"


def test_who_has_which_rights_is_named_only_to_who_may_see_them(app: App) -> None:
    app.identities.add("ada", ["developer", "admin"], actor="ada")
    app.identities.add("grace", ["validator"], actor="ada")
    reader = app.identities.add("rob", ["viewer"], actor="ada")
    app.store.projects.save(make_project(), "/nowhere")
    seen = {stage.name: stage for stage in readiness(app, app.me(), "cars").stages}
    told = {stage.name: stage for stage in readiness(app, reader, "cars").stages}
    assert seen["approve"].able == ("grace",)
    assert {stage.able for stage in told.values()} == {()}
    assert [one.n_able for one in told.values()] == [one.n_able for one in seen.values()]
    assert told["declare"].n_able is None


@pytest.mark.requirement("ORG-08")
def test_the_map_says_where_projects_stand_and_in_which_stage_they_stall(app: App) -> None:
    now = app.clock.now()
    states = {"a": None, "b": None, "c": "refused", "d": "waiting", "e": "aborted"}
    for name, state in states.items():
        project = make_project(name=name)
        app.store.projects.save(project, f"/nowhere/{name}")
        if name != "a":
            app.store.runs.save(make_run(project=name, started_at=now - timedelta(days=30), state="running"))
        if state is not None:
            made = make_release(project=name, created_at=now - timedelta(days=9 if name == "d" else 2))
            app.store.releases.add(replace(made, state=state))  # type: ignore[arg-type]
    found = lifecycle_map(app, app.me())
    places = {one.project: one for one in found.projects}
    assert {name: one.stage for name, one in places.items()} == {
        "a": "declare", "b": "build", "c": "prove", "d": "approve", "e": "roll out",
    }  # fmt: skip
    assert [stage.stage for stage in found.stages] == list(STAGES)
    assert {stage.stage: stage.n_stalled for stage in found.stages if stage.n_stalled} == {
        "build": 1,
        "approve": 1,
    }
    assert places["c"].why.endswith("refused by a gate")
    assert places["c"].waits_s == pytest.approx(2 * 86_400, rel=1e-3)
    assert [one.project for one in found.projects][:2] == ["b", "d"], "the longest waiting first"
