"""A hand-off between an AI and a person, step by step and both ways. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from headrace.core.errors import Conflict, Denied, IllegalTransition
from headrace.store.handoffs import Handoff, HandoffState

StepKind = Literal["ask", "take", "put_back", "answer", "return", "withdraw", "forget"]
OPEN: tuple[HandoffState, ...] = ("asked", "taken", "answered")
"""States in which somebody still has to do something."""
MAX_STEPS = 200
_FROM: dict[StepKind, tuple[HandoffState, ...]] = {
    "take": ("asked",),
    "put_back": ("taken",),
    "answer": ("taken",),
    "return": ("answered",),
    "withdraw": ("asked", "taken"),
    "forget": ("asked", "taken", "answered", "returned", "withdrawn", "expired"),
}
_NEXT: dict[StepKind, HandoffState] = {
    "take": "taken",
    "put_back": "asked",
    "answer": "answered",
    "return": "returned",
    "withdraw": "withdrawn",
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """What ``by`` does about a hand-off.

    Attributes:
        kind: ``take``: a person has it now; ``put_back``: they give it to others; ``answer``: they have said
            what to say; ``return``: it is back where it came from; ``withdraw``: whoever asked needs it no
            more; ``forget``: its texts may be kept no longer.
        final: the answer, sealed; ``goes_on``: whether the AI goes on after it.
        to, people: whom it is put back for; as before unless given.
        note: why, in words that may be kept.
    """

    kind: StepKind
    by: str
    at: datetime
    final: str = ""
    goes_on: bool = True
    to: str | None = None
    people: tuple[str, ...] = ()
    note: str = ""


def transition(handoff: Handoff, step: Step) -> Handoff:
    """The hand-off after ``step``.

    Only a person who did not ask for it takes it; only they put it back or answer; only whoever asked gets
    the answer or withdraws.

    Raises:
        IllegalTransition: there is no such step from here.
        Denied: the step is somebody else's.
        Conflict: it holds too many steps.
    """
    if step.kind not in _FROM or handoff.state not in _FROM[step.kind]:
        what = _WORDS.get(step.kind, "asked for again")
        said = f"Hand-off {handoff.id} is {handoff.state}: it cannot be {what}."
        raise IllegalTransition(f"{said}{_first(handoff, step)}")
    _check_who(handoff, step)
    if step.kind == "forget":
        return _forgotten(handoff, step)
    if len(handoff.steps) >= MAX_STEPS:
        raise Conflict(f"Hand-off {handoff.id} holds {MAX_STEPS} steps, the most there can be. Ask anew.")
    moved = replace(
        handoff, state=_NEXT[step.kind], steps=(*handoff.steps, noted(step)), revision=handoff.revision + 1
    )
    if step.kind == "take":
        return replace(moved, by=step.by)
    if step.kind == "answer":
        return replace(moved, final=step.final, goes_on=step.goes_on)
    if step.kind == "put_back":
        free = replace(moved, by=None)
        return free if step.to is None else replace(free, to=step.to, people=step.people)
    return moved


def _first(handoff: Handoff, step: Step) -> str:
    if handoff.state == "asked" and step.kind in ("answer", "put_back"):
        return f" Take it first: headrace feedback take {handoff.id}"
    if handoff.state in ("asked", "taken") and step.kind == "return":
        return " Nobody has answered it yet: ask again later."
    return ""


_WORDS: dict[StepKind, str] = {
    "take": "taken",
    "put_back": "put back",
    "answer": "answered",
    "return": "returned",
    "withdraw": "withdrawn",
}


def noted(step: Step) -> dict[str, str]:
    """A step as it is kept."""
    named = {"note": step.note, "to": step.to or ""}
    about = {"at": step.at.isoformat(), "by": step.by, "step": step.kind}
    return about | {name: text for name, text in named.items() if text}


def _check_who(handoff: Handoff, step: Step) -> None:
    if step.kind == "take" and step.by == handoff.asked_by:
        raise Denied(f"{step.by!r} has handed it over: somebody else takes hand-off {handoff.id}.")
    if step.kind in ("put_back", "answer") and step.by != handoff.by:
        raise Denied(f"{handoff.by!r} has taken hand-off {handoff.id}. They answer it or put it back.")
    if step.kind in ("return", "withdraw") and step.by != handoff.asked_by:
        raise Denied(f"{handoff.asked_by!r} has asked for hand-off {handoff.id}: it goes back to them.")


def _forgotten(handoff: Handoff, step: Step) -> Handoff:
    """Without its texts. Who did what and when stays, but for the words."""
    steps = tuple({name: text for name, text in one.items() if name != "note"} for one in handoff.steps)
    state: HandoffState = "expired" if handoff.state in OPEN else handoff.state
    return replace(
        handoff,
        state=state,
        messages="",
        why="",
        final="",
        user=None,
        steps=(*steps, noted(replace(step, note=""))),
        revision=handoff.revision + 1,
    )
