"""Planted faults, each in a project of its own: is it found, is its cause named first, and how soon?

    python benchmarks/fault_catalogue.py                       # all, and as many clean projects
    python benchmarks/fault_catalogue.py --only "stuck sensor" --clean 0

A model of car prices answers ten calls an hour for four weeks; truth comes with the week. From the third week
on one thing is wrong. After every week one round of all monitors looks at the tables, as a server's does;
what it finds is ranked by :func:`headrace.monitoring.diagnosis.diagnose`. Prints for every fault whether
anything was found, the cause named first and the windows that it took, then the findings of clean projects.
Ends with 1 unless all but two faults have the right cause first, with at most one false alarm. The projects
declare a budget of 0.1 false alarms a quarter, because the clean weeks are those of 18 quarters.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from headrace.checks.estimation import LossModel
from headrace.core.project import Column, DataGate, DataSpec, Gates, ModelGate, MonitorSpec
from headrace.monitoring.baseline import make_baseline
from headrace.monitoring.diagnosis import diagnose
from headrace.monitoring.ingest import as_numbers
from headrace.testing import START, make_project
from tests.monitoring.traffic import LIVE, PROJECT, Scene, answer, label, scene

INPUTS = (
    Column(name="mileage", role="numeric"),
    Column(name="age", role="numeric"),
    Column(name="outside", role="numeric"),
    Column(name="fuel", role="categorical"),
    Column(name="region", role="categorical"),
)
NUMERIC = frozenset(c.name for c in INPUTS if c.role == "numeric")
CALLS, WEEKS, FIRST = 10, 4, 2
"""Calls an hour, weeks, and the week from which on a fault is planted."""
DAY_H, WEEK_H = 24, 168
NOISE = 1000.0
BUDGET = 0.1
"""False alarms a quarter; by the default of one, chance alone could make a dozen in all that is simulated."""


class Week(NamedTuple):
    """Rows by the hour in which they came; whatever a fault changes is changed here."""

    inputs: dict[str, Any]
    hour: Any
    random: np.random.Generator

    def since(self) -> Any:
        """Weeks since the fault began, per row; at most 0 before."""
        return self.hour / WEEK_H - FIRST


Plant = Callable[[Week], Any]
"""Changes inputs in place, or answers which rows are kept, or how often each comes."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is planted, and the cause that is to be named first.

    Attributes:
        cause: its name; ``feature``: the input that it is in, where it is in one.
        inputs: of what the model is asked, before it answers.
        asked: which calls come.
        truth: of the truth, given inputs and answers, after it.
        answers: of the model's answers.
        late_h: hours by which the truth comes later.
    """

    name: str
    cause: str
    feature: str | None = None
    inputs: Plant | None = None
    asked: Plant | None = None
    truth: Callable[[Week, Any], Any] | None = None
    answers: Callable[[Week, Any], Any] | None = None
    late_h: float = 0.0


def drawn(random: np.random.Generator, n_rows: int) -> dict[str, Any]:
    """Cars as they usually are."""
    return {
        "mileage": random.lognormal(11, 0.5, n_rows),
        "age": random.normal(8, 2, n_rows),
        "outside": random.normal(10, 8, n_rows),
        "fuel": random.choice(
            np.array(["petrol", "diesel", "hybrid"], dtype=object), n_rows, p=[0.5, 0.3, 0.2]
        ),
        "region": random.choice(np.array(["north", "south", "east", "west"], dtype=object), n_rows),
    }


def priced(inputs: dict[str, Any]) -> Any:
    """What the model answers, which takes the mean for a number that is missing."""
    given = {name: np.asarray(as_numbers(inputs[name]), dtype=np.float64) for name in NUMERIC}
    usual = {"mileage": 68_000.0, "age": 8.0, "outside": 10.0}
    known = {name: np.where(np.isnan(v), usual[name], v) for name, v in given.items()}
    off = np.where(inputs["fuel"] == "hybrid", 2000.0, 0.0)
    return 40_000 - 0.05 * known["mileage"] - 900 * known["age"] + 20 * known["outside"] + off


def column(name: str, change: Callable[[Any, Week], Any]) -> Plant:
    """A fault of one input, in every row from the first hour of its week on."""

    def plant(week: Week) -> None:
        week.inputs[name] = change(week.inputs[name], week)

    return plant


def some(share: float, by: Any) -> Callable[[Any, Week], Any]:
    """``by`` in a random share of the rows."""

    def change(values: Any, week: Week) -> Any:
        made = np.array(values, dtype=object)
        made[week.random.random(len(made)) < share] = by
        return made

    return change


def named(names: dict[str, str]) -> Callable[[Any, Week], Any]:
    """Categories under other names."""
    return lambda values, _: np.array([names.get(one, one) for one in values], dtype=object)


def both(one: str, other: str) -> Plant:
    """Two inputs in each other's place."""

    def plant(week: Week) -> None:
        week.inputs[one], week.inputs[other] = week.inputs[other], week.inputs[one]

    return plant


