"""A text that is proposed by one and decided by another: what may happen to it, and which one holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from headrace.core.canonical import digest_bytes
from headrace.core.errors import Conflict, IllegalTransition, InvalidInput
from headrace.core.identity import PolicyText
from headrace.core.ports import RecordStore

_Meaning = TypeVar("_Meaning")


@dataclass(frozen=True, kw_only=True)
class Approve:
    """Somebody other than the author puts it into force."""

    by: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Refuse:
    """It will not come into force."""

    by: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Supersede:
    """A newer one is in force."""

    at: datetime


def transition(text: PolicyText, event: Approve | Refuse | Supersede) -> PolicyText:
    """The text after ``event``; ``revision`` grows by one.

    Raises:
        Conflict: the author would decide about their own text.
        IllegalTransition: it was decided already, or is not in force.
    """
    if isinstance(event, Approve | Refuse) and text.state == "waiting":
        if event.by == text.author:
            raise Conflict(f"Version {text.version} is the work of {event.by!r}: ask somebody else.")
        decided = replace(text, approver=event.by, revision=text.revision + 1)
        return replace(decided, state="live" if isinstance(event, Approve) else "refused")
    if isinstance(event, Supersede) and text.state == "live":
        return replace(text, state="superseded", revision=text.revision + 1)
    raise IllegalTransition(
        f"Version {text.version} is {text.state}; only one that waits can be decided, and only one in force "
        "can be superseded."
    )


def newest_usable(
    texts: RecordStore[PolicyText],
    workspace: str,
    subject: str,
    *,
    read: Callable[[PolicyText], _Meaning],
    report: Callable[[PolicyText, str], None],
) -> _Meaning | None:
    """What the newest approved text about ``subject`` says; None where there is none.

    Args:
        read: raises InvalidInput for a text that cannot be used; the one before it holds then.
        report: is told of each text that was passed over, and why.
    """
    for state in ("live", "superseded"):
        found = texts.list(workspace=workspace, subject=subject, state=state)
        for text in sorted(found, key=lambda text: text.version, reverse=True):
            try:
                if digest_bytes(text.text.encode()) != text.digest:
                    raise InvalidInput(
                        f"Version {text.version} is not what was approved: its digest is another."
                    )
                return read(text)
            except InvalidInput as error:
                report(text, str(error))
    return None
