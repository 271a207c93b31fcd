"""A small world in which requests are answered: models without training, routes and events in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headrace.access.privacy.fields import FieldRules
from headrace.checks.profiles import Profile
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.ports import Columns
from headrace.core.project import Column
from headrace.core.record import Failure, Prediction
from headrace.core.release import Rollout, Route, Share, Split
from headrace.data.encoding import Encoding
from headrace.serving.asgi import InferenceApp
from headrace.serving.distributions import Distributions, Reference
from headrace.serving.handler import Handler
from headrace.serving.models import LoadedModels
from headrace.serving.recorder import Recorder
from headrace.serving.routes import RouteTable
from headrace.serving.shadows import Shadows
from headrace.store.records import decode_failure, decode_prediction
from headrace.testing.factories import make_project
from headrace.testing.memory import MemoryEvents
from tests.access.people import Door

TRAINED = {
    "mileage": np.array([10.0, 20.0, 30.0]),
    "model": np.array(["a3", "a4", "a3"], dtype=object),
    "leased": np.array([True, False, True]),
}
COLUMNS = [
    Column(name="mileage", role="numeric"),
    Column(name="model", role="categorical"),
    Column(name="leased", role="categorical"),
]
ENCODING = Encoding.fit(TRAINED, COLUMNS)
ROW: dict[str, list[Any]] = {"mileage": [12.5], "model": ["a4"], "leased": [True]}
ROWS: dict[str, list[Any]] = {
    "mileage": [1, None, 3.5],
    "model": ["a3", None, "tt"],
    "leased": [None, True, False],
}


class Spec(NamedTuple):
    """One input that a model expects."""

    name: str
    kind: str
    required: bool = True


class StubModel:
    """Answers ``bias`` plus the mileage (0 where it is missing), or raises ``error``."""

    task = "regression"
    inline = True
    classes: tuple[str | float | bool, ...] | None = None
    outputs: tuple[str, ...] = ("predict",)
    encoding = ENCODING
    inputs: Sequence[Spec] = (Spec("mileage", "number"), Spec("model", "text"), Spec("leased", "boolean"))

    def __init__(self, bias: float = 0.0, error: Exception | None = None) -> None:
        self.bias = bias
        self.error = error

    def score(self, columns: Columns) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        return {"predict": np.nan_to_num(columns["mileage"]) + self.bias}

    def score_row(self, values: Sequence[Any]) -> Mapping[str, Any]:
        row = {item.name: np.array([value]) for item, value in zip(self.inputs, values, strict=True)}
        return {name: column.tolist()[0] for name, column in self.score(row).items()}

    def complete(self, columns: Columns) -> Columns:
        return columns


class Classifier(StubModel):
    """Two or three classes; the more miles, the later the class."""

    task = "classification"
    outputs = ("predict", "probability")

    def __init__(self, *classes: str) -> None:
        super().__init__()
        self.classes = classes

    def score(self, columns: Columns) -> dict[str, Any]:
        assert self.classes is not None
        share = np.clip(np.nan_to_num(columns["mileage"]) / 100.0, 0.0, 1.0)
        rest = (1.0 - share) / (len(self.classes) - 1)
        probability = np.column_stack([*([rest] * (len(self.classes) - 1)), share])
        labels = np.array(self.classes, dtype=object)
        return {"predict": labels[probability.argmax(axis=1)], "probability": probability}


class Numeric(StubModel):
    """Two numbers: answers the first plus a thousandth of the second, so that their order shows."""

    encoding = Encoding.fit(
        {"mileage": np.array([1.0, 2.0]), "year": np.array([2015.0, 2017.0])},
        [Column(name="mileage", role="numeric"), Column(name="year", role="numeric")],
    )
    inputs: Sequence[Spec] = (Spec("mileage", "number"), Spec("year", "number"))

    def score(self, columns: Columns) -> dict[str, Any]:
        return {"predict": super().score(columns)["predict"] + np.nan_to_num(columns["year"]) / 1000.0}


class Forecaster(StubModel):
    """Needs a moment only, and computes its other input from it."""

    task = "forecasting"
    encoding = Encoding.fit({"lag_7": np.array([1.0, 2.0])}, [Column(name="lag_7", role="numeric")])
    inputs = (Spec("date", "time"), Spec("lag_7", "number", required=False))

    def complete(self, columns: Columns) -> Columns:
        if np.isnat(columns["date"]).any():
            raise InvalidInput("A forecast needs the moment that it is for.")
        lag = columns.get("lag_7", np.full(len(columns["date"]), np.nan))
        return {**columns, "lag_7": np.where(np.isnan(lag), 5.0, lag)}

    def score(self, columns: Columns) -> dict[str, Any]:
        return {"predict": columns["lag_7"] * 2.0}


class MemoryRollouts:
    """Implements the part of ``RolloutStore`` that serving reads."""

    def __init__(self, *routes: Route) -> None:
        self.known = list(routes)
        self.error: Exception | None = None

    def routes(self) -> list[Route]:
        if self.error is not None:
            raise self.error
        return list(self.known)

    def route(self, project: str) -> Route | None:
        return next((route for route in self.known if route.project == project), None)

    def set_route(self, route: Route) -> Route:
        self.known = [*(known for known in self.known if known.project != route.project), route]
        return route

    def save(self, rollout: Rollout, route: Route | None = None) -> None:
        raise NotImplementedError

    def get(self, release_id: str) -> Rollout:
        raise NotImplementedError

    def find_active(self, project: str) -> Rollout | None:
        return None


class Shelf:
    """Loads models by release id; counts how often."""

    def __init__(self, models: dict[str, StubModel]) -> None:
        self.models = models
        self.loaded: list[str] = []
        self.before: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def load(self, release_id: str) -> StubModel:
        with self._lock:
            self.loaded.append(release_id)
        self.before()
        if release_id not in self.models:
            raise InvalidInput("The package is damaged.")
        return self.models[release_id]


class Scene:
    """A project ``cars`` with a live release ``r1`` and a canary ``r2`` that is a shadow as yet."""

    def __init__(
        self,
        keys: Path,
        *,
        live: StubModel | None = None,
        canary: StubModel | None = None,
        refreshed: bool = True,
    ) -> None:
        self.door = Door(keys)
        self.clock = self.door.clock
        self.rollouts = MemoryRollouts(Route(project="cars", live="r1", canary="r2" if canary else None))
        self.shelf = Shelf({"r1": live or StubModel()} | ({"r2": canary} if canary else {}))
        self.events = MemoryEvents()
        self.routes = RouteTable(self.rollouts, self.clock)
        self.models = LoadedModels(
            self.shelf.load, self.clock, version_of=lambda release_id: release_id.removeprefix("r")
        )
        self.recorder = Recorder(self.events, self.clock)
        self.project = make_project()
        self.shadows = Shadows(self.models, self.events, self.clock, self.rules_of)
        profile = Profile.fit(TRAINED, COLUMNS).features
        reference = Reference(profile, profile["mileage"])
        self.distributions = Distributions(lambda _: reference, self.models)
        self.handler = Handler(
            self.routes,
            self.models,
            self.recorder,
            self.clock,
            self.door.gatekeeper,
            self.rules_of,
            shadows=self.shadows,
            distributions=self.distributions,
        )
        self.app = InferenceApp(self.handler, self.door.gatekeeper, max_body_bytes=200_000)
        self.caller = self.person("caller", "operator")
        if refreshed:
            self.refresh()

    def rules_of(self, _project: str) -> FieldRules:
        return FieldRules(self.project, b"key")

    def close(self) -> None:
        self.shadows.close()
        self.recorder.close()

    def person(self, name: str, *roles: str) -> Principal:
        return self.door.gatekeeper.authenticate(self.door.enter(name, *roles))

    def refresh(self) -> None:
        self.routes.refresh()
        self.models.keep(self.routes.release_ids())

    def weigh(self, weight: float) -> None:
        self.rollouts.set_route(Route(project="cars", live="r1", canary="r2", canary_weight=weight))
        self.refresh()

    def split(self, share: float) -> None:
        """Let ``r2`` answer ``share`` of the traffic as the arm ``b`` of an A/B test, ``r1`` the rest."""
        arms = (
            Share(name="a", release_id="r1", share=1 - share),
            Share(name="b", release_id="r2", share=share),
        )
        split = Split(arms=arms, since=self.clock.now())
        self.rollouts.set_route(Route(project="cars", live="r1", split=split))
        self.refresh()

    def predictions(self) -> list[Prediction]:
        return [decode_prediction(record) for record in self._records("cars/predictions")]

    def said_in_shadow(self) -> list[Prediction]:
        return [decode_prediction(record) for record in self._records("cars/shadows")]

    def failures(self) -> list[Failure]:
        return [decode_failure(record) for record in self._records("cars/failures")]

    def _records(self, stream: str) -> list[bytes]:
        return [
            record
            for segment in self.events.segments(stream)
            for record in self.events.read(stream, segment.name, 0, 1_000_000)[0]
        ]
