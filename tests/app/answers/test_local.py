from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import headrace
from headrace.app.answers.local import LocalModel, load
from headrace.app.composition import App, open_app
from headrace.app.workflows import launch
from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.core.settings import Settings
from headrace.store.records import decode_prediction, decode_refusal
from headrace.testing.factories import make_settings
from tests.web.making import AUTHOR
from tests.web.seed import seed

CAR: dict[str, Any] = {"mileage": 1.0, "model": "a3"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = make_settings(tmp_path_factory.mktemp("local") / "home", user=AUTHOR)
    with open_app(made) as app, launch(app, role="server"):
        seed(app)
    return made


@pytest.fixture
def model(settings: Settings) -> Iterator[LocalModel]:
    with load("cars@live", settings=settings) as made:
        yield made


def _logged(settings: Settings) -> list[Any]:
    with open_app(settings) as app:
        return [
            decode_prediction(record)
            for segment in app.store.events.segments("cars/predictions")
            for record in app.store.events.read("cars/predictions", segment.name, 0, 1 << 30)[0]
        ]


FRAMES: dict[str, Callable[[], Any]] = {
    "mapping": lambda: {"mileage": [1.0, None], "model": ["a3", None]},
    "arrays": lambda: {"mileage": np.array([1.0, np.nan]), "model": np.array(["a3", None], dtype=object)},
    "pandas": lambda: pd.DataFrame({"model": ["a3", None], "mileage": [1.0, np.nan]}),
    "nullable": lambda: pd.DataFrame({"model": ["a3", None], "mileage": pd.array([1, None], dtype="Int64")}),
    "arrow": lambda: pa.table({"mileage": [1.0, None], "model": ["a3", None]}),
}


@pytest.mark.requirement("DEP-08", "SRV-08")
@pytest.mark.parametrize("kind", FRAMES)
def test_a_table_of_any_kind_is_answered_and_recorded(
    settings: Settings, model: LocalModel, kind: str
) -> None:
    answer = model.predict(FRAMES[kind](), keys=["car-1", "car-2"])
    assert answer.outputs["predict"][0] == 1.0
    (logged,) = [one for one in _logged(settings) if one.id == answer.id]
    assert logged == answer
    assert (logged.principal, logged.keys) == (AUTHOR, ["car-1", "car-2"])
    assert logged.columns == {"mileage": [1.0, None], "model": ["a3", None]}
    assert logged.infer_ms > 0


def test_polars_frames(model: LocalModel) -> None:
    polars = pytest.importorskip("polars", reason="Polars is not a dependency")
    answer = model.predict(polars.DataFrame({"mileage": [1.0], "model": ["a3"]}))
    assert answer.outputs["predict"] == [1.0]


def test_a_model_says_what_it_expects(model: LocalModel) -> None:
    assert model.inputs == {"mileage": "number", "model": "text"}


def test_one_version_or_what_is_live(settings: Settings) -> None:
    for reference, version in (("cars@1", "1"), ("cars@2", "2")):
        with load(reference, settings=settings) as model, open_app(settings) as app:
            answer = model.predict({name: [value] for name, value in CAR.items()})
            release = app.store.releases.get(answer.release_id)
            assert release.manifest.subject.ref == f"model:cars@{version}"
    with load("cars", settings=settings) as model:
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        answer = model.predict({name: [value] for name, value in CAR.items()}, key="a", event_time=moment)
        assert (answer.arm, answer.event_time) in {("live", moment), ("canary", moment)}


def test_the_top_name_is_the_same(settings: Settings) -> None:
    assert headrace.load is load


@pytest.mark.requirement("SRV-05")
@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"mileage": [1.0]}, "'model' is missing"),
        ({"mileage": [1.0], "model": ["a3"], "colour": ["red"]}, "no input 'colour'"),
        ({"mileage": ["many"], "model": ["a3"]}, "row 0: got 'many'"),
        ({"mileage": [np.inf], "model": ["a3"]}, "row 0: got inf"),
        ({"mileage": [1.0, 2.0], "model": ["a3"]}, "differ in length"),
        ({"mileage": [1.0], "model": ["\ud800"]}, "UTF-8 has no form for"),
        ({"mileage": [], "model": []}, "no rows"),
        ({"mileage": np.zeros(100_001), "model": ["a3"] * 100_001}, "Expected at most 100000"),
        (7, "cannot be read as a table"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(model: LocalModel, frame: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        model.predict(frame)


@pytest.mark.parametrize("reference", ["", "@live", "cars@", "cars@1@2"])
def test_what_names_no_model(settings: Settings, reference: str) -> None:
    with pytest.raises(InvalidInput, match="Expected PROJECT@live or PROJECT@VERSION"):
        load(reference, settings=settings)


def test_what_does_not_answer_is_refused_when_it_is_loaded(settings: Settings) -> None:
    with pytest.raises(NotFound, match="Version '9' of 'cars' does not answer now"):
        load("cars@9", settings=settings)
    with pytest.raises(NotFound, match="No release of 'tsa-passengers' is live"):
        load("tsa-passengers@live", settings=settings)


def test_the_local_identity_must_be_allowed_to(settings: Settings) -> None:
    seen = Settings(**{**vars(settings), "user": "vera"})
    with load("cars@live", settings=seen) as model, pytest.raises(Denied, match="may not predict"):
        model.predict({name: [value] for name, value in CAR.items()})


def test_it_works_from_threads_and_inside_an_event_loop(model: LocalModel) -> None:
    row = {name: [value] for name, value in CAR.items()}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: model.predict(row), range(20)))
    assert len({answer.id for answer in answers}) == 20

    async def asked() -> Any:
        return model.predict(row).outputs["predict"]

    assert asyncio.run(asked()) == [1.0]


def test_a_closed_model_says_so(settings: Settings) -> None:
    model = load("cars@live", settings=settings)
    model.close()
    model.close()
    with pytest.raises(InvalidInput, match="has been closed"):
        model.predict({name: [value] for name, value in CAR.items()})


def test_it_follows_the_route(settings: Settings, model: LocalModel) -> None:
    row = {name: [value] for name, value in CAR.items()}
    with open_app(settings) as app:
        route = app.store.rollouts.route("cars")
        assert route is not None
        before = model.predict(row, key="somebody").release_id
        assert before in {route.live, route.canary}
        _settle_on(app, model, row, str(route.live))


def _settle_on(app: App, model: LocalModel, row: Any, live: str) -> None:
    for _ in range(40):
        if model.predict(row).release_id == live:
            return
        app.clock.sleep(0.05)
    raise AssertionError("The live release never answered.")


def test_nothing_is_left_open_when_it_cannot_be_loaded(tmp_path: Path) -> None:
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(NotFound):
            load("cars@live", settings=make_settings(tmp_path / "home", user="ada"))
    assert threading.active_count() <= before + 1


def test_requests_that_were_refused_are_all_counted_when_it_is_closed(settings: Settings) -> None:
    with load("cars@live", settings=settings) as model:
        for _ in range(5):
            with pytest.raises(InvalidInput):
                model.predict({"Mileage": [1.0], "model": ["a3"]})
    with open_app(settings) as app:
        kept = [
            decode_refusal(record)
            for segment in app.store.events.segments("cars/refusals")
            for record in app.store.events.read("cars/refusals", segment.name, 0, 1 << 30)[0]
        ]
    assert sum(one.n for one in kept if one.unknown == ("Mileage",)) == 5
