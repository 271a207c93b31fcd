"""The gates as verdicts: each keeps its inputs, thresholds and result as evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from headrace.checks.comparison import FEWEST_ROWS, SegmentDifference, judge, smallest_seen
from headrace.checks.fairness import RATES, Group, gap_of
from headrace.checks.metrics import Interval
from headrace.checks.packs import Measured
from headrace.core.ids import derived_id
from headrace.core.project import FairnessSpec, ModelGate, Project
from headrace.core.release import Outcome4, Verdict, Waiver
from headrace.projects.compliance import Compliance
from headrace.projects.flight import flight_check
from headrace.projects.proofs import proofs_of

COMPLIANCE = "compliance"
"""The gate that asks whether the rules are kept, and not whether the model works."""
SEGMENTS = "champion_segments"
"""The gate that compares with the champion in each declared segment."""


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
    by_people = sorted(proofs_of(project).flight)
    reason = "every item is ticked"
    if by_people:
        reason = f"every item that needs nobody is ticked; people tick {', '.join(by_people)}"
    if missing:
        reason = "; ".join(f"{item.name}: {item.next_step}" for item in missing)
    evidence = {"items": {item.name: {"ticked": item.ticked, "detail": item.detail} for item in items}}
    return verdict(
        subject_id, "flight_check", "failed" if missing else "passed", reason, evidence=evidence, at=at
    )


def compliance_gate(subject_id: str, found: Compliance, at: datetime) -> Verdict:
    """The controls of the risk tier, each with what it was judged by; assumed and waived ones are named."""
    counted = {
        status: sum(one.status == status for one in found.findings) for status in ("met", "assumed", "waived")
    }
    reason = ", ".join(f"{n} {status}" for status, n in counted.items() if n)
    reason = f"{found.tier} risk: {reason} of {len(found.findings)} controls"
    if found.violations:
        reason = "; ".join(f"{one.control}: {one.detail}; {one.next_step}" for one in found.violations)
    evidence = {
        "tier": found.tier,
        "least tier by the answers": found.least,
        "points": found.points,
        "approvals": found.approvals,
        "rules version": found.rules_version,
        "rules digest": found.rules_digest,
        "controls": {
            one.control: {"status": one.status, "detail": one.detail, "waiver": one.waiver}
            for one in found.findings
        },
    }
    outcome: Outcome4 = "failed" if found.violations else "passed"
    return verdict(subject_id, COMPLIANCE, outcome, reason, evidence=evidence, at=at)


def waived(judged: Verdict, waiver: Waiver) -> Verdict:
    """A failed gate that lets through by leave: what it measured stays, and the waiver is named."""
    leave = {
        "id": waiver.id,
        "asked by": waiver.asked_by,
        "agreed by": ", ".join(one["by"] for one in waiver.decisions if one["decision"] == "agreed"),
        "reason": waiver.reason,
        "until": waiver.ends_at.isoformat(),
    }
    return replace(
        judged,
        outcome="passed",
        reason=f"passed by waiver {waiver.id}; without it: {judged.reason}",
        evidence=judged.evidence | {"outcome without the waiver": judged.outcome, "waiver": leave},
    )


def reported(judged: Verdict) -> Verdict:
    """What the gate measured of a fallback, which is not meant to beat anything: it stops nothing."""
    return replace(
        judged,
        outcome="passed",
        reason=f"reported, not judged, for it only stands in: {judged.reason}",
        evidence=judged.evidence | {"outcome of a candidate": judged.outcome},
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


def metrics_gate(
    subject_id: str, project: Project, measured: Mapping[str, Measured], at: datetime
) -> Verdict:
    """Each declared metric on the test rows, and whether it is within its limits.

    What has a limit and could not be measured is an error; without a limit it is only named.
    """
    evidence: dict[str, dict[str, Any]] = {}
    beyond, unknown = [], []
    for spec in project.metrics:
        found = measured.get(spec.name)
        interval = None if found is None else found.interval(project.gates.model.confidence)
        value = None if found is None else found.value
        evidence[spec.name] = {
            "value": value,
            "interval": None if interval is None else [_known(interval.low), _known(interval.high)],
            "unit": spec.unit,
            "least": spec.min,
            "most": spec.max,
            "for the business": spec.business,
        }
        if value is None:
            unknown += [spec.name] if (spec.min, spec.max) != (None, None) else []
        elif spec.max is not None and value > spec.max:
            beyond.append(f"{spec.name} {value:.4g} exceeds {spec.max:.4g}")
        elif spec.min is not None and value < spec.min:
            beyond.append(f"{spec.name} {value:.4g} is below {spec.min:.4g}")
    outcome: Outcome4 = "failed" if beyond else "error" if unknown else "passed"
    reason = "; ".join([*beyond, *(f"{name} could not be measured" for name in unknown)])
    if not reason:
        said = [
            f"{name} {one['value']:.4g} {one['unit']}".strip()
            for name, one in evidence.items()
            if one["value"] is not None
        ]
        reason = ", ".join(said) or "no metric is declared"
    return verdict(subject_id, "metrics", outcome, reason, evidence={"metrics": evidence}, at=at)


def fairness_gate(
    subject_id: str, spec: FairnessSpec, groups: Mapping[str, Sequence[Group]], at: datetime
) -> Verdict:
    """The rates of each group on the test rows, held against the largest difference that is declared.

    A gap beyond it fails where chance does not explain it (5 % over all columns and rates), and is
    inconclusive where chance may. What cannot be compared at all is inconclusive too.
    """
    level = 0.05 / (len(spec.groups) * len(RATES))
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    doubtful: list[str] = []
    for column in spec.groups:
        compared = [gap_of(groups[column], rate, spec.min_rows) for rate in RATES] if column in groups else []
        gaps = [gap for gap in compared if gap is not None]
        if not gaps:
            doubtful.append(f"{column} has fewer than two groups of {spec.min_rows} rows")
        for gap in gaps:
            rows.append({"column": column, **asdict(gap), "level": level})
            if gap.difference > spec.max_difference:
                text = (
                    f"{gap.rate.replace('_', ' ')} of {column}: {gap.highest!r} {gap.difference:.2f} above "
                )
                text += f"{gap.lowest!r}, more than {spec.max_difference:.2f}"
                (failed if gap.p_value <= level else doubtful).append(text)
    outcome: Outcome4 = "failed" if failed else "inconclusive" if doubtful else "passed"
    reason = "; ".join(failed + doubtful) or f"no two groups differ by more than {spec.max_difference:.2f}"
    evidence = {
        "favourable": spec.favourable,
        "limit": spec.max_difference,
        "gaps": rows,
        "groups": [_group(column, group) for column, listed in groups.items() for group in listed],
    }
    return verdict(subject_id, "fairness", outcome, reason, evidence=evidence, at=at)


def _group(column: str, group: Group) -> dict[str, Any]:
    """The group's rates with 90 % intervals."""
    told: dict[str, Any] = {"column": column, "group": group.name, "rows": group.n_rows}
    for rate, share in group.rates.items():
        interval = share.interval(0.9)
        told[rate] = share.rate
        told[f"{rate} interval"] = None if interval is None else list(interval)
    return told


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

    The smallest difference that such rows tell in 4 of 5 cases is named: what passes may be that much worse.

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
        "smallest difference told": _known(seen := smallest_seen(interval)),
    }
    reason = f"{gate.metric} against {other}: {reason}"
    if math.isfinite(seen):
        reason += f"; about {seen:.4g} beyond it would be told in 4 of 5 cases"
    return verdict(subject_id, name, outcome, reason, evidence=evidence, at=at)


