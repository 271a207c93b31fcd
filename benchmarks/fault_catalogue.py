"""Planted faults, each in a project of its own: is it found, is its cause named first, and how soon?

    python benchmarks/fault_catalogue.py                       # all, and as many clean projects
    python benchmarks/fault_catalogue.py --only "stuck sensor" --clean 0

A model of car prices answers ten calls an hour for four weeks; truth comes with the week. From the third week
on one thing is wrong, or only looks so: a season that training has, too, is to raise nothing, a new one is
to be named once it has come again, and what follows from an announced event is to be laid to it. After every
week one round of all monitors looks at the tables, as a server's does;
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
from headrace.checks.profiles import Profile
from headrace.core.alerts import Period
from headrace.core.project import (
    Column,
    DataGate,
    DataSpec,
    Gates,
    ModelGate,
    MonitorSpec,
    ServiceLevel,
    ServingSpec,
)
from headrace.core.record import Finding
from headrace.monitoring.baseline import make_baseline
from headrace.monitoring.courses import came
from headrace.monitoring.diagnosis import diagnose
from headrace.monitoring.ingest import as_numbers
from headrace.monitoring.notices import explained, explains
from headrace.monitoring.shifts import NAME as SHIFT
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
        cause: its name, None where nothing is to be found; ``feature``: the input that it is in, where it is
            in one.
        first: week in which it begins; ``came``: how it is to be said to have come, by the last week.
        usual: of the calls and inputs of all weeks, and of training: no fault at all.
        event: title of an event that people have named, from the first week of the fault to the end.
        inputs: of what the model is asked, before it answers.
        asked: which calls come.
        truth: of the truth, given inputs and answers, after it.
        answers: of the model's answers.
        late_h: hours by which the truth comes later; ``slower``: factor on the time that an answer takes.
    """

    name: str
    cause: str | None
    feature: str | None = None
    first: int = FIRST
    came: str | None = None
    usual: Plant | None = None
    event: str | None = None
    inputs: Plant | None = None
    asked: Plant | None = None
    truth: Callable[[Week, Any], Any] | None = None
    answers: Callable[[Week, Any], Any] | None = None
    late_h: float = 0.0
    slower: float = 1.0


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


def weekend(week: Week) -> Any:
    """Fewer calls, and about older cars."""
    week.inputs["age"] = older_at_weekends(week.inputs["age"], week)
    return ~is_weekend(week) | (week.random.random(len(week.hour)) < 0.3)


def older_at_weekends(values: Any, week: Week) -> Any:
    """By one and a half deviations."""
    return values + 3 * is_weekend(week)


def is_weekend(week: Week) -> Any:
    """The first day is a Thursday."""
    return (week.hour + 3 * DAY_H) // DAY_H % 7 >= 5


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
    Fault(name="slower answers", cause="slow", slower=6.0),
    Fault(name="season that training has, too", cause=None, usual=weekend),
    Fault(name="season that training lacks", cause="moved", feature="age", first=0,
          came="as every Saturday to Sunday", asked=world(column("age", older_at_weekends))),
    Fault(name="announced promotion", cause="event", event="Spring sale",
          asked=world(column("fuel", some(0.3, "diesel")))),
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
    came: str | None = None


def prepared(home: Path, seed: int, fault: Fault | None) -> Scene:
    """A live release with what it keeps of its training."""
    project = make_project(
        name=PROJECT,
        data=DataSpec(source="cars.csv", target="price", columns=INPUTS),
        gates=Gates(data=DataGate(), model=ModelGate(metric="mae")),
        monitors=MonitorSpec(false_alarms=BUDGET),
        serving=ServingSpec(level=ServiceLevel(p99_ms=50.0, requests_per_s=1.0)),
    )
    made = scene(home, project, seed=seed)
    hour = made.random.integers(0, WEEKS * WEEK_H, 6500)
    columns = usual(Week(drawn(made.random, len(hour)), hour, made.random), fault).inputs
    columns = {name: values[:5000] for name, values in columns.items()}
    said, off = priced(columns), made.random.normal(0, NOISE, 5000)
    model = LossModel.fit("mae", said + off, columns, {"predict": said}, INPUTS)
    made.baselines[LIVE] = make_baseline(
        Profile.fit(columns, INPUTS), said, np.abs(off), "mae", residuals=off, trained_until=START,
        loss_model=model,
    )  # fmt: skip
    return made


