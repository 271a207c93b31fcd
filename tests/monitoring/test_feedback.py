"""Feedback finds the answer that it is about, however late either comes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from headrace.core.ids import new_id
from headrace.core.record import Feedback
from headrace.monitoring.feedback import linked_feedback
from headrace.testing import START, make_feedback
from tests.monitoring.traffic import PROJECT, Scene, answer, label

Make = Callable[..., Scene]


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def told(subject: str, name: str = "paid", *, minute: float = 0.0, **changes: Any) -> Feedback:
    moment = at(minute)
    made = {"id": new_id(moment), "at": moment, "happened_at": moment}
    return make_feedback(**(made | {"subject": subject, "name": name} | changes))


def asked(scene: Scene, name: str, *, minute: float, key: str | None = None, **changes: Any) -> None:
    columns, outputs = {"mileage": [1.0]}, {"predict": [7.0]}
    keys = None if key is None else [key]
    scene.answered([answer(name, at=at(minute), columns=columns, outputs=outputs, keys=keys, **changes)])


def links(scene: Scene, **only: Any) -> list[tuple[str, str]]:
    """Name of each event and the answer it is about."""
    found = linked_feedback(PROJECT, scene.store.tables, **only)
    return list(zip(found["name"], found["subject"], strict=True)) if found else []


@pytest.mark.requirement("MON-22")
@pytest.mark.requirement("MON-37")
def test_what_was_done_before_and_after_stands_beside_the_answer(watched: Make) -> None:
    scene = watched()
    scene.reported(
        told("car-1", "searched", minute=1, kind="interaction", page="/cars", value="diesel"),
        told("first:0", "accepted", minute=3, kind="action"),
        told("car-1", "paid", minute=60, value=900.0),
        told("car-1", "searched", minute=70, kind="interaction"),
        told("car-1", "paid", minute=90, value=100.0),
    )
    scene.told([label("first:0", 12.0, at=at(95))])
    assert links(scene) == [], "the answers have not come yet"
    asked(scene, "first", minute=2, key="car-1")
    asked(scene, "second", minute=80, key="car-1")
    assert links(scene, prediction_id="first") == [
        ("searched", "first:0"),
        ("accepted", "first:0"),
        ("paid", "first:0"),
        ("label", "first:0"),
    ]
    assert links(scene, prediction_id="second") == [("searched", "second:0"), ("paid", "second:0")]
    found = linked_feedback(PROJECT, scene.store.tables, prediction_id="first")
    assert (found["page"][0], found["word"][0], found["kind"][0]) == ("/cars", "diesel", "interaction")
    assert found["number"][2:].tolist() == [900.0, 12.0]
    assert set(found["predicted"]) == {7.0}


def test_an_event_is_about_one_answer_and_what_nobody_asked_about_waits(watched: Make) -> None:
    scene = watched()
    asked(scene, "early", minute=1, key="car-1")
    asked(scene, "late", minute=9, key="car-1")
    scene.answered(
        [answer("twice", at=at(20), columns={"mileage": [1.0] * 2}, outputs={"predict": [1.0] * 2},
                keys=["car-2"] * 2)]
    )  # fmt: skip
    scene.reported(
        told("car-1", "before all", minute=0),
        told("car-1", "after all", minute=30, kind="interaction"),
        told("car-1", "between", minute=5),
        told("car-2", "of two rows", minute=21),
        told("nobody", "orphan", minute=21),
        told("early:1", "no such row", minute=21),
    )
    assert links(scene) == [("between", "early:0"), ("of two rows", "twice:0")]
    scene.told([label("car-1", 3.0, at=at(0))])
    assert ("label", "early:0") in links(scene)
    assert ("label", "late:0") in links(scene)


def test_what_came_last_of_an_event_is_valid(watched: Make) -> None:
    scene = watched()
    asked(scene, "first", minute=1)
    scene.reported(told("first:0", minute=2, id="order", value=90.0, at=at(9)))
    scene.reported(told("first:0", minute=2, id="order", value=120.0, at=at(5)))
    found = linked_feedback(PROJECT, scene.store.tables)
    assert found["number"].tolist() == [90.0]
    scene.told([label("first:0", 1.0, at=at(3)), label("first:0", 2.0, at=at(4), kind="correction")])
    found = linked_feedback(PROJECT, scene.store.tables)
    assert found["number"].tolist() == [90.0, 2.0]


def test_a_shadow_has_no_feedback(watched: Make) -> None:
    scene = watched()
    asked(scene, "first", minute=1, arm="shadow", key="car-1")
    scene.reported(told("car-1", minute=2), told("first:0", minute=2))
    assert links(scene) == []


def test_ratings_and_stays_that_came_as_labels_are_events_of_these_names(watched: Make) -> None:
    scene = watched()
    asked(scene, "first", minute=1, key="car-1")
    scene.told([label("first:0", 5.0, at=at(2), kind="rating"), label("car-1", 30.0, at=at(3), kind="dwell")])
    assert links(scene, names=["rating", "dwell"]) == [("rating", "first:0"), ("dwell", "first:0")]
    assert links(scene, names=["dwell"]) == [("dwell", "first:0")]
