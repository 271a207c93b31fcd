"""Small projects that build in a second, and the traffic of their models."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from headrace.app.composition import App, open_app
from headrace.app.operations import record_outcomes, settle, start_build
from headrace.app.overviews import reading
from headrace.app.rollouts.deliver import DECISION, TICK
from headrace.app.workflows import Workflows, launch
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.core.release import Release, Route, Verdict
from headrace.store.records import encode_prediction
from headrace.testing import START, MemoryTracker, make_prediction, make_settings

AUTHOR, VALIDATOR = "ada", "grace"
INPUTS = ("year", "mileage", "diesel", "listed", "guess")
NEED = (
    "intake: {need: {why: list prices miss, complexity: low, "
    "alternatives: [{name: a rule, kind: rule, reached: misses by half}]}}\n"
)
CHARTER = """\
name: NAME
task: regression
approval: automatic
owner: {name: Ada, contact: ada@example.org}
value: {hypothesis: fair prices sell, kpi: days on the lot}
privacy: {basis: not_personal}
data:
  source: cars.csv
  documentation: made up
  target: price
  key: car
  columns:
    - {name: year, role: numeric}
    - {name: mileage, role: numeric}
    - {name: diesel, role: categorical}
    - {name: listed, role: numeric}
    - {name: guess, role: numeric}
    - {name: car, role: ignored, why: names the row}
gates:
  data: {min_rows: 50}
  model: {metric: mae}
variants:
  - {name: baseline, trainer: baseline}
  - {name: better, trainer: listed}
rollout: {steps: [50], min_requests: 1, min_labels: 0, interval_s: 0.1}
monitors: {window_s: 604800}
triggers:
  - {when: drift, do: automatic, min_labels: 50}
governance:
  {affected: sellers, harms: a price too low, fairness: only cars are described, security: none known,
   automation: recommends, impact: minor, scale: few, reversible: at_once, personal_data: none}
""".replace("data:\n", f"{NEED}data:\n", 1)
CODE = """\
import headrace


@headrace.trainer
def baseline(data: headrace.TrainingData):
    from headrace.training.baselines import ConstantModel

    return ConstantModel(task=data.task).fit(data.X, data.y)


@headrace.trainer
def listed(data: headrace.TrainingData):
    from headrace.training.baselines import ColumnModel

    return ColumnModel(data.feature_names.index("listed")).fit(data.X, data.y)


@headrace.trainer
def guess(data: headrace.TrainingData):
    from headrace.training.baselines import ColumnModel

    return ColumnModel(data.feature_names.index("guess")).fit(data.X, data.y)


@headrace.trainer
def linear(data: headrace.TrainingData):
    from sklearn.linear_model import Ridge

    return Ridge().fit(data.X, data.y)


@headrace.trainer
def broken(data: headrace.TrainingData):
    return [][1]
