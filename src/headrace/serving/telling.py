"""What callers are told of what went wrong: of what only an operator can mend, an id in the server's log."""

from __future__ import annotations

import logging
import re
from datetime import datetime

from headrace.core.clock import SystemClock
from headrace.core.errors import HeadraceError, InternalError, Unanswered, UserError
from headrace.core.ids import new_id

_FOR_OPERATORS = re.compile(r"(?<![\w.:/-])/[\w.@+-]+/|\bHEADRACE_[A-Z]")
"""A path of this machine's disk, or a setting of the server."""
_clock = SystemClock()
_log = logging.getLogger(__name__)


def told(error: HeadraceError, now: datetime | None = None) -> str:
    """What the caller may read.

    Our own faults, and what names the server's files or settings, are logged under an id, and only that is
    told; a model's failures are recorded already, and the caller is told under which id.
    """
    said = str(error)
    ours = isinstance(error, InternalError) and not isinstance(error, Unanswered)
    if isinstance(error, UserError) or not (ours or _FOR_OPERATORS.search(said)):
        return said
    incident = new_id(now or _clock.now())
    if ours:
        _log.error("Incident %s", incident, exc_info=error)
        return f"Headrace failed to answer. The server's log has the details under {incident}."
    _log.error("Incident %s: %s", incident, said)
    return (
        "This cannot be done right now, for a reason that the operator of this server has to look at: the "
        f"server's log has it under {incident}. Try again later."
    )
