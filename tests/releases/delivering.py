"""Releases, their traffic and their labels over a real store, without training anything."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.ids import new_id
from headrace.core.ports import Scorer
from headrace.core.project import Column, DataSpec, ModelGate, Project, RolloutSpec
from headrace.core.record import Prediction
from headrace.core.release import Release, Rollout, Route
from headrace.monitoring.ingest import (
    outcome_rows,
    outcomes_table,
    prediction_rows,
    predictions_table,
    shadows_table,
)
from headrace.releases import delivery
from headrace.store import Store, open_store
from headrace.store.records import encode_failure
from headrace.testing import (
    EchoModel,
    FakeClock,
    make_approval,
    make_failure,
    make_outcome,
    make_prediction,
    make_project,
    make_release,
    make_settings,
)

PROJECT = "cars"
INPUTS = ("good", "bad", "same")


def delivered_project(**rollout: Any) -> Project:
    """A project whose canary takes 10, then 50 percent, and judges quality on 60 labels."""
    spec: dict[str, Any] = {"steps": (10, 50), "min_requests": 5, "min_labels": 60, "timeout_s": 3600.0}
    columns = tuple(Column(name=name, role="numeric") for name in INPUTS)
    project = make_project(name=PROJECT, data=DataSpec(source="cars.csv", target="price", columns=columns))
    gates = replace(project.gates, model=ModelGate(metric="mae", margin=0.02))
    return replace(project, gates=gates, rollout=RolloutSpec(**(spec | rollout)))


@dataclass(kw_only=True)
class Scene:
    """A project, its store and the models that its releases carry."""

    store: Store
    project: Project
    clock: FakeClock = field(default_factory=FakeClock)
    models: dict[str, Scorer] = field(default_factory=dict)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    @property
    def now(self) -> datetime:
        """The present moment; it moves a second each time it is asked for."""
        self.clock.advance(1)
        return self.clock.now()

    def approved(self, answers_with: str = "good") -> Release:
        """A release that may roll out; its model answers with one of its inputs."""
        release = self.store.releases.add(make_release(id=new_id(self.now), state="proposed"))
        self.models[release.id] = EchoModel(answers_with)
        delivery.move(self.store, release.id, "gates_passed")
        self.store.evidence.approve(make_approval(release))
        return delivery.move(self.store, release.id, "approve", "grace")

    def begin(self, release: Release) -> Rollout:
        """Begin and start, as the workflow does."""
        delivery.begin(self.store, self.project, release, self.now)
        rollout = delivery.start(self.store, release.id, self.now)
        delivery.move(self.store, release.id, "start_rollout", rollout.reason)
        return rollout

    def look(self, release: Release) -> Rollout:
        """Look once and apply what was seen."""
        return delivery.apply_look(
            self.store,
            self.project,
            delivery.look(self.store, self.project, release.id, self.models.__getitem__, self.now),
        )

    def live(self, answers_with: str = "good") -> Release:
        """A release that has gone all the way."""
        release = self.approved(answers_with)
        rollout = self.begin(release)
        while rollout.state == "canary":
            self.answered(release, self.project.rollout.min_requests)
            rollout = self.look(release)
        assert rollout.state == "promoted", rollout.reason
        return delivery.finish(self.store, release.id)

    def answered(
        self, release: Release, n_rows: int, *, labelled: bool = True, shadow: Release | None = None
    ) -> NDArray[np.float64]:
        """One request per row, answered by ``release``; the truth is ``good`` with a little noise. A shadow
        is asked the same, and answers with the input that it was made for."""
        truth = self.random.normal(100, 10, n_rows)
        made = []
        for row, value in enumerate(truth):
            moment = self.now
            columns = {
                "good": [float(value + self.random.normal())],
                "bad": [float(value + self.random.normal(0, 4))],
            }
            columns["same"] = columns["good"]
            made.append(
                make_prediction(
                    id=f"{release.id}-{moment.timestamp()}-{row}", release_id=release.id, n_rows=1, at=moment,
                    event_time=moment, columns=columns, outputs={"predict": columns["good"]},
                )
            )  # fmt: skip
        self.store.tables.append(predictions_table(PROJECT), prediction_rows(made, frozenset(INPUTS)))
        if shadow is not None:
            model = self.models[shadow.id]
            said = [
                replace(one, release_id=shadow.id, arm="shadow", outputs=_plain(model.score(_arrays(one))))
                for one in made
            ]
            self.store.tables.append(shadows_table(PROJECT), prediction_rows(said, frozenset(INPUTS)))
        if labelled:
            self.told({f"{p.id}:0": float(v) for p, v in zip(made, truth, strict=True)})
        return truth

    def told(self, labels: dict[str, float | str]) -> None:
        """Say what turned out to be true."""
        now = self.now
        rows = outcome_rows(
            [make_outcome(subject=s, value=v, at=now, observed_at=now) for s, v in labels.items()]
        )
        self.store.tables.append(outcomes_table(PROJECT), rows)

    def failed(self, release: Release, times: int) -> None:
        """Requests that ``release`` could not answer."""
        failures = [make_failure(release_id=release.id, at=self.now) for _ in range(times)]
        self.store.events.append(f"{PROJECT}/failures", [encode_failure(failure) for failure in failures])

    def wait(self, duration: timedelta) -> None:
        """Let time pass."""
        self.clock.advance(duration.total_seconds())

    def route(self) -> Route:
        """Who answers now."""
        route = self.store.rollouts.route(PROJECT)
        assert route is not None
        return route

    def states(self) -> dict[str, str]:
        """State of every release."""
        return {release.id: release.state for release in self.store.releases.list(PROJECT)}

    def everything(self, *releases: Release) -> list[Any]:
        """All that a delivery writes, to see whether a repeat changes anything."""
        store = self.store
        return [
            store.releases.list(PROJECT),
            store.rollouts.route(PROJECT),
            store.rollouts.find_active(PROJECT),
            [store.rollouts.get(release.id) for release in releases],
            [store.evidence.verdicts(release.id) for release in releases],
            [store.evidence.approvals(release.id) for release in releases],
        ]


def _arrays(prediction: Prediction) -> dict[str, Any]:
    return {name: np.array(values) for name, values in prediction.columns.items()}


def _plain(outputs: dict[str, Any]) -> dict[str, Any]:
    return {name: values.tolist() for name, values in outputs.items()}


def scene(home: Path, **rollout: Any) -> Scene:
    """A project that has no release yet."""
    clock = FakeClock()
    return Scene(
        store=open_store(make_settings(home), clock), project=delivered_project(**rollout), clock=clock
    )