"""
BROKEN_LINE = CODE.splitlines().index("    return [][1]") + 1


def cars(n_rows: int, *, seed: int = 0, newer_by: int = 0) -> dict[str, list[Any]]:
    """Cars that sell near what they are listed for, and not so near a guess."""
    random = np.random.default_rng(seed)
    year = random.integers(2008, 2016, n_rows) + newer_by
    mileage = random.uniform(1_000, 150_000, n_rows).round()
    diesel = random.random(n_rows) < 0.4
    price = (year - 2000) * 1_000 - 0.05 * mileage + 800 * diesel + random.normal(0, 300, n_rows)
    return {
        "car": [100_000 * seed + i for i in range(n_rows)],
        "year": [float(v) for v in year],
        "mileage": [float(v) for v in mileage],
        "diesel": [bool(v) for v in diesel],
        "listed": [round(float(v), 2) for v in price + random.normal(0, 400, n_rows)],
        "guess": [round(float(v), 2) for v in price + random.normal(0, 1_600, n_rows)],
        "price": [round(float(v), 2) for v in price],
    }


def labels(rows: dict[str, list[Any]], moment: datetime) -> Sequence[dict[str, Any]]:
    """What the cars were sold for."""
    return [
        {"subject": str(key), "value": price, "observed_at": moment}
        for key, price in zip(rows["car"], rows["price"], strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class Small:
    """One project in a home where workflows run."""

    app: App
    work: Workflows
    folder: Path
    name: str

    @property
    def me(self) -> Principal:
        """Who makes things here."""
        return self.app.me()

    def write(
        self, *changes: tuple[str, str], code: str = CODE, rows: dict[str, list[Any]] | None = None
    ) -> Small:
        """The project's files; each change replaces a part of its charter."""
        charter = CHARTER.replace("NAME", self.name, 1)
        for before, after in changes:
            assert before in charter
            charter = charter.replace(before, after)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "headrace.yaml").write_text(charter, encoding="utf-8")
        (self.folder / "project.py").write_text(code, encoding="utf-8")
        rows = rows or cars(200)
        with (self.folder / "cars.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(rows)
            writer.writerows(zip(*rows.values(), strict=True))
        return self

    def build(
        self, *, cause: str = "by hand", settings_only: bool = False, baseline: bool = False
    ) -> dict[str, Any]:
        """Build to the end."""
        started = start_build(
            self.app, self.work, self.me, self.folder,
            cause=cause, until=None, settings_only=settings_only, baseline=baseline,
        )  # fmt: skip
        result: dict[str, Any] = self.work.durable.result(started.build_id)
        return result

    def released(self) -> Release:
        """Build, and wait until the delivery has ended or waits for traffic or a person."""
        return self.delivered(self.build()["release_id"])

    def amended(self, *changes: tuple[str, str]) -> Release:
        """The release of the live model under changed settings, when it is live, refused or waits."""
        return self.write(*changes).delivered(self.build(settings_only=True)["release_id"])

    def delivered(self, release_id: str) -> Release:
        """The release when its delivery has ended, or waits for traffic or a person."""
        leaving = ["proposed", "approved", "rolling_out"]
        if self.app.store.releases.get(release_id).manifest.approval == "automatic":
            leaving.append("waiting")
        return settle(self.app, self.work, release_id, leaving=leaving)

    def work_until_waiting(self, release: Release) -> Release:
        """The release once its gates have let it through."""
        return settle(self.app, self.work, release.id, leaving=["proposed"])

    def promoted(self, release: Release) -> Release:
        """The release after a request that its canary answered."""
        self.answered(cars(5, seed=99), day=0, release=release.id, labelled=False, now=True)
        deadline_s = self.app.clock.monotonic_s() + 20
        while self.app.store.releases.get(release.id).state == "rolling_out":
            assert self.app.clock.monotonic_s() < deadline_s
            self.app.clock.sleep(0.02)
        return self.app.store.releases.get(release.id)

    def answered(
        self,
        rows: dict[str, list[Any]],
        *,
        day: float,
        release: str,
        labelled: bool = True,
        now: bool = False,
    ) -> None:
        """One request for all rows, logged as the server logs it, and their labels by key."""
        moment = START + timedelta(days=day)
        inputs = {name: rows[name] for name in INPUTS}
        columns = {name: np.array(values) for name, values in inputs.items()}
        outputs = self.app.scorers.of_release(release).score(columns)
        made = make_prediction(
            id=new_id(self.app.clock.now()), project=self.name, release_id=release, n_rows=len(rows["car"]),
            at=self.app.clock.now() if now else moment, event_time=moment, columns=inputs,
            outputs={"predict": outputs["predict"].tolist()}, keys=[str(key) for key in rows["car"]],
        )  # fmt: skip
        self.app.store.events.append(f"{self.name}/predictions", [encode_prediction(made)])
        if labelled:
            record_outcomes(self.app, self.me, self.name, labels(rows, moment))

    def verdicts(self, release: Release) -> dict[str, Verdict]:
        """What each gate said."""
        return {verdict.gate: verdict for verdict in self.app.store.evidence.verdicts(release.id)}

    def runs(self) -> dict[str, str]:
        """Variant of each run, and its error or state."""
        return {run.variant: run.error or run.state for run in reading.runs(self.app, self.me, self.name)}

    def releases(self) -> list[Release]:
        """All releases, newest first."""
        return self.app.store.releases.list(self.name)

    def route(self) -> Route | None:
        """Who answers."""
        return self.app.store.rollouts.route(self.name)


@dataclass(frozen=True, kw_only=True)
class Site:
    """An opened home in which workflows run, and a folder for projects."""

    app: App
    work: Workflows
    parent: Path

    def project(
        self,
        name: str,
        *changes: tuple[str, str],
        code: str = CODE,
        rows: dict[str, list[Any]] | None = None,
    ) -> Small:
        """A project of the test's own."""
        made = Small(app=self.app, work=self.work, folder=self.parent / name, name=name)
        return made.write(*changes, code=code, rows=rows)


@contextmanager
def site(folder: Path, **settings: Any) -> Iterator[Site]:
    """Open a home in ``folder`` with its workflows running and a tracker in memory."""
    with open_app(make_settings(folder / "home", user=AUTHOR, **settings)) as opened:
        app = replace(opened, tracker=MemoryTracker())
        app.me()
        app.identities.add(AUTHOR, ["developer", "operator", "admin", "validator"], actor=AUTHOR)
        app.identities.add(VALIDATOR, ["validator"], actor=AUTHOR)
        with launch(app) as work:
            try:
                yield Site(app=app, work=work, parent=folder)
            finally:
                _give_up(work)


def _give_up(work: Workflows) -> None:
    """End deliveries that wait for somebody: their threads would keep the interpreter from ending."""
    for workflow_id in work.durable.unfinished("deliver"):
        work.durable.cancel(workflow_id)
        for topic in (DECISION, TICK):
            work.durable.send(workflow_id, topic, "given up")
