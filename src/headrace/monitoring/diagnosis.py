"""What is behind the findings of one round: their causes, the first to look at first.

One fault raises several findings: the input, the predictions that follow it, the loss. A fault that has a
name goes first, then answers that need no comparison, traffic, a relation that has changed, a plain move, and
last what only follows from the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headrace.core.record import Finding

_ANSWERS, _MODEL, _SEGMENT, _MOVED, _FOLLOWS = 1, 2, 3, 5, 6
_OF_KIND = {
    "traffic": ("traffic", 2),
    "latency": ("slow", 2),
    "coverage": ("labels", 2),
    "deviation": ("degrading", 2),
    "concept_drift": ("relation", 3),
    "new_segment": ("new_categories", 4),
    "bias": ("relation", _FOLLOWS),
    "performance": ("relation", _FOLLOWS),
}


class Likely(NamedTuple):
    """A cause: its name, the input (or segment, or consumer) that it is in, and what was seen."""

    name: str
    feature: str | None
    what: str


def diagnose(findings: Sequence[Finding]) -> list[Likely]:
    """The causes of findings of one release and time, the likeliest first, each once.

    A range of answers that is left, and an estimate, are only consequences: they name no cause.
    """
    ranks = [(rank, cause) for finding in findings for rank, cause in _causes(finding)]
    ordered = dict.fromkeys(cause for _, cause in sorted(ranks, key=lambda pair: pair[0]))
    once: dict[tuple[str, str | None], Likely] = {}
    for cause in ordered:
        once.setdefault((cause.name, cause.feature), cause)
    return list(once.values())


def of_newest(findings: Sequence[Finding]) -> list[Finding]:
    """The newest finding, and those of the same release whose window touches its own."""
    if not findings:
        return []
    newest = max(findings, key=lambda one: (one.window[1], one.at))
    start, end = newest.window
    return [
        one
        for one in findings
        if one.release_id == newest.release_id and one.window[0] < end and start < one.window[1]
    ]


def _causes(finding: Finding) -> list[tuple[tuple[int, float], Likely]]:
    evidence, title = finding.evidence, finding.title
    if finding.kind in ("data_drift", "prediction_drift"):
        listed = [
            (
                (_MOVED if one["cause"] == "moved" else 0, -one["share"]),
                Likely(one["cause"], one["feature"], one["what"]),
            )
            for one in evidence.get("causes", [])
        ]
        is_model = finding.kind == "prediction_drift" and not listed
        return [((_MODEL, 0.0), Likely("model", None, title))] if is_model else listed
    if finding.kind == "answers":
        name = {"all alike": "constant_answers"}.get(finding.feature or "")
        if name is None and "answers" in evidence:
            name = "impossible_answers"
        return [((_ANSWERS, 0.0), Likely(name, None, title))] if name else []
    if finding.kind == "performance" and "segment" in evidence:
        feature = f"{evidence['column']}: {evidence['segment']}"
        # Where the loss has risen elsewhere too, the segment is not where the fault sits.
        rise = evidence["observed"] / evidence["reference"] - 1
        rank = _SEGMENT if evidence["elsewhere"] - 1 < rise / 2 else _FOLLOWS
        return [((rank, -rise), Likely("relation_in_segment", feature, title))]
    if finding.kind == "columns":
        return [((0, -1.0), Likely(evidence["cause"], (finding.feature or "").rpartition(": ")[0], title))]
    if finding.kind not in _OF_KIND:
        return []
    name, rank = _OF_KIND[finding.kind]
    return [((rank, 0.0), Likely(name, finding.feature, title))]
