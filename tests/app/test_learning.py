"""A variant of river goes on learning from labelled answers: each once, and released like any other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.app.learning import checkpoint, due, learning
from headrace.app.operations import watch_now
from headrace.core.release import Measurement, Release
from headrace.projects.charter import load_project
from headrace.training.archives import unpack_arrays
from tests.app.small import CODE, Site, Small, cars, site

ONLINE = """

@headrace.trainer
def online(data: headrace.TrainingData):
    from river import linear_model, optim, preprocessing

    from headrace.training.online import OnlineModel

    model = linear_model.LinearRegression(optim.SGD(0.01))
    return OnlineModel(preprocessing.StandardScaler() | model, data).fit(data.X, data.y)
"""
VARIANT = ("{name: better, trainer: listed}", "{name: learner, trainer: online}")
DECLARED = ("governance:", "online: {variant: learner, every_labels: 60}\ngovernance:")
OFF = ("do: automatic, min_labels: 50", "do: warn")
UNMOVED = ("model: {metric: mae}", "model: {metric: mae, max_moved: 0.05}")


def dearer(n_rows: int, seed: int) -> dict[str, list[Any]]:
    """Cars that sell for a fifth more than they are listed for, as nobody has learnt from the table."""
    rows = cars(n_rows, seed=seed)
    return rows | {"price": [round(price * 1.2, 2) for price in rows["price"]]}


def watched(project: Small) -> None:
    """A round of watching, and the build that it asks for."""
    build = watch_now(project.app, project.work, project.me, project.name)["build"]
    if build is not None:
        project.work.durable.result(build)


def learnt(project: Small) -> list[Measurement]:
    return learning(project.app, project.me, project.name)


def subjects(project: Small) -> list[int]:
    """Hashes of all rows that the newest state has learnt."""
    at = checkpoint(project.app, project.app.store.projects.get(project.name))
    assert at is not None
    found = unpack_arrays(project.app.store.artifacts.get(at.ledger.digest), "ledger")["subjects"]
    assert len(found) == at.n_learnt
    return list(found.tolist())


def made(shared: Site, name: str, *changes: tuple[str, str]) -> tuple[Small, Release]:
    project = shared.project(name, VARIANT, DECLARED, OFF, *changes, code=CODE + ONLINE, rows=cars(400))
    live = project.released()
    assert (live.state, live.manifest.params["variant"]) == ("live", "learner"), live.reason
    return project, live


@pytest.mark.requirement("RET-06")
def test_labelled_answers_are_learnt_once_and_released_like_any_other_model(shared: Site) -> None:
    project, live = made(shared, "learner")
    project.answered(dearer(59, 1), day=1, release=live.id)
    watched(project)
    assert learnt(project) == [], "59 of 60"
    project.answered(dearer(2, 2), day=2, release=live.id)
    watched(project)
    (first,) = learnt(project)
    assert first.n_rows == 60
    assert len(project.releases()) == 1, "nothing new has been learnt that could be tested yet"
    project.answered(dearer(60, 3), day=3, release=live.id)
    watched(project)
    first, second = learnt(project)
    assert first.value is not None
    assert second.interval is not None
    assert second.interval[1] < first.value, "what has learnt dearer cars answers better than before"
    assert second.detail["after"] == first.id
    assert len(set(subjects(project))) == len(subjects(project)) == 120
    candidate = project.delivered(project.releases()[0].id)
    assert candidate.state == "rolling_out", candidate.reason
    assert candidate.manifest.params == {"variant": "learner", "checkpoint": first.id, "learnt": 60}
    assert candidate.manifest.cause == "online: 60 labelled answers after 60 learnt"
    route = project.route()
    assert route is not None
    assert route.live == live.id, "what answers changes by a rollout alone"
    verdicts = project.verdicts(candidate)
    assert verdicts["batch_drift"].outcome == verdicts["movement"].outcome == "passed"
    assert verdicts["champion"].evidence["n_rows"] == 60, "on rows that neither has learnt"
    assert verdicts["package"].outcome == "passed"
    assert project.promoted(candidate).state == "live"
    newest = project.app.scorers.of_release(candidate.id)
    rows = dearer(100, 4)
    columns = {name: np.array(rows[name]) for name in ("year", "mileage", "diesel", "listed", "guess")}
    wrong = {
        release: np.abs(
            project.app.scorers.of_release(release).score(columns)["predict"] - rows["price"]
        ).mean()
        for release in (live.id, candidate.id)
    }
    assert wrong[candidate.id] < wrong[live.id]
    assert newest.info.engine == "native"
    before = project.app.scorers.of_release(live.id).score(columns)["predict"]
    assert (before == project.app.scorers.of_release(live.id).score(columns)["predict"]).all()


@pytest.mark.requirement("RET-06")
def test_rows_that_are_not_what_the_model_was_trained_with_are_not_learnt(shared: Site) -> None:
    project, live = made(shared, "miles")
    rows = cars(60, seed=5)
    project.answered(rows | {"mileage": [m / 1000 for m in rows["mileage"]]}, day=1, release=live.id)
    watched(project)
    assert learnt(project) == []
    (finding,) = [one for one in project.app.store.findings.list(project.name) if one.kind == "learning"]
    assert finding.title == (
        "learning online has stopped: nothing is learnt, for inputs are not what the model was trained with: "
        "mileage"
    )
    project.answered(cars(60, seed=6), day=2, release=live.id)
    watched(project)
    assert learnt(project) == [], "nothing is skipped: it waits for a person"


@pytest.mark.requirement("RET-06")
def test_a_candidate_that_moves_beyond_the_limit_is_refused_and_the_live_model_stays(shared: Site) -> None:
    project, live = made(shared, "moved", UNMOVED)
    project.answered(dearer(120, 7), day=1, release=live.id)
    watched(project)
    watched(project)
    assert len(learnt(project)) == 2
    candidate = project.delivered(project.releases()[0].id)
    assert candidate.state == "refused"
    assert project.verdicts(candidate)["movement"].evidence["direction"] is not None
    assert project.route().live == live.id  # type: ignore[union-attr]


@pytest.mark.requirement("RET-06")
def test_a_process_that_is_killed_learns_nothing_twice_and_skips_nothing(tmp_path: Path) -> None:
    with site(tmp_path) as opened:
        project, live = made(opened, "killed")
        project.answered(dearer(130, 8), day=1, release=live.id)
    for when in ("learnt", "kept"):
        ended = subprocess.run(
            [sys.executable, "-m", "tests.app.killed_learning", str(tmp_path), project.name, when],
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == -9, ended.stderr.decode()
    with site(tmp_path) as opened:
        project = Small(app=opened.app, work=opened.work, folder=project.folder, name=project.name)
        for build_id in opened.work.durable.unfinished("build"):
            opened.work.durable.result(build_id)
        watched(project)
        first, second = learnt(project)
        assert (first.n_rows, second.n_rows, second.detail["after"]) == (60, 60, first.id)
        assert len(set(subjects(project))) == 120
        assert due(opened.app, opened.app.store.projects.get(project.name)) is None, "10 are left"
        entries = [e for e in opened.app.store.audit.list() if e.action == "model.learn"]
        assert [e.detail["learnt"] for e in sorted(entries, key=lambda e: e.at)] == [60, 120]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{variant: baseline}", "'baseline' is no variant after the first"),
        ("{variant: nobody}", "'nobody' is no variant after the first"),
        ("{variant: better, every_labels: 1}", "every_labels"),
    ],
)
def test_what_cannot_learn_online_is_refused(shared: Site, text: str, said: str) -> None:
    project = shared.project("cannot", ("governance:", f"online: {text}\ngovernance:"))
    with pytest.raises(Exception, match="(?s)headrace.yaml") as caught:
        load_project(project.folder)
    assert said in str(caught.value)
