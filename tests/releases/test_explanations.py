from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.releases.explanations import explanations_gate
from headrace.testing import START
from headrace.training.reliance import Reliance, Relied


def _input(name: str, share: float, alone: float | None = 0.5) -> Relied:
    return Relied(name=name, share=share, alone=alone)


SOUND = Reliance(inputs=(_input("size", 0.7), _input("year", 0.3)), same=False, n_controls=5, n_explained=30)


@pytest.mark.parametrize(
    ("found", "outcome", "reason"),
    [
        (SOUND, "passed", "its answers hang on size most, by 70%; otherwise than those of 5 models"),
        (SOUND, "passed", "contributions add up in 30 of 30 rows"),
        (replace(SOUND, inputs=(_input("paid", 0.95, 0.995),)), "inconclusive", "paid (says 99.5% of it"),
        (replace(SOUND, inputs=(_input("paid", 0.6, 0.995), _input("year", 0.4))), "passed", "hang on paid"),
        (
            replace(SOUND, inputs=(_input("net", 0.5, 0.995), _input("gross", 0.5, 0.999))),
            "inconclusive", "net (says 99.5% of it alone), gross (says 99.9% of it alone): 100% of what",
        ),
        (replace(SOUND, inputs=(_input("lag_7", 1.0, None),)), "passed", "hang on lag_7 most"),
        (replace(SOUND, same=None), "passed", "by 70%; contributions"),
        (replace(SOUND, same=True), "inconclusive", "just as those of 5 models with shuffled labels do"),
        (replace(SOUND, wrong="they add up to 3"), "inconclusive", "cannot be explained: they add up to 3"),
        (replace(SOUND, n_explained=0, unexplained="no row is left"), "passed", "no row was explained"),
        (replace(SOUND, inputs=(_input("size", 0.0),)), "passed", "its answers hang on no input"),
        (Reliance(why="not applicable: without truth"), "passed", "not applicable: without truth"),
    ],
)  # fmt: skip
def test_what_was_found_is_a_verdict(found: Reliance, outcome: str, reason: str) -> None:
    judged = explanations_gate("release-1", found, START)
    assert (judged.gate, judged.outcome) == ("explanations", outcome), judged.reason
    assert reason in judged.reason
