from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.project import ServiceLevel
from headrace.serving.levels import MOST_BUSY, Estimate, Step, judge, plan_replicas, quantile, share

LEVEL = ServiceLevel(p99_ms=50, requests_per_s=1_000, availability=0.99)
STEP = Step(
    offered_per_s=1_000,
    answered_per_s=998,
    sent=1_000,
    failed=0,
    p50_ms=Estimate(3, 2, 4),
    p95_ms=Estimate(10, 9, 12),
    p99_ms=Estimate(30, 25, 40),
    cpu_share=0.5,
    cpu_ms=0.5,
    memory_bytes=100 << 20,
    generator_share=0.3,
    errors={},
)


@pytest.mark.parametrize(("q", "n"), [(0.5, 40), (0.99, 800)])
def test_the_interval_of_a_quantile_covers_it_as_often_as_it_says(q: float, n: int) -> None:
    random = np.random.default_rng(1)
    true = float(-np.log(1 - q))
    covered = [
        low <= true <= high
        for _, low, high in (quantile(random.exponential(1.0, n).tolist(), q) for _ in range(1_000))
    ]
    assert 0.93 <= np.mean(covered) <= 1.0


def test_too_few_values_bound_no_high_quantile() -> None:
    assert quantile(list(range(100)), 0.99).high == inf
    assert quantile(list(range(400)), 0.99).high < inf
    assert quantile([], 0.99) == (inf, 0.0, inf)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_a_value_and_lies_in_its_interval(values: list[float], q: float) -> None:
    found = quantile(values, q)
    assert found.value in values
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("true", [0.9, 0.999])
def test_the_interval_of_a_share_covers_it_as_often_as_it_says(true: float) -> None:
    good = np.random.default_rng(2).binomial(2_000, true, 2_000)
    covered = [share(int(k), 2_000) for k in good]
    assert np.mean([one.low <= true <= one.high for one in covered]) >= 0.93


def test_a_share_of_nothing_is_unknown() -> None:
    assert share(0, 0) == (0.0, 0.0, 1.0)


@pytest.mark.requirement("SRV-10")
@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "passed"),
        ({"p99_ms": Estimate(48, 45, 60)}, "inconclusive"),
        ({"p99_ms": Estimate(30, 25, inf)}, "inconclusive"),
        ({"p99_ms": Estimate(70, 60, 90)}, "failed"),
        ({"answered_per_s": 700}, "failed"),
        ({"failed": 60, "errors": {"503": 60}}, "failed"),
        ({"failed": 12, "errors": {"503": 12}}, "inconclusive"),
        ({"generator_share": 0.99, "answered_per_s": 700}, "error"),
        ({"generator_share": 0.99}, "passed"),
    ],
)
def test_a_level_holds_where_its_interval_lies_on_the_right_side(
    changes: dict[str, object], outcome: str
) -> None:
    judged = judge(LEVEL, replace(STEP, **changes))  # type: ignore[arg-type]
    assert judged.outcome == outcome
    assert judged.reason


def test_the_reason_names_what_failed_and_not_what_held() -> None:
    judged = judge(LEVEL, replace(STEP, failed=60, errors={"503": 60}))
    assert judged.reason.startswith("availability: 60 of 1,000 failed (503: 60)")
    assert "p99_ms" not in judged.reason


def test_as_many_replicas_as_the_rate_takes_with_room_to_spare() -> None:
    plan = plan_replicas(replace(LEVEL, requests_per_s=10_000), STEP, STEP)
    assert plan.per_replica_per_s == pytest.approx(MOST_BUSY * 2_000)
    assert plan.replicas == 8
    assert "70% of a processor" in plan.reason


def test_a_tight_limit_leaves_a_replica_less_to_do() -> None:
    """The M/M/1 queue, simulated: 99 of 100 are within the limit at the planned rate, and not at a higher."""
    level = replace(LEVEL, p99_ms=2.5 + 6.0, requests_per_s=10_000)
    plan = plan_replicas(level, STEP, STEP)
    assert "waiting" in plan.reason
    random = np.random.default_rng(3)

    def p99_ms(rate_per_s: float) -> float:
        gaps = random.exponential(1000 / rate_per_s, 200_000)
        service = random.exponential(0.5, 200_000)
        ended, took = 0.0, []
        for arrived, need in zip(np.cumsum(gaps).tolist(), service.tolist(), strict=True):
            ended = max(ended, arrived) + need
            took.append(ended - arrived)
        return float(np.quantile(took, 0.99))

    assert p99_ms(plan.per_replica_per_s) == pytest.approx(6.0, rel=0.1)
    assert p99_ms(plan.per_replica_per_s * 1.5) > 6.0


def test_no_number_of_replicas_makes_a_lone_request_faster() -> None:
    plan = plan_replicas(replace(LEVEL, p99_ms=3), STEP, STEP)
    assert plan.replicas is None
    assert "more replicas do not help" in plan.reason


def test_without_the_servers_processor_time_nothing_is_guessed() -> None:
    assert plan_replicas(LEVEL, STEP, replace(STEP, cpu_ms=None)).replicas is None
