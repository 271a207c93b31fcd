"""What the answers of each version brought, window by window and side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from headrace.core.ids import new_id
from headrace.core.project import KpiSpec, Project
from headrace.core.record import Feedback
from headrace.core.release import Measurement
from headrace.monitoring.kpis import NAME, KpiDifference, compare_kpis, newest, watch_kpis
from headrace.testing import START, make_feedback
from tests.monitoring.traffic import LIVE, PROJECT, Scene, answer, day, label, named, trained, watched_project

Make = Callable[..., Scene]
CANARY = "canary"
CONVERSION = KpiSpec(name="conversion", event="bought")
REVENUE = KpiSpec(name="revenue", event="paid", measure="per_answer", unit="EUR")
STAY = KpiSpec(name="stay", event="stayed", measure="mean", unit="s")


def declared(*kpis: KpiSpec) -> Project:
    return replace(watched_project(), kpis=kpis)


def told(subject: str, name: str, value: float | str | bool | None = None, **changes: Any) -> Feedback:
    made = {"id": new_id(START), "subject": subject, "name": name, "value": value, "happened_at": day(30)}
    return make_feedback(**(made | changes))


def answered(
    scene: Scene,
    name: str,
    n_rows: int,
    *,
    on: float = 0,
    release: str = LIVE,
    arm: str = "live",
    **outputs: Any,
) -> list[str]:
    """Row ids of ``n_rows`` answers to one request."""
    outputs = outputs or {"predict": [100.0] * n_rows}
    scene.answered(
        [
            answer(
                name,
                at=day(on),
                release=release,
                arm=arm,
                columns={"mileage": [1.0] * n_rows, "fuel": ["petrol"] * n_rows, "year": [2015.0] * n_rows},
                outputs=outputs,
            )
        ]
    )
    return [f"{name}:{row}" for row in range(n_rows)]


def looked(scene: Scene) -> list[Measurement]:
    """What one round measures; kept."""
    found = watch_kpis(scene.looking())
    assert not found.findings
    scene.store.evidence.measure(found.measurements)
    return found.measurements


def measured(scene: Scene) -> dict[tuple[str | None, str | None], Measurement]:
    """Of one round, by KPI and action."""
    return {(m.feature, m.segment): m for m in looked(scene)}


@pytest.mark.requirement("MON-20")
def test_satisfaction_revenue_time_on_site_and_conversion_stand_beside_the_loss(watched: Make) -> None:
    scene = watched(declared(CONVERSION, REVENUE, STAY))
    rows = answered(scene, "a", 40)
    scene.told(label(row, 90.0) for row in rows)
    scene.reported(
        *(told(row, "bought") for row in rows[:10]),
        told(rows[0], "bought"),
        told(rows[10], "bought", False),
        *(told(row, "paid", 30.0) for row in rows[:9]),
        told(rows[0], "paid", 12.0),
        told(rows[1], "paid"),
        told(rows[0], "stayed", 20.0),
        told(rows[0], "stayed", 40.0),
        told(rows[1], "stayed", 90.0),
        *(
            told(row, "rating", stars, kind="opinion")
            for row, stars in zip(rows, (5.0, 4.0, 3.0), strict=False)
        ),
    )
    round_ = scene.watch()
    found = {m.feature: m for m in named(round_, NAME)}
    assert set(found) == {"conversion", "revenue", "stay", "satisfaction"}
    assert {m.release_id for m in found.values()} == {m.release_id for m in named(round_, "mae")} == {LIVE}
    conversion, revenue, stay = found["conversion"], found["revenue"], found["stay"]
    assert (conversion.value, conversion.n_rows, conversion.detail["n_covered"]) == (0.25, 40, 10)
    assert conversion.interval is not None
    assert 0.1 < conversion.interval[0] < 0.25 < conversion.interval[1] < 0.4
    assert revenue.value == pytest.approx((9 * 30 + 12) / 40)
    assert (revenue.detail["total"], revenue.detail["unit"], revenue.detail["n_covered"]) == (282.0, "EUR", 9)
    assert revenue.interval is not None
    assert (stay.value, stay.n_rows, stay.interval, stay.detail["n_answers"]) == (60.0, 2, None, 40)
    assert found["satisfaction"].value == pytest.approx(4.0)
    assert conversion.window == (START, START + timedelta(days=7))


@pytest.mark.requirement("FBK-08")
def test_complaints_and_praise_are_metrics_of_a_version_without_being_declared(watched: Make) -> None:
    scene = watched()
    mine = answered(scene, "a", 20)
    other = answered(scene, "b", 10, release=CANARY, arm="canary")
    scene.baselines[CANARY] = trained(scene.random)
    scene.reported(
        *(told(row, "complaint", kind="opinion", text="too low") for row in mine[:2]),
        told(other[0], "complaint", kind="opinion"),
        told(other[1], "praise", kind="opinion"),
    )
    found = {(m.release_id, m.feature): m.value for m in looked(scene)}
    assert found == {(LIVE, "complaints"): 0.1, (CANARY, "complaints"): 0.1, (CANARY, "praise"): 0.1}
    own = watched(declared(KpiSpec(name="complaints", event="returned")))
    rows = answered(own, "a", 4)
    own.reported(told(rows[0], "returned"), told(rows[1], "complaint"), told(rows[2], "complaint"))
    assert {k: m.value for k, m in measured(own).items()} == {("complaints", None): 0.25}


@pytest.mark.requirement("MON-21")
def test_how_far_actions_are_from_numbers_that_were_recommended(watched: Make) -> None:
    scene = watched()
    rows = answered(scene, "a", 8)
    scene.reported(
        told(rows[0], "priced", 100.0, kind="action"),
        told(rows[1], "priced", 500.0, kind="action", happened_at=day(1)),
        told(rows[1], "priced", 130.0, kind="action", happened_at=day(2)),
        told(rows[2], "priced", 90.0, kind="action"),
        told(rows[3], "ignored", kind="action"),
        told(rows[4], "clicked", 7.0, kind="reaction"),
    )
    found = measured(scene)["deviation", None]
    assert found.value == pytest.approx(40 / 3)
    assert found.n_rows == 3


def classifying(watched: Make, *kpis: KpiSpec) -> Scene:
    scene = watched(replace(declared(*kpis), task="classification"))
    scene.baselines[LIVE] = replace(scene.baselines[LIVE], classes=("approve", "deny"))
    return scene


@pytest.mark.requirement("MON-21")
def test_how_often_another_class_was_done_than_was_recommended(watched: Make) -> None:
    scene = classifying(watched)
    predict = ["deny", "deny", "approve", "approve", "approve"]
    rows = answered(scene, "a", 5, predict=predict, probability=[0.5] * 5)
    scene.reported(
        told(rows[0], "deny", kind="action"),
        told(rows[1], "decided", "approve", kind="action"),
        told(rows[2], "approve", kind="action"),
        told(rows[3], "decided", "deny", kind="action", happened_at=day(1)),
        told(rows[3], "decided", "approve", kind="action", happened_at=day(2)),
    )
    found = measured(scene)["deviation", None]
    assert (found.value, found.n_rows, found.detail["n_covered"]) == (0.25, 4, 1)


@pytest.mark.requirement("MON-37")
def test_each_action_is_linked_to_what_came_of_it(watched: Make) -> None:
    repaid = KpiSpec(name="repaid", event="repaid", measure="per_answer", by_action=True)
    truth = KpiSpec(name="truth", event="label", measure="mean", by_action=True)
    scene = watched(declared(repaid, truth))
    rows = answered(scene, "a", 40)
    scene.reported(
        *(told(row, "granted", kind="action") for row in rows[:20]),
        *(told(row, "decided", "denied", kind="action") for row in rows[20:30]),
        *(told(row, "repaid", 100.0) for row in rows[:15]),
        told(rows[20], "repaid", 40.0),
    )
    scene.told([label(row, 80.0 if index < 20 else 20.0) for index, row in enumerate(rows[:24])])
    found = {action: m for (kpi, action), m in measured(scene).items() if kpi == "repaid"}
    assert {action: (m.value, m.n_rows) for action, m in found.items()} == {
        None: (38.5, 40),
        "granted": (75.0, 20),
        "denied": (4.0, 10),
    }
    scene.reported(told(rows[20], "granted", kind="action", happened_at=day(31)))
    again = measured(scene)
    assert again["repaid", "granted"].n_rows == 21
    assert again["truth", "granted"].value == pytest.approx(1620 / 21)
    assert ("deviation", None) not in again, "a name is no number"


def test_late_corrected_and_orphaned_events_measure_their_window_again_and_nothing_else_does(
    watched: Make,
) -> None:
    scene = watched(declared(REVENUE))
    rows = answered(scene, "a", 10)
    scene.reported(told(rows[0], "paid", 50.0, id="order"), told("not-yet:0", "paid", 20.0))
    first = measured(scene)["revenue", None]
    assert (first.value, first.n_rows) == (5.0, 10)
    answered(scene, "b", 10)
    assert not measured(scene), "while it is open, only feedback is a reason"
    scene.reported(told(rows[0], "paid", 30.0, id="order", at=START + timedelta(days=1)))
    assert measured(scene)["revenue", None].value == pytest.approx(30 / 20)
    answered(scene, "not-yet", 5)
    assert measured(scene)["revenue", None].value == pytest.approx(50 / 25)
    answered(scene, "next", 1, on=8)
    closed = measured(scene)["revenue", None]
    assert closed.value == pytest.approx(50 / 25)
    assert closed.n_rows == 25
    assert not measured(scene)
    scene.reported(told(rows[0], "paid", 0.0, id="order", at=START + timedelta(days=2)))
    assert measured(scene)["revenue", None].value == pytest.approx(20 / 25)


def test_what_is_corrected_back_is_measured_again_and_counts(watched: Make) -> None:
    scene = watched(declared(REVENUE))
    (row, *_) = answered(scene, "a", 10)
    for hour, paid in enumerate((10.0, 20.0, 10.0, 20.0)):
        scene.clock.advance(3_600)
        scene.reported(told(row, "paid", paid, id="order", at=START + timedelta(hours=hour)))
        assert measured(scene)["revenue", None].value == paid / 10
        assert not measured(scene)
        kept = scene.store.evidence.measurements(PROJECT, name=NAME)
        assert [one.value for one in newest(kept).values()] == [paid / 10]
    assert len({one.id for one in kept}) == 4


def test_a_window_in_which_nothing_happened_is_0_once_it_is_over_and_what_nobody_reports_is_unmeasured(
    watched: Make,
) -> None:
    scene = watched(declared(CONVERSION, REVENUE))
    rows = answered(scene, "a", 10)
    assert not measured(scene)
    answered(scene, "b", 30, on=8)
    scene.reported(told(rows[0], "bought"))
    assert {m.window: m.value for m in looked(scene)} == {(START, START + timedelta(days=7)): 0.1}
    answered(scene, "c", 1, on=15)
    (empty,) = looked(scene)
    assert (empty.feature, empty.value, empty.n_rows) == ("conversion", 0.0, 30)
    assert empty.interval is not None
    assert empty.interval[1] > 0.05


def both(scene: Scene, *, n_rows: int, rates: tuple[float, float]) -> None:
    """The live release a month before and beside a canary; bought by chance."""
    scene.baselines[CANARY] = trained(scene.random)
    before = answered(scene, "before", 500, on=0)
    scene.reported(*(told(row, "bought") for row in before))
    for number in range(5):
        for release, rate in zip((LIVE, CANARY), rates, strict=True):
            rows = answered(scene, f"{release}-{number}", n_rows, on=30 + number, release=release)
            chosen = np.flatnonzero(scene.random.random(n_rows) < rate)
            scene.reported(*(told(rows[index], "bought") for index in chosen), told("nobody", "bought"))


def compared(scene: Scene, *, against: str = LIVE) -> list[KpiDifference]:
    classes = {name: baseline.classes for name, baseline in scene.baselines.items()}
    return compare_kpis(scene.project, scene.store.tables, classes.get, CANARY, against)


@pytest.mark.requirement("MON-20")
def test_two_versions_are_compared_on_what_they_answered_in_the_same_time(watched: Make) -> None:
    scene = watched(declared(CONVERSION))
    both(scene, n_rows=200, rates=(0.2, 0.4))
    (found,) = compared(scene)
    assert (found.kpi, found.release_id, found.against, found.conclusion) == (
        "conversion",
        CANARY,
        LIVE,
        "higher",
    )
    assert (found.n, found.against_n) == (1000, 1000)
    assert found.value == pytest.approx(0.4, abs=0.05)
    assert found.against_value == pytest.approx(0.2, abs=0.05), "the month before is another world"
    assert found.interval is not None
    assert found.interval[0] < 0.2 < found.interval[1]


def test_time_in_which_only_one_of_two_versions_answered_is_not_compared(watched: Make) -> None:
    scene = watched(declared(CONVERSION))
    scene.baselines[CANARY] = trained(scene.random)
    for number, on, release, share in (
        (0, 28.0, LIVE, 0.5),
        (1, 28.0, CANARY, 0.5),
        (2, 36.0, LIVE, 1.0),  # the canary is away for a week in which everything is bought
        (3, 43.0, CANARY, 0.5),
        (4, 44.0, LIVE, 0.5),
        (5, 45.0, LIVE, 1.0),  # the canary does not answer any more
    ):
        rows = answered(scene, f"{number}", 100, on=on, release=release)
        scene.reported(*(told(row, "bought", happened_at=day(50)) for row in rows[: int(share * 100)]))
    answered(scene, "last", 10, on=44.5, release=CANARY)
    (found,) = compared(scene)
    assert found.value == pytest.approx(100 / 210)
    assert found.n == 210
    assert (found.against_value, found.against_n) == (0.5, 200)
    assert found.conclusion == "undecided"


def test_what_is_alike_is_undecided_and_what_never_met_is_not_compared(watched: Make) -> None:
    scene = watched(declared(CONVERSION))
    both(scene, n_rows=40, rates=(0.2, 0.2))
    (found,) = compared(scene)
    assert found.conclusion == "undecided"
    assert compared(scene, against="none") == []
    assert compare_kpis(scene.project, scene.store.tables, lambda _: None, "before", "none") == []
    assert (
        compare_kpis(replace(scene.project, name="nothing"), scene.store.tables, lambda _: None, "a", "b")
        == []
    )


def test_kpis_take_no_share_of_the_budget_of_false_alarms_and_need_no_project(watched: Make) -> None:
    scene = watched(declared(CONVERSION))
    assert not looked(scene)
    scene.reported(told("nobody", "bought"))
    assert not looked(scene)
    assert not scene.store.tables.version(f"{PROJECT}/outcomes")
