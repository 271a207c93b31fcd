"""The gate ``training``: whether the pipeline that made a model does what it seems to do."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from headrace.checks.metrics import Interval
from headrace.checks.training_faults import knows_labels
from headrace.core.release import Outcome4, Verdict
from headrace.projects.proofs import TrainingChecks
from headrace.releases.gates import verdict
from headrace.releases.states import worst
from headrace.training.probed import Probed

TRAINING = "training"
Said = tuple[Outcome4, str]
_LEAST_LEARNT = 1e-4


def training_gate(
    subject_id: str, found: Probed, declared: TrainingChecks, metric: str, at: datetime
) -> Verdict:
    """What is wrong with it; what is only told, such as an input that never changes, is no fault."""
    said = [
        *_inputs(found),
        *_learnt(found, metric),
        *_gap(found, declared, metric),
        *_gain(found, declared, metric),
    ]
    said += _shuffled(found)
    if found.broken:
        said.append(("error", f"what it learns without labels could not be measured: {found.broken}"))
    faults = [text for outcome, text in said if outcome != "passed"]
    told = [text for outcome, text in said if outcome == "passed"]
    outcome = worst([one for one, _ in said] or ["passed"])
    reason = "; ".join(faults or told or ["nothing is wrong with its inputs"])
    return verdict(subject_id, TRAINING, outcome, reason, evidence=_evidence(found, declared, metric), at=at)


def _inputs(found: Probed) -> list[Said]:
    said: list[Said] = []
    if found.inputs.copies:
        text = f"{', '.join(found.inputs.copies)}: the target in another form; take it out of data.columns"
        said.append(("failed", text))
    if found.inputs.constant:
        said.append(("passed", f"{', '.join(found.inputs.constant)} never changes"))
    said += [("passed", f"{one} and {other} are the same") for one, other in found.inputs.same]
    return said


def _learnt(found: Probed, metric: str) -> list[Said]:
    interval = found.learnt
    if interval is None or found.loss is None or found.constant is None:
        return []
    both = f"{metric} {found.loss:.4g} on training rows, {found.constant:.4g} of a constant"
    # A model that is a constant differs from another one by rounding.
    nothing = -_LEAST_LEARNT * abs(found.constant)
    if interval.high < nothing:
        return [("passed", both)]
    text = f"it is no better on its own training rows than a constant ({both})"
    text += ": look at hyperparameters and inputs"
    return [("failed" if interval.low >= nothing else "inconclusive", text)]


def _gap(found: Probed, declared: TrainingChecks, metric: str) -> list[Said]:
    if found.gap is None or found.loss is None or found.test_loss is None:
        return []
    text = f"{metric} is {found.gap.estimate:.4g} more on test rows than on training rows"
    allowed = None if declared.max_gap is None else declared.max_gap * abs(found.loss)
    if allowed is None or found.gap.estimate <= allowed:
        return [("passed", text)]
    text += f", {found.gap.low:.4g} to {found.gap.high:.4g}; {allowed:.4g} is allowed: fitted too closely"
    return [("failed" if found.gap.low > allowed else "inconclusive", text)]


def _gain(found: Probed, declared: TrainingChecks, metric: str) -> list[Said]:
    gain = found.gain
    if gain is None or not gain.worth_it:
        return []
    both = f"it spares {gain.candidate:.4g} {metric} of a constant, usual boosted trees {gain.ordinary:.4g}"
    if gain.short.low <= 0:
        return [("passed", both)]
    share = f"{declared.least_gain:.0%} are asked for"
    return [("failed", f"{both}; {share}: look at hyperparameters, inputs and architecture")]


def _shuffled(found: Probed) -> list[Said]:
    if found.shuffled is None:
        return []
    share = f"{found.shuffled.estimate:.1%} of a constant's loss"
    if not knows_labels(found.shuffled):
        return [("passed", f"with shuffled labels it spares {share}")]
    text = f"it spares {share} although its labels were shuffled: project.py gets them elsewhere, or answers"
    return [("inconclusive", f"{text} by a rule. If that is meant, set proofs.training.timeout_s to 0")]


def _evidence(found: Probed, declared: TrainingChecks, metric: str) -> dict[str, Any]:
    return {
        "metric": metric,
        "constant inputs": list(found.inputs.constant),
        "equal inputs": [" = ".join(pair) for pair in found.inputs.same],
        "copies of the target": list(found.inputs.copies),
        "loss on training rows": found.loss,
        "loss of a constant there": found.constant,
        "difference to the constant": _plain(found.learnt),
        "loss on test rows": found.test_loss,
        "gap": _plain(found.gap),
        "most gap": declared.max_gap,
        "beside boosted trees": None if found.gain is None else _gain_plain(found.gain),
        "least gain": declared.least_gain,
        "spared with shuffled labels": _plain(found.shuffled),
        "not measured": list(found.unmeasured),
    }


def _gain_plain(gain: Any) -> dict[str, Any]:
    return asdict(gain) | {"short": _plain(gain.short)}


def _plain(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else interval.evidence()
