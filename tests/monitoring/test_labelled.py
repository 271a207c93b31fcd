"""A window is judged when it is closed, and again when many more labels are in, at one level in all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.monitoring.joining import labelled_rows
from headrace.monitoring.labelled import Looks, Part, by_release, labelled_windows
from tests.monitoring.traffic import PROJECT, Scene, day, label

Make = Callable[..., Scene]
NAME = "watched"


def parts(scene: Scene) -> list[Part]:
    """The labelled windows of the one release."""
    watch = scene.looking()
    ((release_id, rows),) = by_release(labelled_rows(PROJECT, watch.tables))
    return list(labelled_windows(watch, release_id, rows))


def judged(scene: Scene) -> list[float | None]:
    """The share of the level that each window has now; what is judged is kept."""
    watch = scene.looking()
    looks, shares = Looks(watch, NAME), []
    for part in parts(scene):
        shares.append(looks.level(part, 1.0))
        mark = watch.measurement(part.window, NAME, None, key=part.labels, detail={"look": part.look})
        watch.evidence.measure([mark])
    return shares


def test_a_window_is_judged_once_it_is_closed_though_no_label_has_come_since(watched: Make) -> None:
    scene = watched()
    answers = scene.traffic(range(7), 10)
    scene.told(label(subject, value) for subject, value in answers.items())
    assert judged(scene) == [None]
    scene.close(7)
    assert judged(scene) == [0.5]
    assert judged(scene) == [None]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 64), min_size=1, max_size=6))
def test_however_labels_come_all_looks_have_one_level(watched: Make, coming: list[int]) -> None:
    scene = watched()
    answers = list(scene.traffic(range(1), 64).items())
    scene.close(7)
    told, shares, seen = 0, [], set()
    for n_labels in coming:
        scene.told(label(*one) for one in answers[told : told + n_labels])
        told = min(told + n_labels, len(answers))
        shares += judged(scene)
        seen.add(int(np.log2(64 / told)))
    given_out = [share for share in shares if share is not None]
    assert len(given_out) == len(seen), "each time twice as many are in, and not in between"
    assert sum(given_out) <= 1.0
    assert given_out == sorted(given_out), "the more labels, the more may be concluded"


@pytest.mark.requirement("MON-19")
def test_a_corrected_label_is_no_other_try(watched: Make) -> None:
    scene = watched()
    answers = scene.traffic(range(1), 40)
    scene.close(7)
    scene.told(label(subject, value) for subject, value in answers.items())
    assert judged(scene) == [0.5]
    subject, value = next(iter(answers.items()))
    scene.told([label(subject, value + 1.0, at=day(9), kind="correction")])
    assert judged(scene) == [None]
