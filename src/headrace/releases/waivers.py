"""Leave to deviate from a rule: what may be waived, who has to agree, and for how long it holds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from headrace.core.errors import Conflict, Denied, IllegalTransition, InvalidInput
from headrace.core.identity import Role
from headrace.core.project import Risk
from headrace.core.release import Waiver
from headrace.projects.controls import CONTROLS

Size = Literal["small", "medium", "large"]
SIZES: tuple[Size, ...] = ("small", "medium", "large")
DRAFTS = "mode:drafts"
"""Answers of a language model wait for a person (``llm.oversight``)."""
LEAST: dict[str, Size] = {
    "gate:flight_check": "small",
    "gate:champion": "medium",
    "gate:contract": "medium",
    "gate:model": "medium",
    "gate:tests": "medium",
    "gate:training": "medium",
    "gate:ingredients": "medium",
    "gate:baseline": "large",
    "gate:persona": "medium",
    "gate:steadiness": "medium",
    "gate:conversations": "medium",
    DRAFTS: "medium",
    "control:documentation": "small",
    "control:watched": "small",
    "control:commit": "small",
    "control:confirmed": "medium",
    "control:limits": "medium",
    "control:canary": "medium",
    "control:way-back": "medium",
    "control:people-approve": "large",
    "control:inputs": "large",
    "control:tier": "large",
}
"""Rules that can be waived, and the least size such a deviation has. No other rule can be waived: not that
nobody decides about their own work, nor signatures, nor the scan of artefacts, nor the proof that a package
answers as the original did, nor that somebody can be called."""
MAX_DAYS: dict[Size, int] = {"small": 90, "medium": 60, "large": 30}
_PEOPLE: dict[Size, int] = {"small": 1, "medium": 2, "large": 2}
_DECIDING: tuple[Role, ...] = ("validator", "auditor")


@dataclass(frozen=True, kw_only=True)
class Decide:
    """Somebody agrees or refuses; ``roles`` are those of the person."""

    by: str
    roles: tuple[Role, ...]
    agree: bool
    at: datetime
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class End:
    """Somebody takes it back before its time."""

    by: str
    at: datetime
    comment: str = ""


def check_request(rule: str, size: Size, days: int, risk: Risk) -> None:
    """Whether such a waiver can be asked for at all. In a high risk every deviation is one size larger.

    Raises:
        InvalidInput: the rule cannot be waived, or the deviation is larger or longer than was said.
    """
    if rule not in LEAST:
        known = rule.partition(":")[2] in CONTROLS or rule.startswith("gate:")
        why = "It holds for everybody" if known else "There is no such rule"
        raise InvalidInput(f"{rule!r} cannot be waived. {why}. What can be waived: {', '.join(LEAST)}.")
    least = SIZES[min(SIZES.index(LEAST[rule]) + (risk == "high"), len(SIZES) - 1)]
    if SIZES.index(size) < SIZES.index(least):
        raise InvalidInput(
            f"To deviate from {rule} in a project of {risk} risk is at least {least}, got {size}. "
            f"Ask with --size {least}."
        )
    if not 1 <= days <= MAX_DAYS[size]:
        raise InvalidInput(
            f"A {size} deviation may last 1 to {MAX_DAYS[size]} days, got {days}. Ask again when it ends."
        )


def transition(waiver: Waiver, event: Decide | End) -> Waiver:
    """The waiver after ``event``; ``revision`` grows by one.

    A small one takes one validator; a medium one two people; a large one two people, one of them an auditor.
    One refusal refuses it.

    Raises:
        Denied: it is their own, or none of their roles may decide.
        Conflict: they have decided before.
        IllegalTransition: it has been decided, or has ended.
    """
    if isinstance(event, End):
        if waiver.state not in ("asked", "granted"):
            raise IllegalTransition(f"The waiver {waiver.id} is {waiver.state}; there is nothing to end.")
        return _moved(waiver, event, "ended", "ended")
    _check_decision(waiver, event)
    agreed = [one for one in waiver.decisions if one["decision"] == "agreed"]
    held = [role for role in _DECIDING if role in event.roles]
    if not event.agree:
        return _moved(waiver, event, "refused", "refused", held)
    people = len(agreed) + 1
    roles = {role for one in agreed for role in one["roles"].split()} | set(held)
    enough = people >= _PEOPLE[waiver.size] and (waiver.size != "large" or "auditor" in roles)
    if waiver.size == "small":
        enough = "validator" in roles
    state = "granted" if enough else "asked"
    return _moved(waiver, event, state, "agreed", held)


def _check_decision(waiver: Waiver, event: Decide) -> None:
    if event.by == waiver.asked_by:
        raise Denied(f"{event.by!r} asked for the waiver {waiver.id}: somebody else has to decide.")
    if not set(event.roles) & set(_DECIDING):
        raise Denied(f"{event.by!r} may not decide on waivers. Roles that may: {', '.join(_DECIDING)}.")
    if waiver.state != "asked":
        raise IllegalTransition(
            f"The waiver {waiver.id} is {waiver.state}; only one that is asked for can be decided on."
        )
    if event.at >= waiver.ends_at:
        raise IllegalTransition(f"The time that waiver {waiver.id} was asked for is over. Ask for another.")
    if any(one["by"] == event.by for one in waiver.decisions):
        raise Conflict(f"{event.by!r} has agreed to waiver {waiver.id} before: somebody else is needed.")


def _moved(
    waiver: Waiver, event: Decide | End, state: str, decision: str, roles: Sequence[str] = ()
) -> Waiver:
    made = {
        "by": event.by,
        "decision": decision,
        "at": event.at.isoformat(),
        "comment": event.comment,
        "roles": " ".join(roles),
    }
    return replace(
        waiver,
        state=state,  # type: ignore[arg-type]
        revision=waiver.revision + 1,
        decisions=(*waiver.decisions, made),
    )


def missing(waiver: Waiver) -> str:
    """Who still has to agree, in words; empty unless it is asked for."""
    if waiver.state != "asked":
        return ""
    people = sum(one["decision"] == "agreed" for one in waiver.decisions)
    wanted = _PEOPLE[waiver.size]
    if waiver.size == "small":
        return "one validator"
    auditor = any("auditor" in one["roles"].split() for one in waiver.decisions)
    special = ", one of them an auditor" if waiver.size == "large" and not auditor else ""
    more = max(1, wanted - people)
    return f"{more} more {'person' if more == 1 else 'people'}{special}"


def holds(waiver: Waiver, at: datetime, makers: Collection[str]) -> bool:
    """Whether it gives leave at this moment to what ``makers`` made: not if one of them agreed to it."""
    return (
        waiver.state == "granted"
        and at < waiver.ends_at
        and all(one["by"] not in makers for one in waiver.decisions)
    )
