"""The gate ``tests``: whether the project's own tests pass on the code that is released."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.core.release import Outcome4, Verdict
from headrace.projects.proofs import OwnTests
from headrace.releases.gates import verdict
from headrace.training.own_tests import TestResult, TestsRun

TESTS = "tests"
_LISTED = 200
_EXPLAINED = 20
_NAMED = 3
_NONE = "the project has no tests of its own: write some to tests/test_*.py"


def own_tests_gate(subject_id: str, ran: TestsRun | None, declared: OwnTests, at: datetime) -> Verdict:
    """What became of them, as a verdict. A project without tests passes, and is told, unless some must pass.

    What hangs, or was killed from outside, is an error: it was not measured. A test that ends the process
    fails.

    Args:
        ran: None where there are none.
    """
    if ran is None:
        outcome: Outcome4 = "failed" if declared.min_passed else "passed"
        reason = _NONE if not declared.min_passed else f"{_NONE}; {declared.min_passed} must pass"
        return verdict(subject_id, TESTS, outcome, reason, evidence={"counts": {"passed": 0}}, at=at)
    outcome, reason = _judged(ran, declared)
    return verdict(subject_id, TESTS, outcome, reason, evidence=_evidence(ran, declared), at=at)


def _judged(ran: TestsRun, declared: OwnTests) -> tuple[Outcome4, str]:
    passed, failed, skipped = (len(ran.of(name)) for name in ("passed", "failed", "skipped"))
    where = f"in {ran.running}" if ran.running else "outside of any test"
    if ran.ended == "timed_out":
        text = f"the tests were stopped after {declared.timeout_s:g} s, {where}"
        return "error", f"{text}: make it end, or allow more in proofs.tests.timeout_s"
    if ran.ended == "killed":
        return "error", f"the tests were killed {where}; if nobody did it, the machine ran out of memory"
    if ran.ended == "broken":
        return "error", f"the tests could not be run: {ran.how}"
    if ran.ended == "died":
        return "failed", f"the tests ended before their end, {where} ({ran.how})"
    if failed:
        said = "; ".join(f"{one.name}: {_first_line(one.why)}" for one in ran.of("failed")[:_NAMED])
        return "failed", f"{failed} of {passed + failed} tests failed: {said}" + _more(failed)
    if passed < declared.min_passed:
        return "failed", f"{passed} tests passed, and {declared.min_passed} must (proofs.tests.min_passed)"
    if not passed:
        return "passed", f"none ran: {skipped} were skipped" if skipped else _NONE
    text = f"{passed} passed in {ran.duration_s:.1f} s"
    return "passed", f"{text}, {skipped} skipped" if skipped else text


def _evidence(ran: TestsRun, declared: OwnTests) -> dict[str, Any]:
    slowest = sorted(ran.results, key=lambda one: -one.duration_s)[:5]
    return {
        "ended": ran.ended,
        "how": ran.how,
        "running at the end": ran.running,
        "duration_s": round(ran.duration_s, 3),
        "timeout_s": declared.timeout_s,
        "must pass": declared.min_passed,
        "counts": {name: len(ran.of(name)) for name in ("passed", "failed", "skipped")},
        "failures": [_plain(one) | {"why": one.why} for one in ran.of("failed")[:_EXPLAINED]],
        "slowest": [_plain(one) for one in slowest],
        "tests": [_plain(one) for one in ran.results[:_LISTED]],
        "not listed": max(0, len(ran.results) - _LISTED),
    }


def _plain(one: TestResult) -> dict[str, Any]:
    return {"test": one.name, "outcome": one.outcome, "duration_s": round(one.duration_s, 3)}


def _first_line(text: str) -> str:
    return text.partition("\n")[0] or "no reason was given"


def _more(failed: int) -> str:
    return f"; and {failed - _NAMED} more" if failed > _NAMED else ""
