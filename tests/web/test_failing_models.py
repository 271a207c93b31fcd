"""A model that fails behind the API, asked at once, with a reason or later: told, and recorded as such."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from headrace.core.clock import SystemClock
from headrace.core.errors import ModelFailed
from headrace.store.records import decode_failure
from tests.web.conftest import Site

CAR = {"record": {"mileage": 12.5, "model": "a3"}}
PREDICT = "/api/v1/predict/cars"


class Failing:
    """Any model, that raises as long as ``error`` is set."""

    def __init__(self, model: Any, error: BaseException) -> None:
        self._model = model
        self.error: BaseException | None = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def score(self, columns: Any) -> Any:
        if self.error is not None:
            raise self.error
        return self._model.score(columns)

    def score_row(self, values: Any) -> Any:
        if self.error is not None:
            raise self.error
        return self._model.score_row(values)


@pytest.fixture(params=[ModelFailed("the model hung"), SystemExit(3)], ids=["hangs", "ends the process"])
def failing(own_site: Site, request: pytest.FixtureRequest) -> list[Failing]:
    """All models of ``cars`` on a site of its own."""
    models = own_site.server.parts.models
    made = []
    for release_id in (own_site.seeded.cars_live, own_site.seeded.canary):
        loaded = models.get(release_id)
        made.append(Failing(loaded.model, request.param))
        models._loaded[release_id] = replace(loaded, model=made[-1])
    return made


def _failures(site: Site) -> list[Any]:
    events = site.app.store.events
    return [
        decode_failure(record)
        for segment in events.segments("cars/failures")
        for record in events.read("cars/failures", segment.name, 0, 1 << 30)[0]
    ]


def test_at_once_with_a_reason_and_later(own_site: Site, failing: list[Failing]) -> None:
    site, known = own_site, len(_failures(own_site))
    for query in ("", "?explain=true"):
        answer = site.post(PREDICT + query, json=CAR)
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        last = _failures(site)[-1]
        assert f"it is recorded as failure {last.id}" in answer.json()["detail"]
        assert last.release_id in (site.seeded.cars_live, site.seeded.canary)
    assert len(_failures(site)) == known + 2
    path = site.post(f"{PREDICT}?mode=async", json=CAR).headers["location"]
    _until(site, lambda: site.get(path).json()["attempts"] > 0)
    assert site.get(path).json()["state"] == "pending", "it is tried again"
    assert _failures(site)[-1].request_id == path.rpartition("/")[2]
    for one in failing:
        one.error = None
    assert site.post(PREDICT, json=CAR).status_code == 200
    _until(site, lambda: site.get(path).json()["state"] == "done")
    assert site.get(path).json()["answer"]["predictions"]


def _until(site: Site, happened: Callable[[], bool]) -> None:
    for _ in range(1000):
        if happened():
            return
        SystemClock().sleep(0.02)
    raise AssertionError("it did not happen")
