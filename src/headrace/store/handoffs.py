"""A conversation that an AI hands to a person, and what the person gives back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

HandoffState = Literal["asked", "taken", "answered", "returned", "withdrawn", "expired"]


@dataclass(frozen=True, kw_only=True)
class Handoff:
    """One hand-off; its texts are as :class:`headrace.store.payloads.Payloads` seals them.

    Attributes:
        subject: the project; ``answer``: the answer that it is about, and ``release_id`` what gave it.
        trace_id: the trace in which that answer is a step.
        asked_by: the application or person that handed it over, and never answers it.
        user: whom it is for, as the record names them, by which an erasure finds it.
        to: the person, role or queue that was named; empty: whoever may decide on drafts.
        people: the names and roles that this stands for, one of which takes it.
        messages: the conversation, masked, as JSON; ``why``: the reason, masked.
        state: ``expired``: nobody answered for as long as it could be kept.
        by: who has taken it; ``final``: what they answered.
        goes_on: whether the AI goes on after that answer, with it in its context.
        steps: who did what and when, the oldest first.
    """

    id: str
    workspace: str
    subject: str
    answer: str
    release_id: str
    trace_id: str | None
    asked_by: str
    at: datetime
    to: str = ""
    people: tuple[str, ...] = ()
    user: str | None = None
    messages: str = ""
    why: str = ""
    state: HandoffState = "asked"
    revision: int = 0
    by: str | None = None
    final: str = ""
    goes_on: bool = True
    steps: tuple[dict[str, str], ...] = ()

    @property
    def place(self) -> str:
        """Where its texts are sealed for."""
        return f"handoff {self.id}"
