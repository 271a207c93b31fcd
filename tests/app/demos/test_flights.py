"""What the demo tells at its end."""

from __future__ import annotations

from typing import Any

from headrace.app.demos.flights import lines_of_findings, lines_of_releases


def found(kind: str, title: str, feature: str | None, size: float) -> dict[str, Any]:
    return {
        "window": ["2013-07-01", "2013-07-08"],
        "kind": kind,
        "release": "r-1",
        "title": title,
        "feature": feature,
        "size": size,
    }


def test_shifts_of_a_window_are_told_together_and_losses_are_no_shifts() -> None:
    findings = [
        found("performance", "the loss on Friday is 1.5 times what it was", "weekday: Friday", 1.5),
        found("performance", "log_loss is 1.2 times what it was", None, 1.2),
        found("data_drift", "temp has shifted", "temp", 2.5),
        found("data_drift", "dewp has shifted", "dewp", 1.6),
    ]
    told = [line.what for line in lines_of_findings(findings, {"r-1": "model:flight-delay@1"})]
    assert told == [
        "2013-07-08  the loss on Friday is 1.5 times what it was; and 1 more",
        "2013-07-08  2 inputs have shifted, by standard deviations: temp 2.5, dewp 1.6",
    ]


def test_a_release_that_nobody_approved_names_nobody() -> None:
    release = {
        "subject": "model:flight-delay@4",
        "state": "refused",
        "cause": "run by hand",
        "digest": "1be65c112fdb0000",
        "verdicts": [{"outcome": "failed"}, {"outcome": "passed"}],
        "approver": None,
    }
    told = [line.evidence for line in lines_of_releases([release, release | {"approver": "bob"}])]
    assert told == [
        "digest 1be65c112fdb, 1 failed, 1 passed",
        "digest 1be65c112fdb, 1 failed, 1 passed, approved by bob",
    ]
