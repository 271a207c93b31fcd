from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.checks.fairness import Share
from headrace.checks.metrics import Interval
from headrace.checks.robustness import Stress
from headrace.projects.proofs import RobustnessChecks
from headrace.releases.robustness import robustness_gate
from headrace.testing import START
from headrace.training.disturbed import Disturbed


def _interval(low: float, high: float) -> Interval:
    return Interval(estimate=(low + high) / 2, low=low, high=high, confidence=0.95, n=100)


def _stress(name: str, low: float, high: float, hits: int = 3) -> Stress:
    return Stress(
        name=name,
        loss=1.5,
        before=1.0,
        worse=_interval(0.4, 0.6),
        beyond=_interval(low, high),
        share_lost=0.25,
        flipped=Share(hits=hits, n=40),
    )


SOUND = Disturbed(
    n_rows=100,
    spares=_interval(-3.0, -1.0),
    noise=_stress("noise", -0.5, -0.3),
    missing=(_stress("size", 0.2, 0.4),),
    attack=_stress("attack", -0.5, 0.5),
)
FRAGILE = replace(SOUND, noise=_stress("noise", 0.1, 0.2))


@pytest.mark.parametrize(
    ("found", "declared", "outcome", "reason"),
    [
        (SOUND, {}, "passed", "under noise of 0.1 spreads the loss goes from 1 to 1.5, which is 25% of what"),
        (SOUND, {}, "passed", "without size the loss goes"),
        (SOUND, {}, "passed", "a search turned 3 of 40 decisions"),
        (FRAGILE, {}, "inconclusive", "more than half"),
        (replace(FRAGILE, spares=_interval(-3.0, 0.1)), {}, "passed", "under noise"),
        (SOUND, {"loss": 0.3}, "failed", "without size the loss goes from 1 to 1.5"),
        (replace(SOUND, missing=()), {"loss": 0.3}, "passed", "30% is allowed"),
        (
            replace(SOUND, missing=(_stress("size", -0.1, 0.1),)),
            {"loss": 0.3},
            "inconclusive",
            "without size",
        ),
        (replace(SOUND, refused=("year",)), {}, "passed", "without year it gives no answer"),
        (replace(SOUND, missing=(), refused=("year",)), {"loss": 0.9}, "failed", "without year it gives no"),
        (SOUND, {"flipped": 0.01}, "failed", "1% may turn"),
        (SOUND, {"flipped": 0.1}, "inconclusive", "95% interval 3% to 20%; 10% may turn"),
        (SOUND, {"flipped": 0.3}, "passed", "30% may turn"),
        (Disturbed(why="12 test rows are too few to judge"), {}, "passed", "12 test rows"),
        (Disturbed(why="12 test rows are too few to judge"), {"loss": 0.1}, "inconclusive", "12 test rows"),
        (Disturbed(why="not applicable: without truth"), {"loss": 0.1}, "passed", "not applicable"),
        (Disturbed(n_rows=50), {"loss": 0.1}, "passed", "not applicable: the model has no number"),
    ],
)
def test_what_was_found_is_a_verdict(
    found: Disturbed, declared: dict[str, float], outcome: str, reason: str
) -> None:
    judged = robustness_gate("release-1", found, RobustnessChecks(**declared), "mae", START)  # type: ignore[arg-type]
    assert (judged.gate, judged.outcome) == ("robustness", outcome), judged.reason
    assert reason in judged.reason


def test_the_evidence_names_what_was_done() -> None:
    evidence = robustness_gate("r", SOUND, RobustnessChecks(loss=0.3), "mae", START).evidence
    assert [one["what"] for one in evidence["under"]] == ["noise", "without size", "attack"]
    assert evidence["under"][1]["flipped"] == 3 / 40
    assert (evidence["allowed share"], evidence["rows"]) == (0.3, 100)
