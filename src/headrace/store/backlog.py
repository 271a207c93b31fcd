"""How much waits for people where language models answer, counted without a look at any text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from headrace.store.ids import made_at

WaitingKind = Literal["draft", "handoff"]


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What of one kind waits in a project.

    Attributes:
        first: the id of the oldest.
        last: grows with each that comes.
    """

    kind: WaitingKind
    subject: str
    n: int
    first: str
    last: int = 0

    @property
    def since(self) -> datetime | None:
        """When the oldest was made, as its id says; None where that says nothing."""
        return made_at(self.first)


class BacklogStore(Protocol):
    """Counts what is kept of drafts and hand-offs."""

    def waiting(self, subjects: Collection[str]) -> list[Backlog]:
        """Drafts that wait and hand-offs that nobody has taken, of these projects; none where none does."""
