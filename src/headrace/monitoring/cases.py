"""What people do about an alert, step by step, until it is closed. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from headrace.access.identities import required_text
from headrace.core.alerts import Case
from headrace.core.errors import Conflict, IllegalTransition
from headrace.monitoring.notices import VIOLATIONS

StepKind = Literal["acknowledge", "note", "ignore", "remediate", "accept", "lapse"]
PENDING = ("open", "acknowledged")
"""States of what is not closed yet."""
MAX_NOTES = 200
_STATES: dict[StepKind, Literal["acknowledged", "ignored", "remediated", "accepted", "lapsed"]] = {
    "acknowledge": "acknowledged",
    "ignore": "ignored",
    "remediate": "remediated",
    "accept": "accepted",
    "lapse": "lapsed",
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """What ``by`` does about a case.

    Attributes:
        kind: ``acknowledge``: somebody looks into it; ``note``: what was found out; ``ignore``: a known event
            explains it; ``remediate``: its cause is gone; ``accept``: it stays as it is; ``lapse``: the
            release that it is about no longer answers.
        evidence: by which others can see it, such as the id of a release or an address.
    """

    kind: StepKind
    by: str
    at: datetime
    text: str = ""
    evidence: str = ""


def transition(case: Case, step: Step) -> Case:
    """The case after ``step``; the same one when the step changes nothing.

    A violation of fairness or of the rules is neither ignored nor over by itself: it is acknowledged, then
    remediated or accepted, with a reason and evidence.

    Raises:
        IllegalTransition: it is closed, or there is no such step from here.
        InvalidInput: a reason or the evidence is missing, or too long.
        Conflict: it holds too many notes.
    """
    if case.state not in PENDING:
        raise IllegalTransition(f"Alert {case.id} is {case.state}: what was decided about it stands.")
    violation = case.kind in VIOLATIONS
    if violation and step.kind in ("ignore", "lapse"):
        raise IllegalTransition(
            f"Alert {case.id} is about {case.kind}: no event explains that. Acknowledge it, then "
            "remediate or accept it, with a reason and evidence."
        )
    if step.kind == "acknowledge" and case.state == "acknowledged":
        return case
    if step.kind in ("remediate", "accept") and case.state != "acknowledged":
        raise IllegalTransition(f"Nobody has acknowledged alert {case.id} yet. Acknowledge it first.")
    if len(case.notes) >= MAX_NOTES and step.kind == "note":
        raise Conflict(f"Alert {case.id} holds {MAX_NOTES} notes, the most there can be. Close it.")
    state = case.state if step.kind == "note" else _STATES[step.kind]
    return replace(case, state=state, notes=(*case.notes, _note(step)), revision=case.revision + 1)


def _note(step: Step) -> dict[str, str]:
    note = {"at": step.at.isoformat(), "by": step.by, "step": step.kind}
    if step.kind in ("acknowledge", "lapse"):
        return note | ({"text": required_text(step.text, "A note")} if step.text.strip() else {})
    note["text"] = required_text(step.text, "It needs words that say why")
    if step.kind in ("remediate", "accept"):
        note["evidence"] = required_text(step.evidence, "It needs evidence, such as a release or an address")
    return note


def is_overdue(case: Case, now: datetime) -> bool:
    """Whether it should have been closed by now."""
    return case.state in PENDING and case.due_at is not None and case.due_at <= now
