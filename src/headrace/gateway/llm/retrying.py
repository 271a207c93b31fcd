"""What is asked once more, and when: decided from what came, without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

AGAIN = frozenset((408, 409, 429, 500, 502, 503, 504, 529))
"""Statuses after which the same request may be answered; 529 is Anthropic's "overloaded"."""
ELSEWHERE = AGAIN | {401, 402, 403, 404}
"""Statuses that say nothing of the request but that this endpoint, key or model cannot take it."""


@dataclass(frozen=True, kw_only=True)
class Retrying:
    """How often an endpoint is asked once more, and how long is waited before.

    The wait is drawn from 0 to ``base_s`` doubled for each time, up to ``most_s`` (full jitter), so that
    those who failed together do not come back together. A provider that says how long to wait
    (``Retry-After``) is obeyed up to ``most_told_s``; beyond that the next one is asked instead.
    """

    most: int = 2
    base_s: float = 0.25
    most_s: float = 8.0
    most_told_s: float = 20.0

    def wait_s(self, n_failed: int, told_s: float | None, drawn: float) -> float | None:
        """How long to wait after the ``n_failed``-th failure (from 1); None: not asked again.

        Args:
            told_s: what the provider said.
            drawn: a number from 0 to 1.

        >>> Retrying().wait_s(2, None, 1.0), Retrying().wait_s(1, 3.0, 0.0), Retrying().wait_s(1, 90.0, 0.0)
        (0.5, 3.0, None)
        """
        if n_failed > self.most or (told_s is not None and told_s > self.most_told_s):
            return None
        jitter_s = drawn * min(self.most_s, self.base_s * 2.0 ** min(n_failed - 1, 32))
        return jitter_s if told_s is None else told_s + min(jitter_s, told_s / 10)


USUAL = Retrying()


def told_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """How long a provider says to wait, in seconds from ``now``; None where it does not say, or nothing that
    can be read.

    >>> told_s({"retry-after": "7"}, datetime.now(UTC)), told_s({"retry-after-ms": "250"}, datetime.now(UTC))
    (7.0, 0.25)
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if not text:
            continue
        try:
            seconds = float(text) * scale
        except ValueError:
            seconds = _until_s(text, now) if name == "retry-after" else -1.0
        if isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def _until_s(text: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return -1.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
