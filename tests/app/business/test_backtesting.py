"""Recorded answers asked again of any version: the same one says the same, another one is compared."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from headrace.app.business.backtesting import Backtest, backtest
from headrace.app.operations import declare
from headrace.cli.main import app as command_line
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound
from headrace.core.ids import new_id
from headrace.store.records import encode_prediction
from headrace.testing import START, make_prediction
from tests.app.small import AUTHOR, CODE, INPUTS, Site, Small, cars

GUESS = ("trainer: listed", "trainer: guess")
LATER = START + timedelta(days=30)


@pytest.fixture(scope="module")
def two(shared: Site) -> Small:
    """Version 1 is live and has answered; version 2 was built and never released."""
    project = shared.project("backtested")
    release = project.released()
    assert release.state == "live"
    project.answered(cars(60, seed=3), day=1, release=release.id)
    project.answered(cars(40, seed=4), day=20, release=release.id, labelled=False)
    project.write(GUESS).build(cause="another one")
    assert [model.version for model in project.app.store.models.list(project.name)] == [1, 2]
    return project


def asked(project: Small, version: int, until: int = 30) -> Backtest:
    return backtest(project.app, project.me, project.name, version, START, START + timedelta(days=until))


@pytest.mark.requirement("MON-38")
def test_the_version_that_answered_answers_the_same_again(two: Small) -> None:
    found = asked(two, 1)
    assert (found.n_rows, found.n_changed, found.moved) == (100, 0, [])
    assert found.largest_difference < 1e-6
    assert list(found.releases.values()) == [100]
    assert found.losses is not None
    assert (found.losses.metric, found.losses.n_rows) == ("mae", 60)
    assert found.losses.recorded == pytest.approx(found.losses.replayed)


@pytest.mark.requirement("MON-38")
def test_a_version_that_never_went_live_is_compared_with_what_was_said(two: Small) -> None:
    rows = cars(60, seed=3)
    found = asked(two, 2, until=10)
    apart = [abs(a - b) for a, b in zip(rows["listed"], rows["guess"], strict=True)]
    assert (found.n_rows, found.n_changed) == (60, 60)
    assert found.mean_difference == pytest.approx(sum(apart) / 60)
    assert found.largest_difference == pytest.approx(max(apart))
    worst = apart.index(max(apart))
    assert found.moved[0].recorded == pytest.approx(rows["listed"][worst])
    assert found.moved[0].replayed == pytest.approx(rows["guess"][worst])
    assert found.losses is not None
    losses = [abs(a - b) for a, b in zip(rows["guess"], rows["price"], strict=True)]
    assert found.losses.replayed == pytest.approx(sum(losses) / 60)
    assert found.losses.low > 0, "a guess is worse than what a car is listed for, and 60 rows show it"
    assert two.app.store.events.count(f"{two.name}/predictions") == 2, "nothing is recorded"


def test_a_window_without_truth_has_no_losses(two: Small) -> None:
    found = backtest(two.app, two.me, two.name, 2, START + timedelta(days=10), LATER)
    assert (found.n_rows, found.losses) == (40, None)


def test_what_cannot_be_asked_again_is_refused(two: Small) -> None:
    with pytest.raises(NotFound, match="has no answer from"):
        backtest(two.app, two.me, two.name, 1, LATER, LATER + timedelta(days=1))
    with pytest.raises(NotFound):
        asked(two, 9)
    with pytest.raises(InvalidInput, match="is empty"):
        backtest(two.app, two.me, two.name, 1, LATER, LATER)
    vic = two.app.identities.add("vic", ["viewer"], actor=AUTHOR)
    with pytest.raises(Denied):
        backtest(two.app, vic, two.name, 1, START, LATER)
    dropped = ("privacy: {basis: not_personal}", "privacy: {basis: not_personal, fields: {mileage: mask}}")
    declare(two.app, two.me, two.write(dropped).folder)
    try:
        with pytest.raises(Conflict, match="'mileage' is not recorded as it came"):
            asked(two, 1)
    finally:
        declare(two.app, two.me, two.write().folder)


LOGISTIC = """


@headrace.trainer
def logistic(data: headrace.TrainingData, strength: float = 1.0):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength)).fit(data.X, data.y)
"""


def worth(n_rows: int, seed: int) -> dict[str, list[Any]]:
    rows = cars(n_rows, seed=seed)
    middle = sorted(rows["price"])[n_rows // 2]
    return {**rows, "price": ["dear" if price > middle else "cheap" for price in rows["price"]]}


@pytest.mark.requirement("MON-38")
def test_of_classes_it_is_said_how_many_moved_from_which_to_which(
    shared: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [
        ("task: regression", "task: classification"),
        ("{metric: mae}", "{metric: log_loss}"),
        ("trainer: listed", "trainer: logistic, params: {strength: 1.0}"),
    ]
    project = shared.project("worth", *changes, code=CODE + LOGISTIC, rows=worth(200, 0))
    assert project.released().state == "live"
    blunt = ("trainer: listed", "trainer: logistic, params: {strength: 0.0005}")
    project.write(*changes[:2], blunt, code=CODE + LOGISTIC, rows=worth(200, 0)).build(cause="blunt")
    app, name = project.app, project.name
    route = project.route()
    assert route is not None
    scorer = app.scorers.of_release(route.live)
    rows = {column: values for column, values in cars(50, seed=6).items() if column in INPUTS}
    said = scorer.score({column: np.array(values) for column, values in rows.items()})
    made = make_prediction(
        id=new_id(app.clock.now()), project=name, release_id=route.live, n_rows=50, at=START,
        event_time=START, columns=rows, keys=None,
        outputs={"predict": said["predict"].tolist(), "probability": said["probability"][:, 1].tolist()},
    )  # fmt: skip
    app.store.events.append(f"{name}/predictions", [encode_prediction(made)])

    same, other = asked(project, 1), asked(project, 2)
    assert (same.n_changed, same.classes) == (0, {})
    blunted = app.scorers.of_package(app.store.models.get(name, 2).package.digest)
    again = blunted.score({column: np.array(values) for column, values in rows.items()})
    assert other.largest_difference == pytest.approx(np.abs(again["probability"] - said["probability"]).max())
    moved = int((again["predict"] != said["predict"]).sum())
    assert sum(other.classes.values()) == moved
    monkeypatch.setenv("HEADRACE_HOME", str(app.settings.home))
    monkeypatch.setenv("HEADRACE_USER", AUTHOR)
    since, until = f"{START:%Y-%m-%d}", f"{START + timedelta(days=1):%Y-%m-%d}"
    arguments = ["monitor", "backtest", f"{name}@2", "--from", since, "--until", until]
    printed = CliRunner().invoke(command_line, arguments)
    assert printed.exit_code == 0, printed.output
    assert f"50 recorded rows, answered again by {name}@2: {other.n_changed} differ." in printed.stdout
    assert str(other.moved[0].subject) in printed.stdout
