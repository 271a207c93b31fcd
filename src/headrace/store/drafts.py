"""An answer of a language model that is none before a person has decided on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Decided = Literal["approved", "edited", "rejected"]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """One draft and what became of it; its texts are as :class:`headrace.store.payloads.Payloads` seals them.

    Attributes:
        id: of the answer, as the record and its feedback name it.
        subject: the project; ``release_id``: what said it; ``trace_id``: the trace in which it is a step.
        principal: who asked, and never decides; ``user``: a hash of whom it was for, by which an erasure
            finds it.
        decides: what hangs on it: ``nothing`` in particular, ``business``, or people's ``lives``.
        reviewers: names or roles, one of which decides; empty: whoever may.
        separate: nor does whoever answers for the caller, or made the release.
        asked: the messages of the request; ``said``: the provider's whole answer; both as JSON.
        state: ``expired``: nobody decided on it for as long as it could be kept.
        final: what the caller gets, if it is another text than ``said``.
        is_told: the decision is among the feedback on the answer.
    """

    id: str
    workspace: str
    subject: str
    release_id: str
    trace_id: str
    principal: str
    at: datetime
    asked: str
    said: str
    user: str | None = None
    decides: Literal["nothing", "business", "lives"] = "nothing"
    reviewers: tuple[str, ...] = ()
    separate: bool = False
    state: Literal["waiting", "approved", "edited", "rejected", "expired"] = "waiting"
    revision: int = 0
    by: str | None = None
    decided_at: datetime | None = None
    reason: str = ""
    final: str | None = None
    is_told: bool = False

    @property
    def place(self) -> str:
        """Where its texts are sealed for."""
        return f"draft {self.id}"
