"""Parts of the population that training has never seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from headrace.checks.profiles import CategoricalProfile
from headrace.core.project import Trigger
from headrace.monitoring.newcomers import NAME, watch_newcomers
from headrace.monitoring.triggers import Standing, next_retraining, raise_alerts
from headrace.monitoring.watch import Round
from headrace.testing import START
from tests.monitoring.traffic import LIVE, Scene, answer, cars, day, named, price

Make = Callable[..., Scene]


def week(scene: Scene, number: int, n_rows: int, fuels: dict[str, int]) -> None:
    """Answers of a week; so many of the cars have another fuel."""
    columns = cars(scene.random, n_rows)
    fuel = columns["fuel"].astype(object)
    fuel[: sum(fuels.values())] = np.repeat(np.array(list(fuels), dtype=object), list(fuels.values()))
    listed = {name: values.tolist() for name, values in (columns | {"fuel": fuel}).items()}
    outputs = {"predict": price(columns).tolist()}
    scene.answered([answer(f"w{number}", at=day(7 * number), columns=listed, outputs=outputs)])


def look(scene: Scene) -> Round:
    """One round, kept."""
    found = watch_newcomers(scene.looking())
    scene.store.evidence.measure(found.measurements)
    return found


@pytest.mark.requirement("MON-40")
def test_a_part_of_the_population_that_training_never_saw_is_found_and_retrains(watched: Make) -> None:
    scene = watched()
    week(scene, 0, 500, {})
    week(scene, 1, 500, {"electric": 60, "diesl": 2})
    week(scene, 2, 500, {})
    found = look(scene)
    (finding,) = found.findings
    assert (finding.kind, finding.feature) == ("new_segment", "fuel: electric")
    assert finding.title == "fuel is 'electric' in 12% of the rows, and was in none of training"
    counted = {(m.feature, m.segment): m.value for m in named(found, NAME)}
    assert counted == {("fuel", "electric"): 60.0, ("fuel", "diesl"): 2.0}
    assert look(scene).measurements == []

    project = replace(scene.project, triggers=(Trigger(when="drift", do="automatic", min_labels=10),))
    alerts = raise_alerts(project, [finding], START, START)
    standing = Standing(
        release_id=LIVE, trained_until=None, n_new_labels=10, code_changed=None, event_time=day(30)
    )
    chosen = next_retraining(project, alerts, {finding.id: finding}, standing=standing, in_flight=False)
    assert chosen.alert == alerts[0]


@pytest.mark.requirement("MON-40")
def test_many_new_values_at_once_are_one_finding(watched: Make) -> None:
    scene = watched()
    week(scene, 0, 500, {})
    week(scene, 1, 500, {f"{number}.0": 60 + number for number in range(5)} | {"diesl": 2})
    week(scene, 2, 500, {})
    found = look(scene)
    (finding,) = found.findings
    assert (finding.kind, finding.feature) == ("new_segment", "fuel")
    assert finding.title == (
        "fuel has 5 values in 62% of the rows that were in none of training: '4.0', '3.0', '2.0', ..."
    )
    assert finding.evidence["categories"] == ["4.0", "3.0", "2.0", "1.0", "0.0"]
    assert len(named(found, NAME)) == 6, "each is counted all the same"


def test_known_categories_and_slips_of_the_pen_are_no_finding(watched: Make) -> None:
    scene = watched()
    week(scene, 0, 5000, {" petrol ": 300, "electirc": 3, "dieesl": 3})
    week(scene, 1, 10, {})
    found = look(scene)
    assert found.findings == []
    assert {m.segment for m in named(found, NAME)} == {"electirc", "dieesl"}


def test_after_a_small_training_set_it_may_have_been_missed_by_chance(watched: Make) -> None:
    scene = watched()
    few = CategoricalProfile(counts={"petrol": 1, "diesel": 1, "hybrid": 1}, n_missing=0)
    inputs = replace(scene.baselines[LIVE].inputs, features={"fuel": few})
    scene.baselines[LIVE] = replace(scene.baselines[LIVE], inputs=inputs)
    week(scene, 0, 500, {"electric": 20})
    week(scene, 1, 10, {})
    assert look(scene).findings == []
