from __future__ import annotations

from datetime import timedelta

from headrace.core.release import Measurement
from headrace.testing.clock import START
from headrace.testing.factories import make_measurement
from headrace.web.pages.segments import cautions, newest_segments, segment_rows

WEEK = timedelta(days=7)


def _segment(
    week: int, name: str, value: float | None, metric: str = "mae", release: str = "1"
) -> Measurement:
    return make_measurement(
        name="segment", release_id=release, feature="fuel", segment=name, value=value,
        window=(START + week * WEEK, START + (week + 1) * WEEK), detail={"metric": metric, "coverage": 0.5},
    )  # fmt: skip


def test_the_worst_segment_of_the_live_release_comes_first() -> None:
    measured = [
        _segment(0, "petrol", 2.0), _segment(1, "petrol", 1.0), _segment(1, "diesel", 3.0),
        _segment(1, "diesel", 9.0, release="2"), _segment(1, "diesel", 9.0, metric="bias"),
        _segment(1, "steam", None),
    ]  # fmt: skip
    found = newest_segments(measured, "1", "mae")
    assert [(one.name, one.newest.value) for one in found] == [("diesel", 3.0), ("petrol", 1.0)]
    assert found[1].trend is not None
    assert found[0].trend is None
    rows = segment_rows(measured, lambda release: f"cars@{release}")
    assert len(rows) == 6
    assert rows[3]["subject"] == "cars@2"


def test_cautions_are_those_of_the_newest_window() -> None:
    old, new = (
        make_measurement(name="segments", release_id="1", detail={"caution": caution})
        for caution in (["a"], [])
    )
    assert cautions([new, old], "1") == ["a"]
    assert cautions([old, new], "1") == []
    assert cautions([old], "2") == []
