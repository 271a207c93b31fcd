"""What a canary is said to catch before it begins, it catches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.checks.comparison import paired_interval
from headrace.core.project import ModelGate, RolloutSpec
from headrace.core.release import Verdict
from headrace.releases.gates import comparison_gate
from headrace.releases.planning import CanaryPlan, plan_of
from headrace.releases.rollout import Observation, Shares, judge, one_sided
from headrace.testing import START, make_project, make_verdict

GATE = ModelGate(metric="mae", margin=0.02, confidence=0.95)
LOSS, SPREAD = 10.0, 4.0


def champion(n: int = 2_000, spread: float = SPREAD) -> Verdict:
    """A candidate whose losses differ from the live model's by so much from row to row."""
    differences = np.random.default_rng(0).normal(0, spread, n)
    interval = paired_interval(differences, np.zeros(n), GATE.confidence)
    return comparison_gate(
        "r", "champion", GATE, interval, other="model:a@1", other_loss=LOSS, margin=GATE.margin, at=START
    )


def planned(min_labels: int = 0) -> CanaryPlan:
    usual = make_project()
    gates = replace(usual.gates, model=GATE)
    project = replace(usual, gates=gates, rollout=RolloutSpec(min_labels=min_labels))
    found = plan_of([make_verdict(), champion()], project)
    assert found is not None
    return found


def test_what_is_planned_is_caught() -> None:
    """200 rollouts at 95 % have a standard error of 1.5 points; earlier looks find most of them before."""
    random = np.random.default_rng(1)
    plan = planned()
    shares = Shares.out_of(plan.false_aborts)
    one = plan.caught[1]
    assert one.worse == pytest.approx(0.12)
    aborted = 0
    for _ in range(200):
        sequence = one_sided(shares.losses)
        sequence.update(random.normal(one.worse * LOSS, SPREAD, one.n_labels))
        interval = sequence.interval()
        assert interval is not None
        seen = Observation(
            answered=one.n_labels,
            failed=0,
            n_labels=one.n_labels,
            difference=(interval.low, interval.high),
            champion_loss=LOSS,
        )
        aborted += judge(seen, RolloutSpec(), plan.margin, shares).outcome == "failed"
    assert aborted >= 0.95 * 200 - 10


def test_a_larger_loss_needs_fewer_rows_and_more_rows_catch_less() -> None:
    rows = [one.n_labels for one in planned().caught]
    assert rows == sorted(rows, reverse=True)
    assert planned().at_min_labels is None
    few, many = planned(200).at_min_labels, planned(5_000).at_min_labels
    assert few is not None
    assert many is not None
    assert few > many > GATE.margin


@pytest.mark.parametrize(
    "evidence",
    [
        {},
        {"interval": [None, None], "against_loss": 1.0, "n_rows": 100, "confidence": 0.95},
        {"interval": [0.0, 0.0], "against_loss": 1.0, "n_rows": 100, "confidence": 0.95},
        {"interval": [-1.0, 1.0], "against_loss": 0.0, "n_rows": 100, "confidence": 0.95},
    ],
)
def test_nothing_is_promised_where_nothing_was_compared(evidence: dict[str, object]) -> None:
    assert plan_of([make_verdict(gate="champion", evidence=evidence)], make_project()) is None
