from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest

from headrace.app.gates.load_test import LoadTest
from headrace.cli.load_test import print_test
from headrace.core.project import ServiceLevel
from headrace.serving.levels import Estimate, Plan, Step
from tests.cli.conftest import Ended

Run = Callable[..., Ended]


def _step(rate: float, p99_ms: Estimate) -> Step:
    return Step(
        offered_per_s=rate, answered_per_s=rate, sent=400, failed=1, p50_ms=Estimate(2, 1, 3),
        p95_ms=Estimate(4, 3, 5), p99_ms=p99_ms, cpu_share=0.25, cpu_ms=0.5, memory_bytes=100 << 20,
        generator_share=0.1, errors={"503": 1},
    )  # fmt: skip


def test_a_test_is_shown_by_step_with_its_conclusion(capsys: pytest.CaptureFixture[str]) -> None:
    print_test(
        LoadTest(
            project="cars",
            release="r-1",
            url=None,
            level=ServiceLevel(p99_ms=50, requests_per_s=100),
            outcome="passed",
            reason="p99_ms: fine",
            steps=[_step(50, Estimate(5, 4, 6)), _step(100, Estimate(10, 8, inf))],
            plan=Plan(replicas=2, per_replica_per_s=70, reason="so it is"),
            n_rows=60,
            verdict="v-1",
        )
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cars, release r-1, 60 different rows"
    assert "10 (8 to inf)" in lines[-5]
    assert (lines[-6].count("#"), lines[-5].count("#")) == (10, 20)
    assert lines[-3] == "The level holds. p99_ms: fine"
    assert lines[-2:] == ["Replicas: 2. so it is.", "Kept on the release as verdict v-1."]


def test_a_project_without_a_level_is_told_what_to_write(full: Run) -> None:
    ended = full("serve", "test", "cars")
    assert ended.code == 2
    assert "level: {p99_ms: 50, requests_per_s: 100, availability: 0.999}" in ended.error
    assert full("serve", "test", "cars", "--p99-ms", "-1").error == "--p99-ms and --rate are numbers above 0."
