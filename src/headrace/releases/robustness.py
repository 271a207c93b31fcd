"""The gate ``robustness``: whether a model keeps its answers when its inputs are not what they should be."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.checks.fairness import Share
from headrace.checks.robustness import Stress
from headrace.core.release import Outcome4, Verdict
from headrace.projects.proofs import RobustnessChecks
from headrace.releases.gates import verdict
from headrace.releases.states import worst
from headrace.training.disturbed import Disturbed

ROBUSTNESS = "robustness"
TOLD_SHARE = 0.5
"""Of what a model spares of a constant's loss: where noise takes more, a person decides without any limit."""
Said = tuple[Outcome4, str]


def robustness_gate(
    subject_id: str, found: Disturbed, declared: RobustnessChecks, metric: str, at: datetime
) -> Verdict:
    """Within the declared limits; without any, what is fragile under noise waits for a person."""
    said = _noise(found, declared) + _missing(found, declared) + _attack(found, declared)
    if found.why:
        asked = (declared.loss, declared.flipped) != (None, None)
        unknown = asked and not found.why.startswith("not applicable")
        said = [("inconclusive" if unknown else "passed", found.why)]
    faults = [text for outcome, text in said if outcome != "passed"]
    told = [text for outcome, text in said if outcome == "passed"]
    outcome = worst([one for one, _ in said] or ["passed"])
    reason = "; ".join(faults or told or ["not applicable: the model has no number, and no input is missing"])
    evidence = _evidence(found, declared, metric)
    return verdict(subject_id, ROBUSTNESS, outcome, reason, evidence=evidence, at=at)


def _noise(found: Disturbed, declared: RobustnessChecks) -> list[Said]:
    if found.noise is None:
        return []
    text = f"under noise of {declared.noise:g} spreads {_lost(found.noise)}"
    if declared.loss is not None:
        return [_held(found.noise, text, declared.loss)]
    if not _spares(found) or found.noise.beyond.low <= 0:
        return [("passed", text)]
    why = "more than half: it relies on digits that inputs may not have. If that is meant, set "
    return [("inconclusive", f"{text}, {why}proofs.robustness.loss")]


def _missing(found: Disturbed, declared: RobustnessChecks) -> list[Said]:
    said: list[Said] = []
    for one in sorted(found.missing, key=lambda one: -(one.share_lost or 0.0)):
        text = f"without {one.name} {_lost(one)}"
        said.append(("passed", text) if declared.loss is None else _held(one, text, declared.loss))
    for name in found.refused:
        outcome: Outcome4 = "passed" if declared.loss is None else "failed"
        said.append((outcome, f"without {name} it gives no answer"))
    return said


def _attack(found: Disturbed, declared: RobustnessChecks) -> list[Said]:
    if found.attack is None:
        return []
    flipped = found.attack.flipped
    rate, (low, high) = flipped.rate or 0.0, flipped.interval(0.95) or (0.0, 1.0)
    text = f"within {declared.reach:g} spreads a search turned {flipped.hits} of {flipped.n} decisions"
    if declared.flipped is None:
        return [("passed", text)]
    text += f" ({rate:.0%}, 95% interval {low:.0%} to {high:.0%}; {declared.flipped:.0%} may turn)"
    if high <= declared.flipped:
        return [("passed", text)]
    return [("failed" if low > declared.flipped else "inconclusive", text)]


def _held(one: Stress, text: str, limit: float) -> Said:
    text += f"; {limit:.0%} is allowed"
    if one.beyond.high <= 0:
        return ("passed", text)
    return ("failed" if one.beyond.low > 0 else "inconclusive", text)


def _lost(one: Stress) -> str:
    change = f"the loss goes from {one.before:.4g} to {one.loss:.4g}"
    if one.share_lost is None:
        return change
    return f"{change}, which is {one.share_lost:.0%} of what it spares of a constant's"


def _spares(found: Disturbed) -> bool:
    """Whether the model is shown to be better than a constant: else there is nothing to lose."""
    return found.spares is not None and found.spares.high < 0


def _evidence(found: Disturbed, declared: RobustnessChecks, metric: str) -> dict[str, Any]:
    listed = [one for one in (found.noise, *found.missing, found.attack) if one is not None]
    return {
        "metric": metric,
        "rows": found.n_rows,
        "noise in spreads": declared.noise,
        "reach in spreads": declared.reach,
        "allowed share": TOLD_SHARE if declared.loss is None else declared.loss,
        "most flipped": declared.flipped,
        "no answer without": list(found.refused),
        "less than a constant": None if found.spares is None else found.spares.evidence(),
        "under": [
            {
                "what": one.name if one in (found.noise, found.attack) else f"without {one.name}",
                "rows": one.worse.n,
                "loss": one.loss,
                "before": one.before,
                "worse": [one.worse.low, one.worse.high],
                "share lost": one.share_lost,
                "beyond what is allowed": [one.beyond.low, one.beyond.high],
                **_flipped(one.flipped),
                "confidence": one.worse.confidence,
            }
            for one in listed
        ],
        "why not": found.why,
    }


def _flipped(share: Share) -> dict[str, Any]:
    return {"flipped": share.rate, "flipped interval": list(share.interval(0.95) or ())}
