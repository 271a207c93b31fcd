"""The gates as verdicts: four outcomes, and the evidence that each was concluded from."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.checks.comparison import paired_interval, segment_differences
from headrace.checks.metrics import Interval
from headrace.core.canonical import canonical_json
from headrace.core.project import ModelGate, MonitorSpec, Owner, Project, Trigger, Value
from headrace.core.release import Verdict
from headrace.releases.gates import comparison_gate, flight_gate, limit_gate, segments_gate
from headrace.releases.states import overall
from headrace.testing import START, make_project

GATE = ModelGate(metric="mae", max_loss=10.0, margin=0.02, confidence=0.95)


@pytest.mark.requirement("GAT-02")
@pytest.mark.parametrize(
    ("loss", "limit", "outcome"),
    [(9.9, 10.0, "passed"), (10.0, 10.0, "passed"), (10.1, 10.0, "failed"), (1e9, None, "passed"),
     (math.nan, 10.0, "error"), (math.inf, None, "error")],
)  # fmt: skip
def test_the_loss_must_be_within_its_declared_limit(loss: float, limit: float | None, outcome: str) -> None:
    judged = limit_gate("r", replace(GATE, max_loss=limit), loss, START)
    assert judged.outcome == outcome
    assert judged.evidence["limit"] == limit
    assert judged.evidence["metric"] == "mae"
    assert judged.evidence["value"] == (loss if math.isfinite(loss) else None)
    assert canonical_json(judged)


def compared(difference: float, *, spread: float = 1.0, n: int = 100, other_loss: float = 50.0) -> Verdict:
    """A candidate whose losses are larger by ``difference`` on average than a champion's."""
    random = np.random.default_rng(0)
    noise = random.normal(0, spread, n)
    noise -= noise.mean() if n else 0.0
    interval = paired_interval(noise + difference, np.zeros(n), GATE.confidence)
    return comparison_gate(
        "r",
        "champion",
        GATE,
        interval,
        other="model:cars@1",
        other_loss=other_loss,
        margin=GATE.margin,
        at=START,
    )


def in_segments(**means: float) -> Verdict:
    """Segments of 100 rows, in which a candidate loses so much more than a champion's 50; ``few`` has 5."""
    random = np.random.default_rng(0)
    names = np.repeat(list(means), [5 if name == "few" else 100 for name in means]).astype(object)
    noise = random.normal(0, 1, names.size)
    shift = np.array([means[name] for name in names])
    found = segment_differences(50 + noise + shift, np.full(names.size, 50.0), {"fuel": names}, 0.95)
    return segments_gate("r", GATE, found, other="model:cars@1", at=START)


@pytest.mark.requirement("GAT-10", "GAT-14")
def test_a_candidate_is_held_against_the_live_release_in_each_segment() -> None:
    """It may lose 1 more in each."""
    judged = in_segments(gas=-2.0, diesel=5.0, few=9.0)
    assert judged.outcome == "inconclusive", "better here and worse there: a person decides"
    assert "fuel 'diesel': the difference in loss is" in judged.reason
    assert "undecided: fuel 'few' has 5 of 20 rows" in judged.reason
    outcomes = {one["segment"]: one["outcome"] for one in judged.evidence["segments"]}
    assert outcomes == {"gas": "passed", "diesel": "failed", "few": "inconclusive"}
    assert judged.evidence["confidence of each"] == pytest.approx(0.975)
    assert canonical_json(judged)


def test_a_segment_that_is_undecided_is_named_and_stops_nothing() -> None:
    judged = in_segments(gas=-2.0, diesel=1.05, few=9.0)
    assert judged.outcome == "passed"
    assert judged.reason.endswith("undecided: fuel 'diesel', fuel 'few' has 5 of 20 rows")
    assert in_segments(few=0.0).outcome == "inconclusive", "no segment at all was compared"
    assert in_segments(gas=math.nan).outcome == "error"