def usual(week: Week, fault: Fault | None) -> Week:
    """What comes where nothing is wrong."""
    return week if fault is None or fault.usual is None else asked(week, fault.usual(week))


def asked(week: Week, times: Any) -> Week:
    """The rows that come, each so many times."""
    picked = np.repeat(np.arange(len(week.hour)), times.astype(int))
    return Week(
        {name: values[picked] for name, values in week.inputs.items()}, week.hour[picked], week.random
    )


def answered(scene: Scene, hours: range, fault: Fault | None) -> None:
    """Calls of some hours, and their truth."""
    hour = np.repeat(np.array(hours), scene.random.poisson(CALLS, len(hours)))
    week = usual(Week(drawn(scene.random, len(hour)), hour, scene.random), fault)
    is_bad = fault if fault is not None and hours.start >= fault.first * WEEK_H else None
    if is_bad is not None and is_bad.asked is not None:
        week = asked(week, is_bad.asked(week))
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
    took_ms = 10 * scene.random.lognormal(0, 0.3, len(said)) * (1.0 if is_bad is None else is_bad.slower)
    made, told = [], []
    for row, (at, value) in enumerate(zip(week.hour, said, strict=True)):
        moment = START + timedelta(hours=float(at), minutes=float(minutes[row]))
        name = f"{hours.start}-{row}"
        columns = {k: [v[row]] for k, v in kept.items()}
        outputs = {"predict": [float(value)]}
        made.append(answer(name, at=moment, columns=columns, outputs=outputs, infer_ms=float(took_ms[row])))
        if not math.isnan(true[row]):
            late = timedelta(hours=0.0 if is_bad is None else is_bad.late_h)
            told.append(label(f"{name}:0", float(true[row]), at=moment + late))
    scene.answered(made, NUMERIC)
    scene.told(told)


def run(fault: Fault | None, seed: int) -> Result:
    """One project over four weeks; what is to have come again is watched to their end."""
    first: Result | None = None
    with TemporaryDirectory() as home:
        project, begun, n_before = prepared(Path(home), seed, fault), 0, 0
        try:
            for number in range(WEEKS):
                # The first hour of the next week closes this one; its own round comes later.
                until = (number + 1) * WEEK_H
                answered(project, range(begun, until), fault)
                answered(project, range(until, until + 1), fault)
                begun = until + 1
                _set(project, START + timedelta(hours=until + 1))
                causes = _causes(fault, found := project.watch().findings)
                if fault is None or number < fault.first:
                    n_before += len(found)
                    for one in found:
                        print(f"false alarm: {one.kind} {one.feature}: {one.title}")
                elif causes and first is None:
                    first = Result(*causes[0], number - fault.first + 1, n_before)
                if first is not None and (fault is None or fault.came is None):
                    break
            shifts = project.store.evidence.measurements(PROJECT, name=SHIFT)
        finally:
            project.store.close()
    if first is None:
        return Result(None, None, WEEKS - FIRST, n_before)
    said = {feature: words for (_, _, feature), words in came(shifts).items()}
    return first._replace(came=said.get(first.feature))


def _causes(fault: Fault | None, found: list[Finding]) -> list[tuple[str, str | None]]:
    """The causes of findings, the likeliest first: of what an event explains, the event."""
    causes = [(one.name, one.feature) for one in diagnose(found)]
    if fault is None or fault.event is None or not causes:
        return causes
    begun, over = (START + timedelta(hours=week * WEEK_H) for week in (FIRST, WEEKS))
    event = Period(
        id="event", workspace="", subject=PROJECT, kind="event", title=fault.event, starts_at=begun,
        ends_at=over, by="ada", at=START,
    )  # fmt: skip
    shares = [explained([event], one.window) for one in found]
    return [("event", None)] if all(one is not None and explains(one[1]) for one in shares) else causes


def is_right(fault: Fault, found: Result) -> bool:
    """Whether what is planted is called what it is."""
    where, how = fault.feature in (None, found.feature), fault.came in (None, found.came)
    return found.cause == fault.cause and where and how


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
        right = is_right(fault, found)
        n_right, n_false = n_right + right, n_false + found.n_before
        words = "nothing" if found.cause is None else f"{found.cause} {found.feature or ''}"
        words += f", {found.came}" if fault.came else ""
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
