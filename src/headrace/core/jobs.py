"""Requests whose answers are fetched later."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

JobState = Literal["pending", "done", "failed"]
CallbackState = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Who answers a request now, and until when nobody else does."""

    by: str
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Job:
    """One request that was accepted, and its answer once there is one.

    Attributes:
        digest: SHA-256 of the request's body, by which a repeated one is told from another.
        request: the request as it is kept: in clear, or sealed under the project's key. None once it has been
            answered.
        answer: the answer as it is kept, likewise; None before.
        error: why there is no answer; ``kind`` is the error's type.
        attempts: how often it was tried.
        subjects: hashes of the business keys that the request names, by which an erasure finds it.
        callback: the address that is told of the end, as it is kept; None where nobody is.
        callback_state: whether it has been told; None while there is nothing to tell.
        ended_at: when it was answered, or given up.
        claim: who answers it now, or was killed while it did.
        revision: counts changes; a change names the one that follows.
    """

    id: str
    project: str
    workspace: str
    principal: str
    at: datetime
    digest: str
    request: str | None
    subjects: list[str] = field(default_factory=list)
    state: JobState = "pending"
    answer: str | None = None
    error: str | None = None
    kind: str | None = None
    attempts: int = 0
    ended_at: datetime | None = None
    callback: str | None = None
    callback_state: CallbackState | None = None
    claim: Claim | None = None
    revision: int = 0
