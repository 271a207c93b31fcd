"""A canary in its workflow: the looks cut rows into the declared segments, as they are watched."""

from __future__ import annotations

import pytest

from tests.app.small import Site, cars

SEGMENTS = ("monitors: {window_s", "monitors: {segments: [diesel, year], window_s")
GUESS = ("trainer: listed", "trainer: guess")


@pytest.mark.requirement("DEP-02")
def test_a_look_compares_in_each_declared_segment(shared: Site) -> None:
    project = shared.project("by-segment", SEGMENTS, GUESS)
    first = project.released()
    project.write(SEGMENTS, ("min_labels: 0", "min_labels: 60"), rows=cars(500, seed=5))
    second = project.released()
    assert second.state == "rolling_out", second.reason
    project.answered(cars(300, seed=9), day=0, release=second.id, now=True)
    deadline_s = project.app.clock.monotonic_s() + 20
    while project.app.store.releases.get(second.id).state == "rolling_out":
        assert project.app.clock.monotonic_s() < deadline_s, project.app.store.rollouts.get(second.id).reason
        project.app.clock.sleep(0.05)
    assert project.app.store.releases.get(second.id).state == "live"
    kept = project.app.store.evidence.measurements("by-segment", name="canary_look", release_id=second.id)
    seen = kept[-1].detail["segments"]
    assert {one["column"] for one in seen} == {"diesel", "year"}
    names = {one["name"]: one for one in seen}
    assert names["0"]["n_labels"] + names["1"]["n_labels"] == 300
    assert names["0"]["difference"][0] < names["0"]["difference"][1] < 0, "it is better there"
    assert any(name.startswith("below ") for name in names), "cut at the quartiles of the live model's rows"
    assert first.id == project.app.store.rollouts.get(second.id).champion_id