@pytest.mark.requirement("GAT-10", "GAT-14")
@pytest.mark.parametrize(
    ("difference", "outcome"), [(-5.0, "passed"), (0.0, "passed"), (0.9, "inconclusive"), (5.0, "failed")]
)
def test_a_candidate_is_held_against_the_live_release(difference: float, outcome: str) -> None:
    """The champion loses 50, so a candidate may lose 1 more."""
    judged = compared(difference)
    assert judged.outcome == outcome
    evidence = judged.evidence
    assert evidence["against"] == "model:cars@1"
    assert (evidence["against_loss"], evidence["allowed"]) == (50.0, 1.0)
    assert evidence["difference"] == pytest.approx(difference, abs=1e-9)
    low, high = evidence["interval"]
    assert low < difference < high
    assert (evidence["confidence"], evidence["n_rows"], evidence["metric"]) == (0.95, 100, "mae")
    assert "model:cars@1" in judged.reason


def test_too_few_rows_decide_nothing() -> None:
    assert compared(5.0, n=19).outcome == "inconclusive"


@pytest.mark.parametrize("estimate", [math.nan, math.inf])
def test_a_comparison_that_could_not_be_measured_is_an_error_with_evidence(estimate: float) -> None:
    interval = Interval(estimate=estimate, low=-math.inf, high=math.nan, confidence=0.95, n=100)
    judged = comparison_gate(
        "r", "champion", GATE, interval, other="model:cars@1", other_loss=math.nan, margin=0.02, at=START
    )
    assert judged.outcome == "error"
    assert judged.evidence["interval"] == [None, None]
    assert canonical_json(judged), "a store takes it"


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e3), st.floats(0, 1e6))
def test_the_outcome_follows_from_the_evidence_that_is_kept(
    difference: float, spread: float, other_loss: float
) -> None:
    judged = compared(difference, spread=spread, other_loss=other_loss)
    (low, high), allowed = judged.evidence["interval"], judged.evidence["allowed"]
    expected = "passed" if high <= allowed else "failed" if low > allowed else "inconclusive"
    assert judged.outcome == expected


def ready() -> Project:
    """A project that lacks nothing."""
    project = make_project(triggers=(Trigger(when="drift"),))
    return replace(project, data=replace(project.data, documentation="from the dealers, weekly"))


@pytest.mark.requirement("GAT-15", "GAT-14")
@pytest.mark.parametrize(
    ("missing", "project"),
    [
        ("owner", replace(ready(), owner=Owner(name=" ", contact="ann@localhost"))),
        ("contact", replace(ready(), owner=Owner(name="Ann", contact="to be filled"))),
        ("monitoring", replace(ready(), monitors=MonitorSpec(window_s=0))),
        ("monitoring", replace(ready(), monitors=MonitorSpec(min_rows=0))),
        ("trigger", replace(ready(), triggers=())),
        ("value", replace(ready(), value=Value(hypothesis="", kpi="margin"))),
        ("kpi", replace(ready(), value=Value(hypothesis="it pays", kpi=""))),
        ("documentation", replace(ready(), data=replace(ready().data, documentation=""))),
    ],
)
def test_nothing_may_go_live_with_an_item_missing(missing: str, project: Project) -> None:
    judged = flight_gate("r", project, START)
    assert judged.outcome == "failed"
    assert missing in judged.reason
    unticked = [name for name, item in judged.evidence["items"].items() if not item["ticked"]]
    assert unticked == [missing]
    assert overall([limit_gate("r", GATE, 1.0, START), judged]) == "failed", "one item refuses the release"


@pytest.mark.requirement("GAT-15")
def test_a_complete_project_may_fly() -> None:
    judged = flight_gate("r", ready(), START)
    assert (judged.outcome, judged.reason) == ("passed", "every item is ticked")
    waits = flight_gate("r", replace(ready(), proofs={"flight": {"told": "the dealers"}}), START)
    assert waits.reason == "every item that needs nobody is ticked; people tick told"
    assert {"owner", "contact", "monitoring", "value", "kpi", "rollout"} <= set(judged.evidence["items"])


def test_judging_again_is_the_same_verdict() -> None:
    assert compared(0.0).id == compared(5.0).id
    assert limit_gate("r", GATE, 1.0, START).id != limit_gate("s", GATE, 1.0, START).id
    assert limit_gate("r", GATE, 1.0, START).id != flight_gate("r", ready(), START).id
