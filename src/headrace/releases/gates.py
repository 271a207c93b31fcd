"""The gates as verdicts: each keeps its inputs, thresholds and result as evidence."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from headrace.checks.comparison import judge
from headrace.checks.metrics import Interval
from headrace.core.ids import derived_id
from headrace.core.project import ModelGate, Project
from headrace.core.release import Outcome4, Verdict
from headrace.projects.flight import flight_check


def verdict(
    subject_id: str, gate: str, outcome: Outcome4, reason: str, *, evidence: dict[str, Any], at: datetime
) -> Verdict:
    """A verdict whose id follows from subject and gate: judging again is the same verdict."""
    return Verdict(
        id=derived_id(subject_id, gate),
        subject_id=subject_id,
        gate=gate,
        outcome=outcome,
        reason=reason,
        evidence=evidence,
        at=at,
    )


def flight_gate(subject_id: str, project: Project, at: datetime) -> Verdict:
    """Nothing goes live without owner, monitoring, baseline, lineage and a declared value."""
    items = flight_check(project)
    missing = [item for item in items if not item.ticked]
    reason = "every item is ticked"
    if missing:
        reason = "; ".join(f"{item.name}: {item.next_step}" for item in missing)
    evidence = {"items": {item.name: {"ticked": item.ticked, "detail": item.detail} for item in items}}
    return verdict(
        subject_id, "flight_check", "failed" if missing else "passed", reason, evidence=evidence, at=at
    )


def limit_gate(subject_id: str, gate: ModelGate, loss: float, at: datetime) -> Verdict:
    """Gate 2: the loss on the test rows against the declared absolute limit."""
    outcome: Outcome4 = "passed"
    if not math.isfinite(loss):
        outcome, reason = "error", f"{gate.metric} is no finite number: it could not be measured"
    elif gate.max_loss is None:
        reason = f"{gate.metric} is {loss:.4g}; no absolute limit is declared"
    elif loss <= gate.max_loss:
        reason = f"{gate.metric} {loss:.4g} is within {gate.max_loss:.4g}"
    else:
        outcome = "failed"
        reason = (
            f"{gate.metric} {loss:.4g} exceeds the limit {gate.max_loss:.4g}; improve it or raise the limit"
        )
    evidence = {"metric": gate.metric, "value": _known(loss), "limit": gate.max_loss}
    return verdict(subject_id, "model", outcome, reason, evidence=evidence, at=at)


def comparison_gate(
    subject_id: str,
    name: str,
    gate: ModelGate,
    interval: Interval,
    *,
    other: str,
    other_loss: float,
    margin: float,
    at: datetime,
) -> Verdict:
    """A paired comparison on the same rows, with the baseline or with the live champion.

    Args:
        margin: how much worse it may be, as a share of ``other_loss``; 0 asks to be better.
    """
    allowed = margin * abs(other_loss)
    outcome, reason = judge(interval, allowed)
    evidence = {
        "metric": gate.metric,
        "against": other,
        "against_loss": _known(other_loss),
        "difference": _known(interval.estimate),
        "interval": [_known(interval.low), _known(interval.high)],
        "confidence": interval.confidence,
        "n_rows": interval.n,
        "allowed": _known(allowed),
    }
    return verdict(
        subject_id, name, outcome, f"{gate.metric} against {other}: {reason}", evidence=evidence, at=at
    )


def _known(value: float) -> float | None:
    """Evidence is JSON, which has no form for what could not be measured."""
    return float(value) if math.isfinite(value) else None
