"""What a canary is compared in beside its losses in all: segments, times to answer, and KPIs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headrace.checks.sequential import between_arms
from headrace.core.ports import Columns
from headrace.core.project import KpiSpec, MonitorSpec, RolloutSpec, ServiceLevel, ServingSpec
from headrace.core.release import Release, Verdict
from headrace.monitoring.ingest import feedback_rows, feedback_table, prediction_rows, predictions_table
from headrace.monitoring.segments import Cut
from headrace.releases import delivery
from headrace.releases.rollout import KpiSeen, Observation, SegmentSeen, Shares, Slow, judge, one_sided
from headrace.testing import make_feedback, make_prediction
from tests.releases.delivering import PROJECT, Scene

Make = Callable[..., Scene]
SHARES = Shares.out_of(0.05, segments=True, slow=True, kpis=True)
SPEC = RolloutSpec(steps=(10, 50), min_requests=5)
CUT = Cut("good", (100.0,), frozenset())
"""Below 100 and from 100 on, as half of the rows are each."""


def declared(scene: Scene) -> None:
    """Segments, a time to answer and a KPI, on a step that gives the candidate half of the traffic."""
    scene.project = replace(
        scene.project,
        monitors=MonitorSpec(segments=("good",)),
        serving=ServingSpec(level=ServiceLevel(p99_ms=20.0, requests_per_s=10.0)),
        kpis=(KpiSpec(name="sales", event="sold", worse="lower"),),
    )


def beside(scene: Scene, release: Release, n: int, *, ms: float = 1.0, sold: float = 0.5) -> None:
    """Requests of as many customers, a part of which ends in a sale; nobody knows the truth yet."""
    moment, made, events = scene.now, [], []
    for row in range(n):
        name = f"{release.id}-{moment.timestamp()}-{row}"
        columns = {"good": [1.0], "bad": [1.0], "same": [1.0]}
        made.append(
            make_prediction(
                id=name, release_id=release.id, n_rows=1, at=moment, event_time=moment, columns=columns,
                outputs={"predict": [1.0]}, infer_ms=ms, keys=(name,),
            )
        )  # fmt: skip
        if row < sold * n:
            events.append(make_feedback(id=name, subject=f"{name}:0", name="sold", happened_at=moment))
    tables = scene.store.tables
    tables.append(predictions_table(PROJECT), prediction_rows(made, frozenset(columns)))
    if events:
        tables.append(feedback_table(PROJECT), feedback_rows(events))


def look(scene: Scene, release: Release) -> Verdict:
    judged = delivery.look(
        scene.store, scene.project, release.id, scene.models.__getitem__, scene.now, cuts=[CUT]
    )
    delivery.apply_look(scene.store, scene.project, judged)
    return judged


def rolling(make: Make, champion: str = "good") -> tuple[Scene, Release, Release]:
    scene = make(steps=(50,), min_labels=0)
    old = scene.live(champion)
    declared(scene)
    new = scene.approved("good")
    scene.begin(new)
    return scene, old, new


class WorseBelow:
    """A model that is better than ``bad`` from 100 on, and worse below."""

    outputs = ("predict",)
    classes = None

    def score(self, columns: Columns) -> dict[str, Any]:
        good, bad = columns["good"], columns["bad"]
        return {"predict": np.where(good < 100, bad + 8 * np.sin(7 * bad), good)}


@pytest.mark.requirement("DEP-02")
def test_a_canary_that_is_worse_in_one_segment_is_aborted(make: Make) -> None:
    scene, _, new = rolling(make, champion="bad")
    scene.models[new.id] = WorseBelow()
    scene.answered(new, 400)
    judged = look(scene, new)
    assert judged.outcome == "failed"
    assert judged.reason.startswith("worse where good is 'below 100': by at least ")
    assert judged.evidence["difference"][0] < 0, "over all rows nothing is shown"
    found = {one["name"]: one for one in judged.evidence["segments"]}
    assert found["below 100"]["difference"][0] > 0 > found["from 100"]["difference"][1]
    assert found["below 100"]["n_labels"] + found["from 100"]["n_labels"] == 400


@pytest.mark.requirement("DEP-02")
def test_a_canary_that_answers_more_slowly_is_aborted(make: Make) -> None:
    scene, old, new = rolling(make)
    beside(scene, old, 100)
    beside(scene, new, 60)
    beside(scene, new, 40, ms=50.0)
    judged = look(scene, new)
    assert judged.outcome == "failed"
    assert judged.reason == "slower: 40 of 100 requests took longer than 20 ms, of the live model's 0 of 100"
    assert scene.store.rollouts.get(new.id).state == "aborted"


def test_an_hour_in_which_both_are_slow_says_nothing_about_the_canary(make: Make) -> None:
    scene, old, new = rolling(make)
    for release in (old, new):
        beside(scene, release, 100, ms=50.0)
    judged = look(scene, new)
    assert (judged.outcome, judged.evidence["slow"]["slow"]) == ("passed", 100)


@pytest.mark.requirement("DEP-02")
def test_a_canary_that_sells_less_is_aborted(make: Make) -> None:
    scene, old, new = rolling(make)
    beside(scene, old, 200, sold=0.6)
    beside(scene, new, 200, sold=0.2)
    judged = look(scene, new)
    assert judged.outcome == "failed"
    assert judged.reason.startswith("sales is lower by at least ")
    assert judged.reason.endswith("per answer, of 400 customers")
    (sales,) = judged.evidence["kpis"]
    assert sales["difference"][1] < 0


def test_too_few_customers_say_nothing_about_a_kpi(make: Make) -> None:
    scene, old, new = rolling(make)
    beside(scene, old, 200, sold=0.9)
    beside(scene, new, 49, sold=0.0)
    judged = look(scene, new)
    assert judged.outcome == "passed"
    assert "kpis" not in judged.evidence


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"segments": (SegmentSeen("fuel", "gas", 90, 10.0, (0.3, 0.9)),)}, "worse where fuel is 'gas'"),
        ({"segments": (SegmentSeen("fuel", "gas", 90, 10.0, (0.1, 0.9)),)}, ""),
        (
            {"kpis": (KpiSeen("returns", "EUR", "higher", 90, (0.3, 0.9)),)},
            "returns is higher by at least 0.3",
        ),
        ({"kpis": (KpiSeen("returns", "EUR", "higher", 90, (-0.9, -0.3)),)}, ""),
        ({"kpis": (KpiSeen("sales", "EUR", "lower", 90, None),)}, ""),
        ({"slow": Slow(20.0, 100, 30, 900, 9, 0.1)}, "slower: 30 of 100"),
        ({"slow": Slow(20.0, 100, 3, 900, 9, 0.1)}, ""),
        ({"slow": Slow(20.0, 100, 30, 900, 270, 0.1)}, ""),
    ],
)
def test_each_of_them_aborts_by_itself(seen: dict[str, Any], reason: str) -> None:
    judged = judge(Observation(answered=50, failed=0, **seen), SPEC, 0.02, SHARES)
    assert judged.outcome == ("failed" if reason else "passed")
    assert reason in judged.reason


def test_as_fast_in_a_busy_hour_hardly_ever_aborts_however_often_one_looks() -> None:
    """800 steps of 1,500 requests each, of which a third come when one in three is slow."""
    random, shares = np.random.default_rng(8), SHARES._replace(slow=0.1)
    wrong = 0
    for _ in range(800):
        slow = random.random(1500) < np.where(np.arange(1500) // 100 % 3 == 0, 0.33, 0.005)
        mine = random.random(1500) < 0.1
        counted = np.cumsum([mine, mine & slow, ~mine, ~mine & slow], axis=1)
        for place in np.flatnonzero(mine & slow).tolist():
            n, n_slow, others, others_slow = counted[:, place].tolist()
            timed = Slow(20.0, n, n_slow, others, others_slow, 0.1)
            if judge(Observation(answered=50, failed=0, slow=timed), SPEC, 0.0, shares).outcome == "failed":
                wrong += 1
                break
    assert wrong / 800 <= 0.05 + 3 * (0.05 * 0.95 / 800) ** 0.5, "of two steps each may use half of 0.1"


@pytest.mark.parametrize(("share", "rate"), [(0.1, 0.05), (0.1, 0.5), (0.5, 0.05)])
def test_a_kpi_that_has_not_changed_hardly_ever_aborts_however_often_one_looks(
    share: float, rate: float
) -> None:
    """300 steps of 1,000 customers with up to five answers each, looked at 20 times; one end at 2.5 %."""
    random = np.random.default_rng(9)
    wrong = 0
    for _ in range(300):
        units = np.repeat(np.arange(1000), random.integers(1, 6, 1000))
        mine, often = random.random(1000) < share, random.beta(1, 1 / rate - 1, 1000)
        values = (random.random(units.size) < often[units]).astype(np.float64)
        for n in range(50, 1001, 50):
            if min(mine[:n].sum(), (~mine[:n]).sum()) < 50:
                continue
            so_far = units < n
            sequence = one_sided(0.025)
            sequence.update(between_arms(values[so_far], mine[units[so_far]], share, units[so_far]))
            found = sequence.interval()
            if found is not None and found.high < 0:
                wrong += 1
                break
    assert wrong / 300 <= 0.025 + 3 * (0.025 * 0.975 / 300) ** 0.5


@pytest.mark.parametrize("apart", [0.02, 0.1])
def test_segments_that_have_not_changed_hardly_ever_abort_however_often_one_looks(apart: float) -> None:
    """200 rollouts of 8 segments, of 50 to 400 labelled rows each, looked at after every tenth row."""
    random, sizes = np.random.default_rng(10), (400, 300, 200, 150, 100, 100, 75, 50)
    wrong = 0
    for _ in range(200):
        lows = []
        for size in sizes:
            chance, sequence = random.random(size), one_sided(0.05 / len(sizes))
            differences = (chance < apart).astype(np.float64) - (chance > 1 - apart)
            for row in range(0, size, 10):
                sequence.update(differences[row : row + 10])
                found = sequence.interval()
                lows.append(-1.0 if found is None else found.low)
        wrong += max(lows) > 0
    assert wrong / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5
