"""A round reads the windows of which something has come, and finds what it would by reading all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import cast

import numpy as np
import pytest

from headrace.core.ids import derived_id
from headrace.core.ports import TableStore
from headrace.core.project import FairnessSpec, KpiSpec, MetricSpec, Project
from headrace.core.record import Finding, Outcome
from headrace.core.release import Measurement
from headrace.monitoring.coverage import watch_coverage
from headrace.monitoring.monitors import MEASURERS, MONITORS
from headrace.monitoring.places import Place, Places
from headrace.testing import START, make_feedback
from tests.monitoring.counting import CountingTables
from tests.monitoring.traffic import Scene, answer, cars, day, label, price, watched_project

Make = Callable[..., Scene]
N_ROWS = 120
READERS = ("performance", "estimates", "segments", "metrics", "fairness", "kpis")
"""Those that look at labels or feedback of each window, whenever more of them come."""


def project() -> Project:
    """All that can be measured by labels and feedback is declared."""
    base = watched_project()
    return replace(
        base,
        metrics=(MetricSpec(name="bias", max=150), MetricSpec(name="r2")),
        fairness=FairnessSpec(groups=("fuel",), favourable=25_000.0),
        kpis=(KpiSpec(name="conversion", event="bought"),),
    )


def week(scene: Scene, number: int) -> list[Outcome]:
    """Answers of a week; returns the labels that will come for them."""
    columns = cars(scene.random, N_ROWS)
    outputs = {"predict": price(columns).tolist()}
    listed = {name: values.tolist() for name, values in columns.items()}
    scene.answered([answer(f"w{number}", at=day(7 * number), columns=listed, outputs=outputs)])
    noise = scene.random.normal(400.0 * (number == 3), 1000, N_ROWS)
    return [
        label(f"w{number}:{row}", value + error, at=day(7 * number + 1))
        for row, (value, error) in enumerate(zip(outputs["predict"], noise, strict=True))
    ]


def bought(scene: Scene, number: int, rows: range) -> None:
    events = [
        make_feedback(
            id=derived_id("bought", str(number), str(row)), subject=f"w{number}:{row}", name="bought",
            value=None, happened_at=day(7 * number + 2),
        )
        for row in rows
    ]  # fmt: skip
    scene.reported(*events)


def read_by(scene: Scene, name: str) -> int:
    """Rows that one look of a monitor reads; nothing of it is kept."""
    counting = CountingTables(scene.store.tables)
    (MONITORS | MEASURERS)[name](replace(scene.looking(name), tables=cast(TableStore, counting)))
    return counting.n_rows


@pytest.fixture
def busy(watched: Make) -> Scene:
    """Ten weeks whose labels and feedback have come and were looked at; then a few came of the last one."""
    scene = watched(project())
    for number in range(10):
        scene.told(week(scene, number)[: 60 if number == 9 else N_ROWS])
        bought(scene, number, range(10))
    scene.watch()
    return scene


@pytest.mark.parametrize("name", READERS)
def test_only_windows_of_which_something_has_come_are_read(busy: Scene, name: str) -> None:
    counts = 60  # of windows and releases, instead of their rows
    assert read_by(busy, name) <= counts, "nothing has come since"
    busy.told([label("w9:70", 21_000.0, at=day(65))])
    bought(busy, 9, range(10, 12))
    assert read_by(busy, name) <= 2 * N_ROWS + counts
    busy.looked.clear()
    assert read_by(busy, name) > (100 if name == "kpis" else 9 * N_ROWS), (
        "another process reads all of it once"
    )


def test_a_project_that_is_declared_anew_or_a_label_of_long_ago_is_looked_at(busy: Scene) -> None:
    before = busy.look()
    assert not before.findings
    busy.told([label("w2:5", 99_000.0, at=day(66), kind="correction")])
    found = busy.watch()
    loss = [m for m in found.measurements if m.name == "mae"]
    assert [m.window and m.window[0] for m in loss] == [START + timedelta(days=14)]
    assert not [m for m in busy.watch().measurements if m.name == "mae"]


def _new(scene: Scene) -> tuple[dict[str, Measurement], dict[str, Finding]]:
    """What one round adds to what was kept."""
    known = {m.id for m in scene.store.evidence.measurements(scene.project.name)}
    found = scene.watch()
    measured = {one.id: one for one in found.measurements if one.id not in known}
    return measured, {one.id: one for one in found.findings if scene.store.findings.add(one)}


@pytest.mark.parametrize(("seed", "min_rows"), [(0, 10), (1, 30), (2, 30)])
def test_whatever_comes_when_the_same_is_measured_and_found_as_by_reading_all(
    watched: Make, seed: int, min_rows: int
) -> None:
    declared = project()
    declared = replace(declared, monitors=replace(declared.monitors, min_rows=min_rows))
    one, other = (watched(declared, seed=seed) for _ in range(2))
    other.remembers = False
    coming = np.random.default_rng(seed)
    waiting: list[Outcome] = []
    n_measured = n_found = 0
    for number in range(7):
        labels = [week(scene, number) for scene in (one, other)]
        assert labels[0] == labels[1]
        waiting += labels[0]
        chosen = coming.random(len(waiting)) < coming.choice([0.0, 0.3, 0.9])
        told = [outcome for outcome, comes in zip(waiting, chosen, strict=True) if comes]
        waiting = [outcome for outcome, comes in zip(waiting, chosen, strict=True) if not comes]
        if number == 5:
            told.append(label("w1:3", 60_000.0, at=day(40), kind="correction"))
        n_bought, about = int(coming.integers(0, 20)), int(coming.integers(0, number + 1))
        for scene in (one, other):
            scene.told(told or [label("never-asked", 1.0, at=day(7 * number))])
            bought(scene, about, range(n_bought))
            scene.clock.advance(86_400)
        rounds = [_new(scene) for scene in (one, other)]
        assert rounds[0] == rounds[1]
        n_measured += len(rounds[0][0])
        n_found += len(rounds[0][1])
    assert n_measured > 100
    assert one.looked["performance"]
    assert not other.looked


def test_coverage_reads_the_windows_that_are_due_and_those_they_are_compared_with(watched: Make) -> None:
    scene = watched()
    many = 16
    for number in range(many):
        scene.told(week(scene, number)[:90])
    scene.close(7 * many)
    counting = CountingTables(scene.store.tables)
    found = watch_coverage(replace(scene.looking(), tables=cast(TableStore, counting)))
    scene.store.evidence.measure(found.measurements)
    all_windows, counting.n_rows = counting.n_rows, 0
    assert watch_coverage(replace(scene.looking(), tables=cast(TableStore, counting))).measurements == []
    nothing, counting.n_rows = counting.n_rows, 0
    scene.told(week(scene, many)[:90])
    scene.close(7 * many + 7)
    due = watch_coverage(replace(scene.looking(), tables=cast(TableStore, counting)))
    assert len(due.measurements) == 3
    n_segments, one_more = 1 + 3, 2  # all rows, and by fuel; a window more is listed as closed
    assert nothing < counting.n_rows - nothing <= (8 + 4) * n_segments + one_more < all_windows - nothing


def test_windows_are_chosen_by_release_and_number() -> None:
    places = Places(chosen=[Place("r1", 3), Place("r2", -1)], window_s=60, origin=START)
    assert places.parameters == [START.timestamp(), 60, ["r1", "r2"], [3, -1]]
    assert places.condition("p").startswith("(p.release_id, cast(floor((epoch(p.event_time)")
