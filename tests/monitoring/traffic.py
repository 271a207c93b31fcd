"""Answers and labels as production leaves them, and a project's tables to put them into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.packs import Measured, Scored, measure_metric
from headrace.checks.profiles import Profile
from headrace.core.ids import derived_id
from headrace.core.ports import Columns
from headrace.core.project import (
    Column,
    DataGate,
    DataSpec,
    Gates,
    ModelGate,
    MonitorSpec,
    Project,
)
from headrace.core.record import Feedback, Outcome, Prediction
from headrace.core.release import Measurement
from headrace.monitoring.baseline import Baseline, make_baseline
from headrace.monitoring.ingest import (
    feedback_rows,
    feedback_table,
    outcome_rows,
    outcomes_table,
    prediction_rows,
    predictions_table,
)
from headrace.monitoring.monitors import MEASURERS, MONITORS, n_sharing
from headrace.monitoring.places import Place
from headrace.monitoring.watch import Round, Watch
from headrace.store import Store, open_store
from headrace.testing import START, FakeClock, make_outcome, make_prediction, make_project, make_settings

PROJECT = "cars"
LIVE = "live"
INPUTS = (
    Column(name="mileage", role="numeric"),
    Column(name="year", role="numeric"),
    Column(name="fuel", role="categorical"),
)
NUMERIC = frozenset({"mileage", "year"})
FUELS = np.array(["diesel", "hybrid", "petrol"], dtype=object)


def day(number: float) -> datetime:
    """Noon of a day counted from the first."""
    return START + timedelta(days=number, hours=12)


def answer(name: str = "p", *, at: datetime = START, release: str = LIVE, **changes: Any) -> Prediction:
    """An answer whose ``n_rows`` follow from its columns, in event time ``at``."""
    made = make_prediction(id=name, release_id=release, at=at, event_time=at, **changes)
    return replace(made, n_rows=len(next(iter(made.columns.values()))))


def label(subject: str, value: float | str | bool, *, at: datetime = START, **changes: Any) -> Outcome:
    """What turned out to be true of ``subject``, known and recorded at ``at``."""
    said = make_outcome(subject=subject, value=value, at=at, observed_at=at)
    identity = derived_id(subject, str(value), at.isoformat())
    return replace(said, **({"id": identity} | changes))


def cars(random: np.random.Generator, n_rows: int, *, shifted: float = 0.0) -> dict[str, Any]:
    """Inputs of ``n_rows`` cars; ``shifted`` moves the mileage by so many deviations."""
    return {
        "mileage": random.normal(50_000 + 10_000 * shifted, 10_000, n_rows),
        "year": random.integers(2010, 2021, n_rows).astype(np.float64),
        "fuel": random.choice(FUELS, n_rows),
    }


def price(columns: Columns) -> NDArray[np.float64]:
    """What the model of these tests answers."""
    return np.asarray(30_000 - 0.1 * columns["mileage"] + 500 * (columns["year"] - 2015), dtype=np.float64)


def watched_project(**monitors: Any) -> Project:
    """A project with weekly windows, watched as the template would."""
    return make_project(
        name=PROJECT,
        data=DataSpec(source="cars.csv", target="price", columns=INPUTS),
        gates=Gates(data=DataGate(), model=ModelGate(metric="mae")),
        monitors=MonitorSpec(**monitors),
    )


def trained(random: np.random.Generator, n_rows: int = 2000, *, noise: float = 1000.0) -> Baseline:
    """The baseline of a model of :func:`price` whose errors are normal."""
    columns = cars(random, n_rows)
    errors = random.normal(0, noise, n_rows)
    return make_baseline(
        Profile.fit(columns, INPUTS),
        price(columns),
        np.abs(errors),
        "mae",
        residuals=errors,
        trained_until=START,
    )


@dataclass(kw_only=True)
class Scene:
    """One watched project over a real store; ``remembers``: what it has looked at, as one process does."""

    store: Store
    project: Project
    baselines: dict[str, Baseline]
    random: np.random.Generator
    clock: FakeClock = field(default_factory=FakeClock)
    looked: dict[str, dict[Place, str]] = field(default_factory=dict)
    remembers: bool = True

    def answered(self, predictions: Sequence[Prediction], numeric: frozenset[str] = NUMERIC) -> None:
        """Put answers into their table, as ingesting them would."""
        self.store.tables.append(predictions_table(PROJECT), prediction_rows(predictions, numeric))

    def close(self, number: int, **changes: Any) -> None:
        """One more answer, on day ``number``: the windows before are closed."""
        self.answered([answer(f"closing-{number}", at=day(number), **changes)])

    def told(self, outcomes: Iterable[Outcome]) -> None:
        """Put labels into their table."""
        self.store.tables.append(outcomes_table(PROJECT), outcome_rows(list(outcomes)))

    def reported(self, *events: Feedback) -> None:
        """Put feedback into its table."""
        self.store.tables.append(feedback_table(PROJECT), feedback_rows(events))

    def traffic(
        self, days: Iterable[int], n_rows: int, *, shifted: Mapping[int, float] | None = None
    ) -> dict[str, float]:
        """Answer ``n_rows`` on each day; returns each row's subject and the model's answer."""
        made = []
        for number in days:
            columns = cars(self.random, n_rows, shifted=(shifted or {}).get(number, 0.0))
            made.append(
                answer(
                    f"day-{number}",
                    at=day(number),
                    columns={name: values.tolist() for name, values in columns.items()},
                    outputs={"predict": price(columns).tolist()},
                )
            )
        self.answered(made)
        return {f"{p.id}:{row}": v for p in made for row, v in enumerate(p.outputs["predict"])}

    def looking(self, monitor: str = "") -> Watch:
        """What a monitor looks at now, after the rounds that were kept."""
        return Watch(
            project=self.project,
            tables=self.store.tables,
            evidence=self.store.evidence,
            baseline_of=self.baselines.__getitem__,
            known=self.store.findings.list(self.project.name),
            now=self.clock.now(),
            measure=self.measured,
            n_monitors=n_sharing(self.project),
            before=self.looked.get(monitor, {}),
        )

    def look(self) -> Round:
        """What a round would add; nothing of it is kept."""
        return self._look()[0]

    def _look(self) -> tuple[Round, dict[str, dict[Place, str]]]:
        found, looked = Round([], []), {}
        for name, monitor in (MONITORS | MEASURERS).items():
            looking = self.looking(name)
            one = monitor(looking)
            found.measurements.extend(one.measurements)
            found.findings.extend(one.findings)
            looked[name] = looking.looked
        return found, looked

    def measured(self, release_id: str, parts: Sequence[Scored]) -> list[dict[str, Measured]]:
        """By the built-in metrics that the project declares."""
        assert release_id in self.baselines
        task, metrics = self.project.task, self.project.metrics
        found = [{spec.name: measure_metric(spec, task, one) for spec in metrics} for one in parts]
        return [{name: one for name, one in part.items() if one is not None} for part in found]

    def watch(self) -> Round:
        """One round, kept as the application keeps it."""
        found, looked = self._look()
        self.store.evidence.measure(found.measurements)
        if self.remembers:
            self.looked = looked
        return found


def scene(home: Path, project: Project | None = None, *, seed: int = 0) -> Scene:
    """A watched project whose live release was trained on the usual cars."""
    random = np.random.default_rng(seed)
    clock = FakeClock()
    return Scene(
        store=open_store(make_settings(home), clock),
        project=project or watched_project(),
        baselines={LIVE: trained(random)},
        random=random,
        clock=clock,
    )


def named(round_: Round, name: str) -> list[Measurement]:
    """The measurements of one name."""
    return [m for m in round_.measurements if m.name == name]