def world(plant: Plant) -> Plant:
    """A change of what is asked about, which truth follows."""

    def asked(week: Week) -> Any:
        plant(week)
        return np.ones(len(week.hour))

    return asked


def shuffled(week: Week, truth: Any) -> Any:
    """Truth of other rows."""
    return week.random.permutation(truth)


def where(chosen: Callable[[Week], Any], change: Callable[[Any], Any]) -> Callable[[Week, Any], Any]:
    """A change of the rows that ``chosen`` picks."""
    return lambda week, values: np.where(chosen(week), change(values), values)


FAULTS = (
    Fault(name="renamed column", cause="empty", feature="mileage", inputs=column("mileage", some(1.0, None))),
    Fault(name="silent nulls", cause="empty", feature="age", inputs=column("age", some(0.15, None))),
    Fault(name="infinite values", cause="empty", feature="age", inputs=column("age", some(0.2, math.inf))),
    Fault(name="decimal comma", cause="empty", feature="age", inputs=column("age", some(0.5, "8,5"))),
    Fault(name="empty strings", cause="empty", feature="fuel", inputs=column("fuel", some(0.3, ""))),
    Fault(name="nulls of a category", cause="empty", feature="region",
          inputs=column("region", some(0.2, None))),
    Fault(name="kilometres as miles", cause="rescaled", feature="mileage",
          inputs=column("mileage", lambda v, _: v / 1.609)),
    Fault(name="metres for kilometres", cause="rescaled", feature="mileage",
          inputs=column("mileage", lambda v, _: v * 1000)),
    Fault(name="months for years", cause="rescaled", feature="age",
          inputs=column("age", lambda v, _: v * 12)),
    Fault(name="stuck sensor", cause="stuck", feature="outside",
          inputs=column("outside", lambda v, _: np.full(len(v), 11.5))),
    Fault(name="sensor that is stuck at times", cause="stuck", feature="outside",
          inputs=column("outside", some(0.3, 21.5))),
    Fault(name="drifting sensor", cause="moved", feature="outside",
          inputs=column("outside", lambda v, w: v + 6 * np.maximum(w.since(), 0))),
    Fault(name="offset (kelvin)", cause="offset", feature="outside",
          inputs=column("outside", lambda v, _: v + 273.15)),
    Fault(name="sentinel -999", cause="sentinel", feature="age", inputs=column("age", some(0.1, -999.0))),
    Fault(name="zeros for nulls", cause="sentinel", feature="mileage",
          inputs=column("mileage", some(0.15, 0.0))),
    Fault(name="clipped sensor", cause="clipped", feature="outside",
          inputs=column("outside", lambda v, _: np.minimum(v, 12.0))),
    Fault(name="flipped sign", cause="negated", feature="outside", inputs=column("outside", lambda v, _: -v)),
    Fault(name="rounding", cause="rounded", feature="mileage",
          inputs=column("mileage", lambda v, _: np.ceil(v / 25_000) * 25_000)),
    Fault(name="truncation", cause="rounded", feature="age", inputs=column("age", lambda v, _: np.floor(v))),
    Fault(name="swapped columns", cause="swapped", inputs=both("age", "outside")),
    Fault(name="new category", cause="new_categories", feature="fuel",
          inputs=column("fuel", some(0.15, "hydrogen"))),
    Fault(name="capitals", cause="respelled", feature="fuel",
          inputs=column("fuel", named({"petrol": "PETROL", "diesel": "DIESEL", "hybrid": "HYBRID"}))),
    Fault(name="categories under codes", cause="recoded", feature="fuel",
          inputs=column("fuel", named({"petrol": "1", "diesel": "2", "hybrid": "3"}))),
    Fault(name="exchanged categories", cause="exchanged", feature="fuel",
          inputs=column("fuel", named({"petrol": "hybrid", "hybrid": "petrol"}))),
    Fault(name="category that is gone", cause="gone_category", feature="region",
          asked=lambda w: w.inputs["region"] != "east"),
    Fault(name="covariate shift", cause="moved", feature="age",
          asked=world(column("age", lambda v, _: v + 2))),
    Fault(name="more of one category", cause="moved", feature="fuel",
          asked=world(column("fuel", some(0.3, "diesel")))),
    Fault(name="broken join of the labels", cause="relation", truth=shuffled),
    Fault(name="labels in another unit", cause="relation", truth=lambda _, v: v / 100),
    Fault(name="concept drift", cause="relation", truth=lambda _, v: v - 3000),
    Fault(name="gradual concept drift", cause="relation",
          truth=lambda w, v: v - 2500 * np.maximum(w.since(), 0)),
    Fault(name="concept drift in one segment", cause="relation_in_segment", feature="fuel: hybrid",
          truth=where(lambda w: w.inputs["fuel"] == "hybrid", lambda v: v - 4000)),
    Fault(name="promotion in one region", cause="relation_in_segment", feature="region: west",
          truth=where(lambda w: w.inputs["region"] == "west", lambda v: v + 5000)),
    Fault(name="constant answers", cause="constant_answers", answers=lambda _, v: np.full(len(v), 29_000.0)),
    Fault(name="answers that are no numbers", cause="impossible_answers",
          answers=where(lambda w: w.random.random(len(w.hour)) < 0.02, lambda v: v * np.nan)),
    Fault(name="wrong model file", cause="model", answers=lambda _, v: 0.8 * v),
    Fault(name="traffic drop", cause="traffic", asked=lambda w: w.random.random(len(w.hour)) < 0.3),
    Fault(name="outage", cause="traffic", asked=lambda w: w.hour % WEEK_H > 30),
    Fault(name="retry storm", cause="traffic",
          asked=lambda w: np.where(w.hour % WEEK_H < 20, 4, 1)),
    Fault(name="labels of one group missing", cause="labels",
          truth=where(lambda w: w.inputs["region"] == "west", lambda v: v * np.nan)),
    Fault(name="labels that stop", cause="labels", truth=lambda _, v: v * np.nan),
    Fault(name="labels that come ten days late", cause="labels", late_h=10 * DAY_H),
)  # fmt: skip


