"""What is written down of requests whose columns are not what the model expects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.record import Refusal
from headrace.serving.refusals import EVERY_S, instead_of
from headrace.store.records import decode_refusal
from tests.serving.scene import ROW, Forecaster, Scene

Stage = Callable[..., Scene]


def refusals(scene: Scene) -> list[Refusal]:
    return [
        decode_refusal(record)
        for segment in scene.events.segments("cars/refusals")
        for record in scene.events.read("cars/refusals", segment.name, 0, 1_000_000)[0]
    ]


def refuse(
    scene: Scene, *requests: dict[str, list[Any]], apart_s: float = 0.0, by: Principal | None = None
) -> None:
    async def run() -> None:
        for request in requests:
            with pytest.raises(InvalidInput):
                await scene.handler.predict("cars", request, principal=by or scene.caller)
            scene.clock.advance(apart_s)

    asyncio.run(run())


def written(scene: Scene) -> list[Refusal]:
    """As a server ends: from a thread without an event loop."""
    scene.handler.refusals.flush()
    scene.recorder.close()
    return refusals(scene)


def ask(scene: Scene, *requests: dict[str, list[Any]], apart_s: float = 0.0) -> list[Refusal]:
    refuse(scene, *requests, apart_s=apart_s)
    return written(scene)


def without(*names: str, **columns: list[Any]) -> dict[str, list[Any]]:
    return {name: column for name, column in ROW.items() if name not in names} | columns


@pytest.mark.requirement("DAT-07")
def test_a_column_that_has_another_name_is_written_down_by_both(scene: Scene) -> None:
    (found,) = ask(scene, without("mileage", Mileage=[1.0]))
    assert (found.missing, found.unknown, found.mistyped) == (("mileage",), ("Mileage",), {})
    assert (found.project, found.release_id, found.principal, found.n) == ("cars", "r1", "caller", 1)


@pytest.mark.requirement("DAT-07")
def test_what_a_column_holds_instead_is_written_down_without_its_value(scene: Scene) -> None:
    (found,) = ask(scene, without(mileage=["12.5"], model=[7], leased=["yes"]))
    assert found.mistyped == {"mileage": "numbers as text", "model": "numbers", "leased": "text"}
    assert found.missing == found.unknown == ()


def test_what_may_be_left_out_is_no_news_unless_something_else_came_for_it(stage: Stage) -> None:
    first, second = ask(stage(live=Forecaster()), {"lag_7": [1.0]}, {"date": ["2026-01-31"], "lag7": [1.0]})
    assert (first.missing, first.unknown) == (("date",), ())
    assert (second.missing, second.unknown) == (("lag_7",), ("lag7",))


def test_a_request_that_is_refused_for_another_reason_is_not_written_down(scene: Scene) -> None:
    assert ask(scene, {name: column * (1 + (name == "model")) for name, column in ROW.items()}) == []


def test_those_that_are_refused_alike_are_counted_together(scene: Scene) -> None:
    alike = [without("mileage")] * 25
    found = ask(scene, *alike, apart_s=1.0)
    assert [one.n for one in found] == [1, 9, 10, 5], "the last of them do not wait for another"
    assert (found[2].at - found[2].since).total_seconds() == EVERY_S - 1


@pytest.mark.requirement("DAT-07")
def test_what_waits_is_written_without_another_refusal(scene: Scene) -> None:
    refuse(scene, *[without("mileage")] * 30, apart_s=0.1)
    scene.handler.refusals.flush()
    scene.handler.refusals.flush()
    assert [one.n for one in written(scene)] == [1, 29], "and once only"


def test_what_waits_is_dated_when_it_came_and_not_by_a_later_one(scene: Scene) -> None:
    began = scene.clock.now()
    refuse(scene, *[without("mileage")] * 30)
    scene.clock.advance(86_400)
    first, waited, later = ask(scene, without("mileage"))
    assert (first.n, waited.n, waited.since, waited.at) == (1, 29, began, began)
    assert (later.n, later.at) == (1, scene.clock.now())


def test_a_storm_of_kinds_is_bounded_and_the_rest_is_counted(scene: Scene) -> None:
    found = ask(scene, *[without(**{f"made-up-{number}": [1.0]}) for number in range(300)])
    assert sum(one.n for one in found) == 300
    assert [one.n for one in found if not one.unknown] == [1, 199]
    assert len([one for one in found if one.unknown]) == 100


def test_a_storm_of_one_sender_does_not_silence_another(scene: Scene) -> None:
    refuse(scene, *[without(**{f"made-up-{number}": [1.0]}) for number in range(300)])
    refuse(scene, without("mileage"), by=replace(scene.caller, name="shop"))
    (shop,) = [one for one in written(scene) if one.principal == "shop"]
    assert shop.missing == ("mileage",)


@pytest.mark.parametrize(
    ("kind", "column", "words"),
    [
        ("number", ["12,5", "1.200,00"], "numbers with a decimal comma"),
        ("number", ["12.5"], "numbers as text"),
        ("number", ["twelve"], "text"),
        ("number", [True], "true and false"),
        ("number", [float("nan")], "numbers that are not finite"),
        ("number", [1.0, None], None),
        ("time", ["31/01/2024", "01/02/2024"], "dates written %d/%m/%Y"),
        ("time", [1_700_000_000], "numbers"),
        ("time", ["2024-01-31"], None),
        ("boolean", ["true"], "text"),
        ("text", [{"a": 1}], "lists or objects"),
    ],
)
def test_what_comes_instead_has_a_name(kind: str, column: list[Any], words: str | None) -> None:
    assert instead_of(kind, column) == words
