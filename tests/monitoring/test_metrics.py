"""Declared metrics on live answers whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from headrace.checks.packs import Measured, Scored
from headrace.core.errors import UserCodeError
from headrace.core.project import MetricSpec, Project
from headrace.monitoring.metrics import NAME, watch_metrics
from tests.monitoring.traffic import Scene, label, named, watched_project

Make = Callable[..., Scene]


def declared(*metrics: MetricSpec) -> Project:
    return replace(watched_project(), metrics=metrics)


def labelled(scene: Scene, *, off: float, days: Sequence[int] = range(7)) -> None:
    answers = scene.traffic(days, 20)
    errors = scene.random.normal(off, 50, len(answers))
    scene.told(
        label(subject, value - error) for (subject, value), error in zip(answers.items(), errors, strict=True)
    )
    scene.close(max(days) // 7 * 7 + 7)


@pytest.mark.requirement("EVA-10")
def test_a_metric_of_the_gate_is_measured_live_and_found_beyond_its_limit(watched: Make) -> None:
    scene = watched(
        declared(MetricSpec(name="bias", unit="EUR", max=100, business=True), MetricSpec(name="r2"))
    )
    labelled(scene, off=200.0)
    found = scene.watch()
    bias, r2 = named(found, NAME)
    assert (bias.feature, r2.feature) == ("bias", "r2")
    assert bias.value == pytest.approx(200, abs=15)
    assert bias.interval is not None
    assert r2.interval is None
    assert bias.detail["business"] is True
    (finding,) = [one for one in found.findings if one.kind == "metric"]
    assert finding.feature == "bias"
    assert "exceeds its limit 100" in finding.title


def test_within_the_limit_or_with_few_labels_nothing_is_found(watched: Make) -> None:
    calm = watched(declared(MetricSpec(name="bias", max=100, min=-100)))
    labelled(calm, off=50.0)
    assert not calm.watch().findings
    few = watched(declared(MetricSpec(name="bias", max=100)))
    answers = few.traffic(range(1), 20)
    few.told(label(subject, value - 500) for subject, value in list(answers.items())[:10])
    found = few.watch()
    assert [m.n_rows for m in named(found, NAME)] == [10]
    assert not found.findings


def test_a_round_again_adds_nothing_and_a_late_label_measures_its_window_again(watched: Make) -> None:
    scene = watched(declared(MetricSpec(name="mse")))
    answers = list(scene.traffic(range(7), 20).items())
    scene.told(label(subject, value) for subject, value in answers[:-1])
    first = named(scene.look(), NAME)
    assert [m.id for m in named(scene.watch(), NAME)] == [m.id for m in first]
    assert not named(scene.watch(), NAME)
    scene.told([label(answers[-1][0], answers[-1][1] + 1400)])
    (again,) = named(scene.watch(), NAME)
    assert again.n_rows == 140
    assert again.value == pytest.approx(1400**2 / 140)


def test_the_order_in_which_labels_come_changes_nothing(watched: Make) -> None:
    ids = []
    for backwards in (False, True):
        scene = watched(declared(MetricSpec(name="mae")))
        outcomes = [label(s, v + 1) for s, v in scene.traffic(range(3), 20).items()]
        for half in (outcomes[::2], outcomes[1::2])[:: -1 if backwards else 1]:
            scene.told(half)
        ids.append([m.id for m in named(scene.watch(), NAME)])
    assert ids[0] == ids[1]


def test_a_metric_that_fails_is_neither_good_nor_bad_and_ends_no_round(watched: Make) -> None:
    scene = watched(declared(MetricSpec(name="mae", max=1)))
    labelled(scene, off=200.0, days=range(1))

    def broken(_: str, parts: Sequence[Scored]) -> list[dict[str, Measured]]:
        assert np.isfinite(parts[0].truth).all()
        raise UserCodeError("project.py:3 in mine: KeyError: 'quantity'")

    found = watch_metrics(replace(scene.looking(), measure=broken))
    (measured,) = found.measurements
    assert measured.value is None
    assert "quantity" in measured.detail["error"]
    assert not found.findings