class Result(NamedTuple):
    """Cause named first in the first round that named any since the fault, and the weeks until then."""

    cause: str | None
    feature: str | None
    n_windows: int
    n_before: int


def prepared(home: Path, seed: int) -> Scene:
    """A live release with what it keeps of its training."""
    project = make_project(
        name=PROJECT,
        data=DataSpec(source="cars.csv", target="price", columns=INPUTS),
        gates=Gates(data=DataGate(), model=ModelGate(metric="mae")),
        monitors=MonitorSpec(false_alarms=BUDGET),
    )
    made = scene(home, project, seed=seed)
    columns = drawn(made.random, 5000)
    said, off = priced(columns), made.random.normal(0, NOISE, 5000)
    model = LossModel.fit("mae", said + off, columns, {"predict": said}, INPUTS)
    made.baselines[LIVE] = make_baseline(
        columns, INPUTS, said, np.abs(off), "mae", residuals=off, trained_until=START, loss_model=model
    )
    return made


def answered(scene: Scene, hours: range, fault: Fault | None) -> None:
    """Calls of some hours, and their truth."""
    hour = np.repeat(np.array(hours), scene.random.poisson(CALLS, len(hours)))
    week = Week(drawn(scene.random, len(hour)), hour, scene.random)
    is_bad = fault if fault is not None and hours.start >= FIRST * WEEK_H else None
    if is_bad is not None and is_bad.asked is not None:
        picked = np.repeat(np.arange(len(hour)), is_bad.asked(week).astype(int))
        week = Week({k: v[picked] for k, v in week.inputs.items()}, hour[picked], scene.random)
    true = priced(week.inputs) + scene.random.normal(0, NOISE, len(week.hour))
    if is_bad is not None and is_bad.truth is not None:
        true = is_bad.truth(week, true)
    if is_bad is not None and is_bad.inputs is not None:
        is_bad.inputs(week)
    said = priced(week.inputs)
    if is_bad is not None and is_bad.answers is not None:
        said = is_bad.answers(week, said)
    kept = {k: np.asarray(as_numbers(v)) if k in NUMERIC else v for k, v in week.inputs.items()}
    minutes = scene.random.random(len(said)) * 60
    made, told = [], []
    for row, (at, value) in enumerate(zip(week.hour, said, strict=True)):
        moment = START + timedelta(hours=float(at), minutes=float(minutes[row]))
        name = f"{hours.start}-{row}"
        columns = {k: [v[row]] for k, v in kept.items()}
        made.append(answer(name, at=moment, columns=columns, outputs={"predict": [float(value)]}))
        if not math.isnan(true[row]):
            late = timedelta(hours=0.0 if is_bad is None else is_bad.late_h)
            told.append(label(f"{name}:0", float(true[row]), at=moment + late))
    scene.answered(made, NUMERIC)
    scene.told(told)


