"""Columns that have gone, have another name, or hold something else: found where requests are refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from headrace.core.record import Finding
from headrace.monitoring.diagnosis import diagnose
from headrace.monitoring.hours import GRACE
from headrace.monitoring.ingest import refusal_rows, refusals_table
from headrace.monitoring.refused import watch_refused
from headrace.testing import START, make_refusal
from tests.monitoring.traffic import LIVE, PROJECT, Scene, answer

Make = Callable[..., Scene]
HOUR = timedelta(hours=1)


def refused(scene: Scene, *, n: int = 10, hour: int = 30, by: str = "shop", **changes: Any) -> None:
    at = START + hour * HOUR + timedelta(minutes=20)
    one = make_refusal(release_id=LIVE, principal=by, n=n, since=at, at=at, **changes)
    scene.store.tables.append(refusals_table(PROJECT), refusal_rows([one]))


def calls(scene: Scene, hours: range, n: int = 10, by: str = "shop") -> None:
    scene.answered(
        [
            answer(
                f"{by}-{hour}-{number}", at=START + hour * HOUR, principal=by,
                columns={"mileage": [1.0], "year": [2015.0], "fuel": ["petrol"]}, outputs={"predict": [1.0]},
            )
            for hour in hours
            for number in range(n)
        ]
    )  # fmt: skip


def found(scene: Scene, hours: int = 31) -> list[Finding]:
    scene.clock.set(START + hours * HOUR + GRACE + timedelta(seconds=1))
    round_ = watch_refused(scene.looking())
    scene.store.evidence.measure(round_.measurements)
    return round_.findings


@pytest.mark.requirement("DAT-07")
def test_a_column_under_another_name_is_named_with_both_and_since_when(watched: Make) -> None:
    scene = watched()
    calls(scene, range(30))
    refused(scene, missing=("mileage",), unknown=("Mileage",))
    (one,) = found(scene)
    assert one.title == (
        "input 'mileage' comes as 'Mileage', since 2026-01-02 06:20: 100% of the calls of 'shop', "
        "which were answered before, are refused"
    )
    assert (one.kind, one.release_id, one.feature) == ("columns", LIVE, "mileage: renamed")
    assert (one.evidence["refused"], one.evidence["answered"], one.size) == (10, 0, 1.0)
    likely = diagnose([one])[0]
    assert (likely.name, likely.feature) == ("renamed", "mileage")
    assert found(scene) == [], "each hour is looked at once"


@pytest.mark.requirement("DAT-07")
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"missing": ("fuel",), "unknown": ()}, "input 'fuel' does not come any more"),
        ({"missing": ("fuel",), "unknown": ("drive",)}, "input 'fuel' comes as 'drive'"),
        (
            {"missing": (), "unknown": (), "mistyped": {"year": "numbers as text"}},
            "input 'year' holds numbers as text",
        ),
        (
            {"missing": (), "unknown": ("colour",)},
            "column 'colour' comes, which the model does not know",
        ),
    ],
)
def test_what_happened_to_the_column_is_said(watched: Make, what: dict[str, Any], words: str) -> None:
    scene = watched()
    calls(scene, range(30))
    refused(scene, **what)
    (one,) = found(scene)
    assert one.title.startswith(f"{words}, since ")


def test_several_columns_are_several_findings(watched: Make) -> None:
    scene = watched()
    calls(scene, range(30))
    refused(scene, missing=("mileage", "year"), unknown=("Year", "MILEAGE"))
    assert [one.evidence["instead"] for one in found(scene)] == ["MILEAGE", "Year"]


def test_what_one_who_was_never_answered_sends_wrong_is_no_change(watched: Make) -> None:
    scene = watched()
    calls(scene, range(31))
    refused(scene, by="newcomer", n=1000)
    assert found(scene) == []
    (measured,) = scene.store.evidence.measurements(PROJECT, name="refused")[-1:]
    assert (measured.value, measured.detail["changes"][0]["calls"]) == (1000.0, {"newcomer": 1000})


@pytest.mark.parametrize(
    ("n", "answered", "is_found"),
    [(2, 0, False), (3, 0, True), (3, 10, False), (20, 300, True), (20, 500, False)],
)
def test_a_slip_is_no_change(watched: Make, n: int, answered: int, is_found: bool) -> None:
    scene = watched()
    calls(scene, range(30), 1)
    calls(scene, range(30, 31), answered)
    refused(scene, n=n)
    assert bool(found(scene)) == is_found


def test_what_goes_on_is_announced_once_and_anew_after_it_was_repaired(watched: Make) -> None:
    scene = watched()
    calls(scene, range(30))
    gone: dict[str, Any] = {"missing": ("mileage",), "unknown": ()}
    for hour in (30, 31, 34):  # nobody asks in between, which repairs nothing
        refused(scene, hour=hour, **gone)
    (first,) = found(scene, 35)
    calls(scene, range(40, 44))
    refused(scene, hour=50, **gone)
    refused(scene, hour=51, **gone)
    (second,) = found(scene, 52)
    assert (first.feature, first.release_id) == (second.feature, second.release_id)
    assert first.id != second.id
    assert second.window[0] == START + 50 * HOUR


def test_a_round_that_is_killed_says_the_same_again(watched: Make) -> None:
    scene = watched()
    calls(scene, range(30))
    refused(scene)
    scene.clock.set(START + 31 * HOUR + GRACE + timedelta(seconds=1))
    assert [one.id for one in watch_refused(scene.looking()).findings] == [one.id for one in found(scene)]


def test_a_project_without_refusals_has_hours_without_any(watched: Make) -> None:
    scene = watched()
    assert found(scene) == []
    calls(scene, range(3))
    assert found(scene, 4) == []
    assert [m.value for m in scene.store.evidence.measurements(PROJECT, name="refused")] == [0.0] * 3
