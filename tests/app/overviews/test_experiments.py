"""What was tried before a model came about, chosen or not, can be had from the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from headrace.app.composition import App, open_app
from headrace.app.overviews.experiments import history
from headrace.core.data import Run
from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.core.release import Release, ReleaseState
from headrace.testing import (
    START,
    make_manifest,
    make_model,
    make_project,
    make_release,
    make_run,
    make_settings,
)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path / "home")) as opened:
        opened.me()
        opened.store.projects.save(make_project(), "/cars")
        yield opened


def tried(app: App, build: int, variant: str = "linear", **changes: object) -> Run:
    at = START + timedelta(days=build)
    run = make_run(build_id=f"build-{build}", variant=variant, started_at=at, **changes)
    app.store.runs.save(run)
    return run


def released(app: App, run: Run, parent: Release | None, state: ReleaseState) -> Release:
    app.store.models.add(make_model(run_id=run.id))
    manifest = make_manifest(run_id=run.id, parent=None if parent is None else parent.id)
    return app.store.releases.add(make_release(manifest=manifest, state=state))


@pytest.mark.requirement("EXP-08")
def test_the_whole_history_of_the_model_in_production_is_retrievable(app: App) -> None:
    """A failure, what was live, one that was rejected, the live one; what came later is none of it."""
    tried(app, 0, state="failed")
    tried(app, 1, "baseline")
    first = released(app, tried(app, 1), None, "superseded")
    rejected = released(app, tried(app, 2, metrics={"mae": 900.0}), first, "rejected")
    live = released(app, tried(app, 3), first, "live")
    tried(app, 4)
    found = history(app, app.me(), "cars@3")
    assert [one.build_id for one in found] == ["build-3", "build-2", "build-1", "build-0"]
    assert [one.in_line for one in found] == [True, False, True, False]
    assert [one.release_id for one in found] == [live.id, rejected.id, first.id, None]
    assert [run.variant for run in found[2].runs] == ["baseline", "linear"]
    assert found[2].chosen == found[2].runs[1].id
    assert found[3].runs[0].error == "project.py:3 in linear: KeyError", "what failed is part of it"
    assert found[1].runs[0].metrics == {"mae": 900.0}
    for one in found:
        for run in one.runs:
            assert run.code.digest
            assert run.snapshot_id
            assert run.params


def test_an_earlier_model_does_not_know_what_came_later(app: App) -> None:
    first = released(app, tried(app, 1), None, "live")
    released(app, tried(app, 2), first, "waiting")
    assert [one.build_id for one in history(app, app.me(), "cars@1")] == ["build-1"]


def test_a_model_without_a_release_stands_in_its_own_line(app: App) -> None:
    app.store.models.add(make_model(run_id=tried(app, 1).id))
    (only,) = history(app, app.me(), "cars@1")
    assert (only.in_line, only.chosen, only.state) == (True, None, None)


def test_whose_parent_is_gone_is_still_shown(app: App) -> None:
    gone = make_release(id="gone")
    released(app, tried(app, 1), gone, "live")
    assert [one.in_line for one in history(app, app.me(), "cars@1")] == [True]


def test_bad_references(app: App) -> None:
    me = app.me()
    with pytest.raises(NotFound):
        history(app, me, "cars@1")
    with pytest.raises(NotFound, match="Versions are numbers"):
        history(app, me, "cars@x")
    with pytest.raises(InvalidInput):
        history(app, me, "cars")
    app.store.models.add(make_model(run_id=tried(app, 1).id))
    with pytest.raises(Denied):
        history(app, replace(me, name="eve", roles=()), "cars@1")
