from __future__ import annotations

import pytest

from headrace.projects.proofs import OwnTests
from headrace.releases.own_tests import own_tests_gate
from headrace.testing import START
from headrace.training.own_tests import Ending, TestResult, TestsRun


def _run(ended: Ending = "finished", *outcomes: str, running: str | None = None) -> TestsRun:
    results = tuple(
        TestResult(name=f"tests/test_it.py::test_{index}", outcome=outcome, duration_s=float(index),  # type: ignore[arg-type]
                   why="assert 1 == 2\nmore" if outcome == "failed" else "")
        for index, outcome in enumerate(outcomes)
    )  # fmt: skip
    return TestsRun(ended=ended, results=results, duration_s=9.0, how="SIGSEGV", running=running)


@pytest.mark.requirement("UI-07")
@pytest.mark.parametrize(
    ("ran", "min_passed", "outcome", "reason"),
    [
        (None, 0, "passed", "no tests of its own"),
        (None, 1, "failed", "1 must pass"),
        (_run("finished", "passed", "skipped"), 1, "passed", "1 passed in 9.0 s, 1 skipped"),
        (_run("finished", "passed", "skipped"), 2, "failed", "1 tests passed, and 2 must"),
        (_run("finished", "skipped"), 0, "passed", "none ran: 1 were skipped"),
        (_run("finished", "passed", "failed"), 0, "failed", "1 of 2 tests failed: tests/test_it.py::test_1"),
        (_run("finished", *["failed"] * 5), 0, "failed", "; and 2 more"),
        (_run("timed_out", "passed", running="t::a"), 0, "error", "stopped after 300 s, in t::a"),
        (_run("timed_out", "passed"), 0, "error", "outside of any test"),
        (_run("killed", running="t::a"), 0, "error", "killed in t::a"),
        (_run("died", "passed", running="t::a"), 0, "failed", "in t::a (SIGSEGV)"),
        (_run("broken"), 0, "error", "could not be run: SIGSEGV"),
    ],
)  # fmt: skip
def test_what_became_of_the_tests_is_a_verdict(
    ran: TestsRun | None, min_passed: int, outcome: str, reason: str
) -> None:
    judged = own_tests_gate("release-1", ran, OwnTests(min_passed=min_passed), START)
    assert (judged.gate, judged.outcome) == ("tests", outcome)
    assert reason in judged.reason


def test_the_evidence_is_counted_and_bounded() -> None:
    judged = own_tests_gate(
        "release-1", _run("finished", *["passed"] * 230, *["failed"] * 30), OwnTests(), START
    )
    evidence = judged.evidence
    assert evidence["counts"] == {"passed": 230, "failed": 30, "skipped": 0}
    assert (len(evidence["tests"]), evidence["not listed"], len(evidence["failures"])) == (200, 60, 20)
    assert evidence["failures"][0]["why"] == "assert 1 == 2\nmore"
    assert [one["duration_s"] for one in evidence["slowest"]] == [259, 258, 257, 256, 255]
    assert (evidence["duration_s"], evidence["timeout_s"]) == (9.0, 300.0)
