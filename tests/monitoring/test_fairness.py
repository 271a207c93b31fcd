"""Groups of people in live answers: who gets the favourable outcome, and who wrongly does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from headrace.checks.drift import Profile
from headrace.core.project import FairnessSpec, Gates, ModelGate
from headrace.core.record import Outcome
from headrace.monitoring.baseline import Baseline
from headrace.monitoring.fairness import NAME, watch_fairness
from headrace.monitoring.watch import Round
from tests.monitoring.traffic import INPUTS, Scene, answer, cars, day, label, named, watched_project

Make = Callable[..., Scene]
GRANT = FairnessSpec(groups=("fuel", "postcode"), favourable="granted", max_difference=0.1)


def lending(watched: Make) -> Scene:
    """A classifier that grants loans; the fuel of the car stands for a group of people."""
    base = watched_project()
    gates = Gates(data=base.gates.data, model=ModelGate(metric="error_rate"))
    scene = watched(replace(base, task="classification", gates=gates, fairness=GRANT))
    columns = cars(scene.random, 500)
    said = np.array(["granted", "denied"], dtype=object)[scene.random.integers(0, 2, 500)]
    scene.baselines["live"] = Baseline(
        inputs=Profile.fit(columns, INPUTS), outputs=scene.baselines["live"].outputs, metric="error_rate",
        loss=0.5, losses=scene.random.integers(0, 2, 500).astype(float), trained_until=None, n_labels=500,
        residuals=np.zeros(0), classes=("denied", "granted"),
    )  # fmt: skip
    assert set(said) == {"granted", "denied"}
    return scene


def asked(scene: Scene, rate: dict[str, float], *, n_rows: int = 600, week: int = 0) -> list[Outcome]:
    """A week of answers, each group granted at its own rate; half of all deserve it."""
    columns = cars(scene.random, n_rows)
    granted = scene.random.random(n_rows) < np.array([rate[fuel] for fuel in columns["fuel"]])
    said = ["granted" if one else "denied" for one in granted]
    name = f"week-{week}"
    scene.answered(
        [
            answer(
                name,
                at=day(7 * week),
                columns={key: values.tolist() for key, values in columns.items()},
                outputs={"predict": said},
            ),
            answer(
                f"after-{week}",
                at=day(7 * week + 8),
                columns={"mileage": [1.0]},
                outputs={"predict": ["denied"]},
            ),
        ]
    )
    true = scene.random.random(n_rows) < 0.5
    return [label(f"{name}:{row}", "granted" if one else "denied") for row, one in enumerate(true)]


def kept(scene: Scene) -> Round:
    found = watch_fairness(scene.looking())
    scene.store.evidence.measure(found.measurements)
    return found


@pytest.mark.requirement("MON-23")
@pytest.mark.requirement("MON-39")
def test_a_group_that_is_denied_more_often_is_found_with_its_size(watched: Make) -> None:
    scene = lending(watched)
    asked(scene, {"diesel": 0.7, "hybrid": 0.7, "petrol": 0.4})
    found = kept(scene)
    rates = {m.segment: m for m in named(found, "selection_rate")}
    assert rates["petrol"].value == pytest.approx(0.4, abs=0.1)
    assert all(m.interval is not None and m.feature == "fuel" for m in rates.values())
    (denials,) = named(found, "denial_rate")
    assert denials.value == pytest.approx(0.4, abs=0.06)
    (finding,) = found.findings
    assert (finding.kind, finding.evidence["lowest"]) == ("fairness", "petrol")
    assert finding.size == finding.evidence["difference"] >= 0.1
    (mark,) = named(found, NAME)
    assert mark.detail["unwatched"] == ["postcode"]
    assert not kept(scene).measurements  # a round again adds nothing


def test_wrong_denials_are_found_once_labels_come(watched: Make) -> None:
    scene = lending(watched)
    labels = asked(scene, {"diesel": 0.7, "hybrid": 0.7, "petrol": 0.4})
    kept(scene)
    scene.told(labels)
    found = kept(scene)
    missed = {m.segment: m.value for m in named(found, "false_negative_rate")}
    assert missed["petrol"] == pytest.approx(0.6, abs=0.12)
    assert {f.evidence["rate"] for f in found.findings} == {"false_positive_rate", "false_negative_rate"}
    assert not kept(scene).measurements


@pytest.mark.parametrize(
    ("rates", "n_rows"), [((0.5, 0.5, 0.5), 600), ((0.52, 0.5, 0.48), 20_000), ((0.9, 0.5, 0.1), 24)]
)
def test_equal_groups_small_gaps_and_few_rows_are_no_finding(
    watched: Make, rates: tuple[float, ...], n_rows: int
) -> None:
    scene = lending(watched)
    asked(scene, dict(zip(("diesel", "hybrid", "petrol"), rates, strict=True)), n_rows=n_rows)
    found = kept(scene)
    assert len(named(found, "selection_rate")) == 3
    assert not found.findings
