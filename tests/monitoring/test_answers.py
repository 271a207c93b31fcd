"""What the answers of a window look like."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tests.monitoring.traffic import Scene, answer, day, named

Make = Callable[..., Scene]
WEEK = timedelta(days=7)


def test_answers_that_are_no_numbers_are_counted(watched: Make) -> None:
    scene = watched()
    bad = [float("nan"), float("inf"), 5.0]
    scene.answered(
        [
            answer("bad", at=day(0), columns={"mileage": [1.0] * 3}, outputs={"predict": bad}),
            answer("next", at=day(8), columns={"mileage": [1.0]}, outputs={"predict": [1.0]}),
        ]
    )
    (measured,) = named(scene.watch(), "prediction")
    assert measured.value == 5.0
    assert measured.detail["not_finite"] == 2
