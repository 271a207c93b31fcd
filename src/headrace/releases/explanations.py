"""The gate ``explanations``: whether what a model relies on can be believed, and is no leak of the target."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.checks.importances import ALMOST, FEWEST_CONTROLS, NEARLY_WHOLE, SAME
from headrace.core.release import Outcome4, Verdict
from headrace.releases.gates import verdict
from headrace.releases.states import worst
from headrace.training.reliance import Reliance, Relied

EXPLANATIONS = "explanations"
Said = tuple[Outcome4, str]
_LISTED = 30


def explanations_gate(subject_id: str, found: Reliance, at: datetime) -> Verdict:
    """Nothing here fails a release by itself: whether an input may be known is no question of statistics."""
    said: list[Said] = (
        [("passed", found.why)] if found.why else [*_leaks(found), *_controls(found), *_sums(found)]
    )
    faults = [text for outcome, text in said if outcome != "passed"]
    told = [text for outcome, text in said if outcome == "passed"]
    outcome = worst([one for one, _ in said])
    reason = "; ".join(faults or told)
    return verdict(subject_id, EXPLANATIONS, outcome, reason, evidence=_evidence(found), at=at)


def suspects_of(found: Reliance) -> list[Relied]:
    """Inputs that each say nearly all of the target by themselves, and are nearly all that is relied on.

    What is not known when an answer is wanted is the usual reason (S. Kapoor and A. Narayanan, "Leakage and
    the reproducibility crisis in machine-learning-based science", Patterns 4, 2023).
    """
    close = [one for one in found.inputs if one.alone is not None and one.alone >= ALMOST and one.share > 0]
    return close if sum(one.share for one in close) >= NEARLY_WHOLE else []


def _leaks(found: Reliance) -> list[Said]:
    suspects = suspects_of(found)
    if suspects:
        named = ", ".join(f"{one.name} (says {one.alone or 0:.1%} of it alone)" for one in suspects[:5])
        share = sum(one.share for one in suspects)
        text = f"{named}: {share:.0%} of what the answers hang on, and almost the target itself. Is it known "
        return [("inconclusive", text + "when an answer is wanted? If not, take it out of data.columns")]
    if not found.inputs or not found.inputs[0].share:
        return [("passed", "its answers hang on no input")]
    first = found.inputs[0]
    return [("passed", f"its answers hang on {first.name} most, by {first.share:.0%}")]


def _controls(found: Reliance) -> list[Said]:
    if found.same is None:
        return []
    if not found.same:
        return [("passed", f"otherwise than those of {found.n_controls} models with shuffled labels")]
    text = (
        f"its answers hang on its inputs just as those of {found.n_controls} models with shuffled labels do"
    )
    return [("inconclusive", f"{text}: what explains them says nothing of what it has learnt")]


def _sums(found: Reliance) -> list[Said]:
    if found.wrong:
        return [("inconclusive", f"its answers cannot be explained: {found.wrong}")]
    if found.unexplained:
        return [("passed", f"no row was explained: {found.unexplained}")]
    return [("passed", f"contributions add up in {found.n_explained} of {found.n_explained} rows")]


def _evidence(found: Reliance) -> dict[str, Any]:
    return {
        "suspects": [one.name for one in suspects_of(found)],
        "inputs": [
            {"input": one.name, "share": one.share, "says alone": one.alone}
            for one in found.inputs[:_LISTED]
        ],
        "models with shuffled labels": found.n_controls,
        "as those do": found.same,
        "rows explained": found.n_explained,
        "not explained": found.wrong or found.unexplained,
        "why not": found.why,
        "limits": {
            "says alone": ALMOST, "share of all": NEARLY_WHOLE, "same within": SAME,
            "fewest with shuffled labels": FEWEST_CONTROLS,
        },
    }  # fmt: skip
