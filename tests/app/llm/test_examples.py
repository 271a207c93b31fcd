"""The rows on which a candidate and the live release differ most, for whoever decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.app.llm.examples import Examples, examples
from headrace.core.errors import Denied
from headrace.core.release import Release
from tests.app.small import VALIDATOR, Site, Small, cars

MANUAL = ("approval: automatic", "approval: manual")
OTHER = ("trainer: listed", "trainer: guess")
HASHED = ("{basis: not_personal}", "{basis: contract, fields: {diesel: hash, mileage: keep}}")


def waiting(shared: Site, name: str, *changes: tuple[str, str]) -> tuple[Small, Release]:
    """A live release that answers with one column, and a candidate that answers with another."""
    project = shared.project(name, *changes)
    assert project.released().state == "live"
    project.write(MANUAL, OTHER, *changes, rows=cars(600, seed=3))
    release = project.app.store.releases.get(project.build()["release_id"])
    return project, release


def seen(project: Small, release: Release) -> Examples:
    found = examples(project.app, project.app.identities.resolve(VALIDATOR), release.id)
    assert found is not None
    return found


def live_of(project: Small) -> str:
    route = project.route()
    assert route is not None
    return route.live


def test_test_rows_are_asked_of_both_and_the_furthest_come_first(shared: Site) -> None:
    project, release = waiting(shared, "apart")
    found = seen(project, release)
    assert (found.source, found.problem) == ("test rows", "")
    assert found.digest == release.digest
    assert found.n_rows == found.n_apart == 180
    assert len(found.rows) == 8
    for one in found.rows:
        assert one.candidate == pytest.approx(one.inputs["guess"], rel=1e-5)
        assert one.live == pytest.approx(one.inputs["listed"], rel=1e-5)
        assert one.apart == pytest.approx(abs(one.candidate - one.live))
        assert abs(one.truth - one.live) < 2_000
    gaps = [one.apart for one in found.rows]
    assert gaps == sorted(gaps, reverse=True)
    everywhere = np.abs(np.array(cars(600, seed=3)["guess"]) - cars(600, seed=3)["listed"])
    assert gaps[0] > np.quantile(everywhere, 0.98)


def test_recent_answers_come_before_test_rows_and_reading_them_is_on_record(shared: Site) -> None:
    project, release = waiting(shared, "recent")
    rows: dict[str, list[Any]] = cars(5, seed=8)
    project.answered(rows, day=0, release=live_of(project), labelled=False)
    found = seen(project, release)
    assert (found.source, found.n_rows, len(found.rows)) == ("recent answers", 5, 5)
    furthest = int(np.argmax(np.abs(np.array(rows["guess"]) - rows["listed"])))
    assert found.rows[0].inputs["year"] == rows["year"][furthest]
    assert found.rows[0].truth is None
    entries = project.app.store.audit.list(limit=100_000)
    read = [one for one in entries if one.action == "data.read" and one.resource == "project:recent"]
    assert read[-1].actor == VALIDATOR
    assert read[-1].detail["release"] == release.id


def test_what_is_not_recorded_as_it_comes_is_not_shown(shared: Site) -> None:
    project, release = waiting(shared, "withheld", HASHED)
    project.answered(cars(5, seed=8), day=0, release=live_of(project), labelled=False)
    found = seen(project, release)
    assert found.source == "test rows", "what is recorded cannot be asked again"
    assert found.withheld == ("diesel",)
    assert all("diesel" not in one.inputs for one in found.rows)


def test_nobody_sees_rows_without_the_right_and_a_first_release_has_none(shared: Site) -> None:
    project = shared.project("first-seen", MANUAL)
    release = project.app.store.releases.get(project.build()["release_id"])
    assert examples(project.app, project.app.identities.resolve(VALIDATOR), release.id) is None
    project.app.identities.add("looker", ["viewer"], actor="ada")
    with pytest.raises(Denied):
        examples(project.app, project.app.identities.resolve("looker"), release.id)
