"""Files that callers of language models keep here, and batches of requests that are answered from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from headrace.core.jobs import Claim

BatchState = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
OVER: frozenset[BatchState] = frozenset(("failed", "completed", "expired", "cancelled"))


@dataclass(frozen=True, kw_only=True)
class LlmFile:
    """One file; its content is in :class:`headrace.store.line_files.LineFiles` under its id.

    Attributes:
        subject: the project whose calls are in it, and under whose key it lies.
        owner: who uploaded it, or whose batch has made it; nobody else ever sees it.
        expires_at: when it is deleted.
        filename: as it was uploaded; empty where it is ``sealed`` under the project's key.
        state: ``deleted``: by its owner, an erasure, or because its time was over.
    """

    id: str
    workspace: str
    subject: str
    owner: str
    purpose: Literal["batch", "batch_output"]
    filename: str
    size_bytes: int
    at: datetime
    expires_at: datetime
    state: Literal["kept", "deleted"] = "kept"
    sealed: str = ""
    revision: int = 0


@dataclass(frozen=True, kw_only=True)
class LineError:
    """What is wrong with a batch's file; ``line`` counts from 1, None: with all of it."""

    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class LlmBatch:
    """Requests that are answered within a day.

    Attributes:
        subject: the project that is asked; ``owner``: who asks.
        endpoint: where each line would have been asked, such as ``/v1/chat/completions``.
        input_file: id of the file with one request to a line; ``output_file`` has the answers and
            ``error_file`` the refusals, once it is over.
        metadata: the caller's own; None where it is ``sealed`` under the project's key.
        errors: why it failed before a line was asked.
        n_total, n_completed, n_failed: its lines, those answered, and those that could not be.
        since: when it came into each state.
        claim: who answers it now, or was killed while it did.
    """

    id: str
    workspace: str
    subject: str
    owner: str
    endpoint: str
    input_file: str
    at: datetime
    expires_at: datetime
    metadata: Mapping[str, str] | None = None
    state: BatchState = "validating"
    output_file: str | None = None
    error_file: str | None = None
    errors: tuple[LineError, ...] = ()
    n_total: int = 0
    n_completed: int = 0
    n_failed: int = 0
    since: Mapping[str, datetime] = field(default_factory=dict)
    claim: Claim | None = None
    sealed: str = ""
    revision: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.state in OVER
