"""Language models in use that nobody has approved: what was seen of them, counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

ShadowKind = Literal["use", "model", "key", "host", "import"]


@dataclass(frozen=True, kw_only=True)
class ShadowUse:
    """One thing that was seen, however often.

    Attributes:
        subject: which kind: ``use``: a call of a project for which its model is not allowed; ``model``: a
            name asked for at the gateway that stands for nothing there; ``key``: an unknown one, by a short
            hash; ``host``: of a proxy's log; ``import``: such a log itself, by its digest.
        what: the model, hash, host or digest; ``who``: whoever asked, as the gateway or the log names them.
        project: of a ``use``; ``note``: whose key it looks like, or which lines of a log could not be read.
        n: how often; of a log how many lines that were not read before, with ``n_bad`` of them unread and
            ``n_known`` to such hosts.
        size_bytes: of a log, not compressed.
    """

    id: str
    workspace: str
    subject: ShadowKind
    what: str
    who: str
    first_at: datetime
    last_at: datetime
    n: int
    project: str = ""
    note: str = ""
    n_bad: int = 0
    n_known: int = 0
    size_bytes: int = 0
    state: Literal["seen"] = "seen"
    revision: int = 0


class ShadowStore(Protocol):
    """What was seen, one row each. Other than of decisions, nothing of a row that is removed is left."""

    def add(self, record: ShadowUse) -> ShadowUse:
        """Insert at revision 0; returns the one that stands under this id."""

    def count(self, record: ShadowUse) -> ShadowUse:
        """Insert, or add ``n`` and the times to the one that stands under this id, whoever else does so at
        the same time; returns what stands now."""

    def ids(self, workspace: str, subject: ShadowKind) -> set[str]:
        """Of all of one kind in a workspace."""

    def find(self, record_id: str) -> ShadowUse | None: ...

    def list(
        self, *, workspace: str | None = None, subject: str | None = None, state: str | None = None
    ) -> list[ShadowUse]: ...

    def change(self, record: ShadowUse) -> ShadowUse:
        """Replace revision ``n - 1`` by ``n``. Raises Conflict when somebody else has changed it meanwhile,
        NotFound when it is not there."""

    def remove(self, record: ShadowUse) -> bool:
        """Delete it at this revision; False: it is gone, or was counted again meanwhile."""
