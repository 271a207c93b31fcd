"""What people have said of calls to language models: that they are stopped, and that a policy was read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Calls that are not made any more until somebody says so.

    Attributes:
        subject: ``project:NAME``, or ``workspace:NAME``; ``main`` stands for everybody's.
        ended_by, ended_at, ended_because: who let them be made again, when and why.
    """

    id: str
    workspace: str
    subject: str
    reason: str
    by: str
    at: datetime
    state: Literal["on", "over"] = "on"
    revision: int = 0
    ended_by: str | None = None
    ended_at: datetime | None = None
    ended_because: str = ""


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """Somebody has read an acceptable-use policy and says so.

    Attributes:
        workspace: whose policy it is.
        subject: the person.
        version, digest: of the text.
    """

    id: str
    workspace: str
    subject: str
    version: int
    digest: str
    at: datetime
    state: Literal["given"] = "given"
    revision: int = 0
