from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.checks.metrics import Interval
from headrace.checks.training_faults import Gain, InputFaults
from headrace.projects.proofs import TrainingChecks
from headrace.releases.training_faults import training_gate
from headrace.testing import START
from headrace.training.probed import Probed


def _interval(low: float, high: float) -> Interval:
    return Interval(estimate=(low + high) / 2, low=low, high=high, confidence=0.99, n=100)


SOUND = Probed(
    inputs=InputFaults(),
    loss=1.0,
    constant=4.0,
    learnt=_interval(-3.5, -2.5),
    test_loss=1.5,
    gap=_interval(0.2, 0.8),
    gain=Gain(candidate=2.5, ordinary=2.4, worth_it=True, short=_interval(-1.6, -1.0)),
    shuffled=_interval(-0.2, 0.1),
)


@pytest.mark.requirement("TRN-10")
@pytest.mark.parametrize(
    ("found", "declared", "outcome", "reason"),
    [
        (SOUND, {}, "passed", "mae 1 on training rows, 4 of a constant"),
        (replace(SOUND, inputs=InputFaults(copies=("net",))), {}, "failed", "net: the target in another"),
        (replace(SOUND, inputs=InputFaults(constant=("year",), same=(("a", "b"),))), {}, "passed", "a and b"),
        (replace(SOUND, learnt=_interval(0.0, 0.0)), {}, "failed", "no better on its own training rows"),
        (replace(SOUND, learnt=_interval(-2e-8, -1e-8)), {}, "failed", "no better on its own training rows"),
        (replace(SOUND, learnt=_interval(-0.1, 0.1)), {}, "inconclusive", "look at hyperparameters"),
        (replace(SOUND, broken="it was killed"), {}, "error", "could not be measured: it was killed"),
        (SOUND, {"max_gap": 0.1}, "failed", "fitted too closely"),
        (SOUND, {"max_gap": 0.4}, "inconclusive", "0.4 is allowed"),
        (SOUND, {"max_gap": 0.6}, "passed", "0.5 more on test rows"),
        (
            replace(SOUND, gain=Gain(candidate=0.2, ordinary=2.4, worth_it=True, short=_interval(0.5, 1.0))),
            {}, "failed", "usual boosted trees 2.4; 50% are asked for",
        ),
        (
            replace(SOUND, gain=Gain(candidate=0.2, ordinary=0.3, worth_it=False, short=_interval(0.5, 1.0))),
            {}, "passed", "mae 1",
        ),
        (replace(SOUND, shuffled=_interval(0.3, 0.5)), {}, "inconclusive", "its labels were shuffled"),
        (replace(SOUND, shuffled=_interval(0.001, 0.002)), {}, "passed", "shuffled labels it spares 0.1%"),
        (Probed(inputs=InputFaults(), unmeasured=("no truth",)), {}, "passed", "nothing is wrong"),
        (replace(SOUND, learnt=None, unmeasured=("it is a constant",)), {}, "passed", "0.5 more"),
    ],
)  # fmt: skip
def test_what_was_found_is_a_verdict(
    found: Probed, declared: dict[str, float], outcome: str, reason: str
) -> None:
    judged = training_gate("release-1", found, TrainingChecks(**declared), "mae", START)
    assert (judged.gate, judged.outcome) == ("training", outcome)
    assert reason in judged.reason
    assert judged.evidence["not measured"] == list(found.unmeasured)
