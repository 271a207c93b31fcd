"""Why a release was made, as people read it."""

from __future__ import annotations

import re
from typing import NamedTuple

_FINDING = re.compile(r"\s*\(finding ([0-9a-f-]{36})\)$")


class Cause(NamedTuple):
    """Why a release was made, and the finding that asked for it."""

    text: str
    finding_id: str | None


def cause_of(text: str) -> Cause:
    """A cause as people read it; the id of its finding becomes a link.

    >>> cause_of("run by hand").finding_id is None
    True
    """
    match = _FINDING.search(text)
    return Cause(text, None) if match is None else Cause(text[: match.start()], match.group(1))