def segments_gate(
    subject_id: str,
    gate: ModelGate,
    segments: Sequence[SegmentDifference],
    *,
    other: str,
    at: datetime,
) -> Verdict:
    """The comparison with the champion in each segment: where one is shown to be worse, a person decides.

    A candidate that is as good in all, and worse in a part, is better elsewhere: whether that is worth it is
    no question of statistics. What is worse by less than such rows can tell is named and stops nothing: with
    as many segments as one likes, one of them nearly always looks worse. Where none has rows enough, nothing
    is concluded.
    """
    rows: list[dict[str, Any]] = []
    outcome: Outcome4
    told: dict[str, list[str]] = {"failed": [], "inconclusive": [], "error": [], "passed": []}
    for one in segments:
        allowed, interval = gate.margin * abs(one.champion_loss), one.difference
        said = f"{one.column} {one.name!r}"
        outcome = "inconclusive"
        if interval is None:
            said += f" has {one.n_rows} of {FEWEST_ROWS} rows"
        else:
            outcome, why = judge(interval, allowed)
            said += f": {why}" if outcome in ("failed", "error") else ""
        rows.append(
            {
                "column": one.column,
                "segment": one.name,
                "rows": one.n_rows,
                "against_loss": _known(one.champion_loss),
                "allowed": _known(allowed),
                "difference": None if interval is None else _known(interval.estimate),
                "interval": None if interval is None else [_known(interval.low), _known(interval.high)],
                "outcome": outcome,
            }
        )
        told[outcome].append(said)
    judged = [one.difference for one in segments if one.difference is not None]
    worst: Outcome4 = "error" if told["error"] else "passed"
    if told["failed"] or not judged:
        worst = "inconclusive"
    reason = "; ".join(told["failed"] + told["error"])
    if not reason:
        shown = len(told["passed"])
        reason = f"{gate.metric} against {other} is shown to be worse than the margin in no segment, "
        reason += f"and to be within it in {shown} of {len(rows)}"
    if told["inconclusive"]:
        reason += f"; undecided: {_listed(told['inconclusive'])}"
    evidence = {
        "metric": gate.metric,
        "against": other,
        "confidence of all together": gate.confidence,
        "confidence of each": judged[0].confidence if judged else None,
        "segments": rows,
    }
    return verdict(subject_id, SEGMENTS, worst, reason, evidence=evidence, at=at)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _known(value: float) -> float | None:
    """Evidence is JSON, which has no form for what could not be measured."""
    return float(value) if math.isfinite(value) else None
