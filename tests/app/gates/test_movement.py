"""Each candidate says whether the data moved before its training, and the model after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headrace.app.gates.movement import movement
from headrace.core.errors import Conflict
from headrace.core.project import DataGate, Gates, ModelGate
from headrace.core.release import Verdict
from headrace.testing.factories import make_project
from tests.app.small import Site, Small, cars


def built(project: Small, rows: dict[str, list[Any]], *changes: tuple[str, str]) -> dict[str, Verdict]:
    """The verdicts on another build of the project, of other rows."""
    project.write(*changes, rows=rows)
    project.build()
    return project.verdicts(project.releases()[0])


@pytest.mark.requirement("GAT-11", "DAT-07")
def test_both_answers_are_verdicts_on_the_candidate(shared: Site) -> None:
    project = shared.project("moved-cars")
    first = project.verdicts(project.released())
    assert not {"data_drift", "movement"} & set(first), "there was no table before, and nothing was live"
    rows = cars(600, seed=7, newer_by=2)
    found = built(project, rows)
    drift, moved = found["data_drift"], found["movement"]
    assert drift.outcome == "passed", "rows that have moved are what a retraining is for"
    assert drift.reason.startswith("'year' has shifted by")
    assert drift.reason.endswith("compared with the rows of the live release model:moved-cars@1")
    assert drift.evidence["changes"][0]["column"] == "year"
    assert moved.outcome == "passed"
    assert moved.reason.endswith("no limit is declared")
    assert moved.evidence["rows"] == 180
    assert set(moved.evidence["segments"]) == {"diesel: 0", "diesel: 1"}


@pytest.mark.requirement("DAT-07")
def test_a_column_of_another_unit_is_a_doubt_for_a_person(shared: Site) -> None:
    project = shared.project("metre-cars", rows=cars(1000))
    project.released()
    rows = cars(400, seed=8)
    rows["mileage"] = [1000 * value for value in rows["mileage"]]
    drift = built(project, rows)["data_drift"]
    assert drift.outcome == "inconclusive", drift.evidence
    assert "'mileage' is 1" in drift.reason
    assert "another unit?" in drift.reason


@pytest.mark.requirement("GAT-11")
def test_a_model_that_moved_beyond_its_limit_fails(shared: Site) -> None:
    project = shared.project("steady-cars")
    project.released()
    limit = ("metric: mae", "metric: mae, max_moved: 0.01")
    other = ("trainer: listed", "trainer: guess")
    moved = built(project, cars(400, seed=9), limit, other)["movement"]
    assert moved.outcome == "failed"
    assert moved.reason.endswith("beyond the limit 0.01")
    assert moved.evidence["size"] > 0.01


@pytest.mark.requirement("DAT-16")
def test_the_rows_are_compared_with_what_production_sends(shared: Site) -> None:
    project = shared.project("sampled-cars")
    live = project.released()
    sent = cars(300, seed=10)
    sent["mileage"] = [value / 1000 for value in sent["mileage"]]
    project.answered(sent, day=1, release=live.id, labelled=False)
    sample = built(project, cars(400, seed=11))["live_sample"]
    assert sample.outcome == "passed", "it is reported, and stops nothing"
    assert sample.reason.startswith("reported, not judged: 'mileage' is 0.000")
    assert sample.evidence["live rows"] == 300
    assert [one["column"] for one in sample.evidence["changes"]] == ["mileage"]


class Live:
    """The scorers of an app whose live release answers so, or fails so."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers

    def of_release(self, release_id: str) -> Live:
        assert release_id == "r1"
        return self

    def score(self, columns: Any) -> dict[str, Any]:
        assert columns == {}
        if isinstance(self._answers, Exception):
            raise self._answers
        return {"predict": np.array(self._answers)}

    def baseline(self, release_id: str) -> Any:
        raise AssertionError(f"the segments of {release_id} are not needed")


def judged(shared: Site, answers: list[float], live: Any, *, limit: float | None = 0.1) -> Verdict:
    project = make_project(gates=Gates(data=DataGate(), model=ModelGate(metric="mae", max_moved=limit)))
    app = replace(shared.app, scorers=Live(live))  # type: ignore[arg-type]
    return movement(app, project, "subject", {}, np.array(answers), "r1")


@pytest.mark.requirement("GAT-11")
@pytest.mark.parametrize(("limit", "outcome"), [(0.1, "inconclusive"), (None, "passed")])
def test_a_live_package_that_is_not_what_was_signed_does_not_stop_the_build(
    shared: Site, limit: float | None, outcome: str
) -> None:
    found = judged(shared, [1.0, 2.0], Conflict("The package is not what was signed."), limit=limit)
    assert found.outcome == outcome
    assert "is not what was signed" in found.reason


@pytest.mark.requirement("GAT-11")
@pytest.mark.parametrize("limit", [0.1, None])
@pytest.mark.parametrize(
    ("new", "live", "counts"),
    [
        ([1.0, np.nan, 3.0], [1.0, 2.0, 3.0], {"candidate": 1, "live": 0}),
        ([1.0, 2.0, 3.0], [np.nan, 2.0, -np.inf], {"candidate": 0, "live": 2}),
        ([np.inf, 2.0, 3.0], [np.inf, 2.0, 3.0], {"candidate": 1, "live": 1}),
    ],
)
def test_answers_that_are_not_finite_are_a_doubt_and_are_counted(
    shared: Site, new: list[float], live: list[float], counts: dict[str, int], limit: float | None
) -> None:
    found = judged(shared, new, live, limit=limit)
    assert (found.outcome, found.evidence["not_finite"]) == ("inconclusive", counts)
    shared.app.store.evidence.add_verdict(found)  # a record holds no NaN
