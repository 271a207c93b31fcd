"""Runs of other tools become runs of a project, each once."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.app.operations import declare
from headrace.app.overviews import reading
from headrace.app.registry.importing import import_runs
from headrace.core.errors import Denied, InvalidInput, NotFound, Unavailable
from headrace.testing import MemoryTracker
from tests.app.small import AUTHOR, VALIDATOR, Site, Small
from tests.plugins.test_sacred import write_runs
from tests.plugins.test_tensorboard import write_run


@pytest.fixture
def project(shared: Site, request: pytest.FixtureRequest) -> Small:
    found = shared.project(f"imports-{abs(hash(request.node.name)) % 10**8}")
    declare(found.app, found.me, found.folder)
    return found


@pytest.mark.requirement("EXP-06")
def test_runs_of_both_tools_are_shown_with_the_project_s_own_and_imported_once(
    project: Small, tmp_path: Path
) -> None:
    write_runs(tmp_path / "sacred")
    write_run(tmp_path / "events" / "first")
    sacred = import_runs(project.app, project.me, project.name, tmp_path / "sacred")
    events = import_runs(project.app, project.me, project.name, tmp_path / "events")
    assert [one.new for one in [*sacred, *events]] == [True] * 4

    shown = {run.variant: run for run in reading.runs(project.app, project.me, project.name)}
    assert set(shown) == {"deliveries 1", "deliveries 2", "first", "first/tuned"}
    run = shown["deliveries 1"]
    assert (run.state, run.author, run.cause, run.seed) == ("finished", AUTHOR, "imported from sacred", 7)
    assert run.metrics == {"loss": 0.25, "result": 0.25}, "what is no number is no metric"
    assert shown["deliveries 2"].error == "ValueError: no such street"
    assert shown["first/tuned"].params == {"alpha": 0.5, "kind": "tree", "deep": True}

    # Every step is kept with the run, and MLflow is told of them.
    record = json.loads(project.app.store.artifacts.get(run.outputs["captured"].digest))
    assert [(step, value) for step, _, value in record["series"]["loss"]] == [
        (0, 0.75),
        (1, 0.375),
        (2, 0.25),
    ]
    assert record["series"]["gap"][0][2] is None
    tracker = project.app.tracker
    assert isinstance(tracker, MemoryTracker)
    assert run.tracking_id is not None
    assert [point.step for point in tracker.series[run.tracking_id]["loss"]] == [0, 1, 2]
    assert math.isnan(tracker.series[run.tracking_id]["gap"][0].value)

    again = import_runs(project.app, project.me, project.name, tmp_path / "sacred")
    assert [(one.run.id, one.new) for one in again] == [(one.run.id, False) for one in sacred]
    assert len(reading.runs(project.app, project.me, project.name)) == 4
    imports = [entry for entry in project.app.store.audit.list(limit=10_000) if entry.action == "run.import"]
    assert len([entry for entry in imports if entry.resource == f"project:{project.name}"]) == 4


def test_an_import_that_mlflow_interrupted_goes_on_when_repeated(
    project: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "first")
    log_run = MemoryTracker.log_run

    def down(*_: object) -> str:
        raise Unavailable("MLflow does not answer.")

    monkeypatch.setattr(MemoryTracker, "log_run", down)
    with pytest.raises(Unavailable):
        import_runs(project.app, project.me, project.name, tmp_path)
    monkeypatch.setattr(MemoryTracker, "log_run", log_run)
    one, other = import_runs(project.app, project.me, project.name, tmp_path)
    assert (one.new, one.run.tracking_id) == (False, f"tracked-{one.run.id}")
    assert other.new


def test_only_whoever_may_write_the_project_s_runs_imports(project: Small, tmp_path: Path) -> None:
    app = project.app
    write_run(tmp_path / "first")
    with pytest.raises(Denied):
        import_runs(app, app.identities.resolve(VALIDATOR), project.name, tmp_path)
    with pytest.raises(Denied):
        import_runs(app, replace(project.me, workspace="north"), project.name, tmp_path)
    assert reading.runs(app, project.me, project.name) == []


def test_a_folder_that_holds_nothing_is_said(project: Small, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no run that has ended"):
        import_runs(project.app, project.me, project.name, tmp_path)
    with pytest.raises(NotFound, match="There is no folder"):
        import_runs(project.app, project.me, project.name, tmp_path / "absent")