def run(fault: Fault | None, seed: int) -> Result:
    """One project over four weeks."""
    with TemporaryDirectory() as home:
        project, begun, n_before = prepared(Path(home), seed), 0, 0
        try:
            for number in range(WEEKS):
                # The first hour of the next week closes this one; its own round comes later.
                until = (number + 1) * WEEK_H
                answered(project, range(begun, until), fault)
                answered(project, range(until, until + 1), fault)
                begun = until + 1
                _set(project, START + timedelta(hours=until + 1))
                causes = diagnose(found := project.watch().findings)
                if fault is None or number < FIRST:
                    n_before += len(found)
                    for one in found:
                        print(f"false alarm: {one.kind} {one.feature}: {one.title}")
                elif causes:
                    return Result(causes[0].name, causes[0].feature, number - FIRST + 1, n_before)
        finally:
            project.store.close()
    return Result(None, None, WEEKS - FIRST, n_before)


def _set(project: Scene, now: datetime) -> None:
    project.clock.sleep((now - project.clock.now()).total_seconds())


def main() -> int:
    """Plant, watch, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", help="faults whose name has this in it")
    parser.add_argument("--clean", type=int, default=len(FAULTS), help="projects without a fault")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faults = [fault for fault in FAULTS if not arguments.only or arguments.only in fault.name]
    n_right = n_false = 0
    for number, fault in enumerate(faults):
        found = run(fault, arguments.seed + number)
        right = found.cause == fault.cause and (fault.feature is None or found.feature == fault.feature)
        n_right, n_false = n_right + right, n_false + found.n_before
        words = "not found" if found.cause is None else f"{found.cause} {found.feature or ''}"
        print(
            f"{'right' if right else 'WRONG':6}{fault.name:34}{words:34}{found.n_windows} window(s)",
            flush=True,
        )
    for number in range(arguments.clean):
        n_false += run(None, arguments.seed + 1000 + number).n_before
    print(
        f"{n_right} of {len(faults)} with the right cause first; {n_false} false alarms in {arguments.clean}"
    )
    print("clean projects of four weeks, and in the two weeks before each fault")
    return 0 if n_right >= len(faults) - 2 and n_false <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
