"""Gate 3b: what counts as kept, broken, not measurable and too noisy, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.canonical import canonical_json
from headrace.projects.contracts import Interaction, Output, Request
from headrace.releases.contracts import (
    Got,
    Kept,
    Part,
    contract_gate,
    judge_interaction,
    rehearsal_gate,
    unmeasured,
)
from headrace.testing import START

ROW = Request(record={"year": 2012})


def relied(within_ms: float | None = None, **outputs: Output) -> Interaction:
    return Interaction(name="usual", request=ROW, answer=outputs, within_ms=within_ms)


def judged(output: Output, value: Any) -> Kept:
    return judge_interaction("page", relied(predict=output), [Got(status=200, rows=[{"predict": value}])])


@pytest.mark.requirement("GAT-04")
@pytest.mark.parametrize(
    ("output", "value", "problem"),
    [
        (Output(type="number", min=0, max=9), 9, ""),
        (Output(type="number", min=0, max=9), 9.01, "predict is 9.01, expected at most 9"),
        (Output(type="number", min=0, max=9), -1, "predict is -1, expected at least 0"),
        (Output(type="number"), True, "predict is True, expected number"),
        (Output(type="number"), None, "predict is nothing, expected number"),
        (Output(type="text", classes=("a", "b")), "a", ""),
        (Output(type="text", classes=("a", "b")), "c", "predict is 'c', expected one of 'a', 'b'"),
        (Output(type="boolean"), 1, "predict is 1, expected boolean"),
        (Output(type="boolean"), False, ""),
        (Output(type="numbers", sum_to_one=True), [0.25, 0.75], ""),
        (Output(type="numbers", sum_to_one=True), [0.25, 0.7], "predict adds up to 0.95, expected 1"),
        (Output(type="numbers", max=1), [0.5, 1.5], "predict is 1.5, expected at most 1"),
        (Output(type="numbers"), 0.5, "predict is 0.5, expected a list of numbers"),
        (Output(type="numbers"), [0.5, "x"], "predict is [0.5, 'x'], expected a list of numbers"),
    ],
)
def test_an_output_is_held_against_what_is_relied_on(output: Output, value: Any, problem: str) -> None:
    kept = judged(output, value)
    assert kept.outcome == ("failed" if problem else "passed")
    if problem:
        assert kept.got == problem


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_number_is_kept_exactly_within_its_bounds(value: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    kept = judged(Output(type="number", min=low, max=high), value)
    assert (kept.outcome == "passed") == (low <= value <= high)


def test_every_row_counts_and_a_missing_output_is_named() -> None:
    interaction = relied(predict=Output(type="number", max=9), confidence=Output(type="number"))
    got = Got(status=200, rows=[{"predict": 1}, {"predict": 10, "confidence": 1}])
    kept = judge_interaction("page", interaction, [got])
    assert kept.got == (
        "predict is 10, expected at most 9 in row 1; confidence is not in the answer in row 0"
    )


@pytest.mark.requirement("GAT-04")
@pytest.mark.parametrize(
    ("got", "outcome", "text"),
    [
        (Got(status=400, words="Input 'year' is no number."), "passed", "was refused (400), naming year"),
        (Got(status=422, words="record.year: text"), "passed", "was refused (422), naming year"),
        (Got(status=400, words="No yearly thing."), "failed", "was refused (400) without naming year: No y"),
        (Got(status=200, rows=[{"predict": 1}]), "failed", "got an answer"),
        (Got(status=500), "failed", "the service failed (500)"),
        (Got(status=503, words="busy"), "error", "could not be asked (503): busy"),
    ],
)
def test_a_refusal_is_relied_on_as_well(got: Got, outcome: str, text: str) -> None:
    interaction = Interaction(name="odd", request=ROW, refused=True, field="year")
    kept = judge_interaction("page", interaction, [got])
    assert kept.outcome == outcome
    assert kept.got.startswith(text)
    assert kept.relies_on == "is refused, naming year"


def test_an_input_that_may_be_null_is_named_when_it_may_not() -> None:
    answered = Got(status=200, rows=[{"predict": 1}])
    refused = Got(status=400, words="Input 'year' is missing.", unknown="year")
    kept = judge_interaction("page", relied(predict=Output(type="number")), [answered, refused])
    assert kept.outcome == "failed"
    assert kept.got == "where year is null: was refused (400): Input 'year' is missing."


@pytest.mark.requirement("GAT-04")
@pytest.mark.parametrize(
    ("took_ms", "outcome"),
    [
        ([9.0] * 31, "passed"),
        ([9.0] * 16 + [900.0] * 15, "passed"),
        ([11.0] * 31, "inconclusive"),
        ([9.0] * 14 + [90.0] * 17, "inconclusive"),
        ([13.0] * 31, "failed"),
        ([90.0] * 3, "inconclusive"),
    ],
    ids=["quick", "half of them noisy", "within the tolerance", "noisy", "slow", "too few"],
)
def test_time_is_judged_by_the_median_and_its_interval(took_ms: Sequence[float], outcome: str) -> None:
    interaction = relied(within_ms=10, predict=Output(type="number"))
    kept = judge_interaction("page", interaction, [Got(status=200, rows=[{"predict": 1}])], took_ms)
    assert kept.outcome == outcome
    assert f"the median of {len(took_ms)} asks took" in kept.got
    assert kept.relies_on.endswith("within 10 ms (median, 20% more tolerated)")


def test_a_broken_promise_outweighs_a_slow_one() -> None:
    interaction = relied(within_ms=10, predict=Output(type="number"))
    kept = judge_interaction("page", interaction, [Got(status=200, rows=[{"predict": "x"}])], [99.0] * 31)
    assert (kept.outcome, kept.got) == ("failed", "predict is 'x', expected number")


@pytest.mark.requirement("GAT-04")
def test_the_gate_names_consumer_interaction_and_both_sides() -> None:
    interaction = relied(predict=Output(type="number", max=9))
    good, bad = (
        judge_interaction(who, interaction, [Got(status=200, rows=[{"predict": n}])])
        for who, n in (("page", 8), ("app", 10))
    )
    published = {name: {"digest": f"of {name}", "owner": "Web, web@example.org"} for name in ("page", "app")}
    verdict = contract_gate("r", [good, bad], published, START)
    assert verdict.outcome == "failed"
    assert verdict.reason == (
        "app, 'usual': predict is 10, expected at most 9 (relies on predict: number ..9)"
    )
    assert verdict.evidence["contracts"] == published
    assert [line["outcome"] for line in verdict.evidence["interactions"]] == ["passed", "failed"]
    assert canonical_json(verdict)
    passed = contract_gate("r", [good], {"page": published["page"]}, START)
    assert (passed.outcome, passed.reason) == ("passed", "1 of 1 interactions of page are kept")


def test_without_contracts_there_is_nothing_to_keep_and_that_is_said() -> None:
    verdict = contract_gate("r", [], {}, START)
    assert (verdict.outcome, verdict.reason) == ("passed", "no consumer has published a contract")


@pytest.mark.requirement("GAT-09")
def test_a_rehearsal_names_what_does_not_work_with_the_release() -> None:
    works, broken = Part("access", True, "401"), Part("record", False, "1 of 2 answers found again")
    assert rehearsal_gate("r", [works], START).reason == "works together with access"
    verdict = rehearsal_gate("r", [works, broken], START)
    assert (verdict.outcome, verdict.reason) == ("failed", "record: 1 of 2 answers found again")
    assert verdict.evidence["parts"]["access"] == {"works": True, "seen": "401"}


def test_what_could_not_be_asked_is_an_error_and_neither_good_nor_bad() -> None:
    verdict = unmeasured("r", "contract", "no server", {"page": {"digest": "d", "owner": ""}}, START)
    assert (verdict.outcome, verdict.reason) == ("error", "could not be measured: no server")
