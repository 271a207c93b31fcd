"""What is limited: whose spending, of what, how much and in which period (UTC)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal, NamedTuple

from headrace.core.errors import UserError

Measure = Literal["money", "tokens", "requests"]
Period = Literal["minute", "hour", "day", "month", "total"]
Kind = Literal["principal", "workspace", "project", "use case"]
EVER = datetime(9999, 12, 31, tzinfo=UTC)
"""When a budget ends that has no period."""
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MILLION = 1_000_000


class Scope(NamedTuple):
    """Whose spending is counted together; whoever forms it joins names that belong together in ``name``."""

    kind: Kind
    name: str


class Amount(NamedTuple):
    """What one call may take or has taken: money in millionths of the currency's unit, tokens, requests."""

    micro: int = 0
    tokens: int = 0
    requests: int = 1

    def of(self, measure: Measure) -> int:
        """The part that a limit counts."""
        if measure == "money":
            return self.micro
        return self.tokens if measure == "tokens" else self.requests


NOTHING = Amount(0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The most that may be spent; money in millionths of the currency's unit.

    To change ``most`` changes what is left, not what is spent.

    >>> Limit(scope=Scope("project", "cars"), measure="money", most=5_000_000, period="day").key
    'project:cars/money/day'
    """

    scope: Scope
    measure: Measure
    most: int
    period: Period = "day"

    @cached_property
    def key(self) -> str:
        """Of what it counts; two limits with the same key count together."""
        return f"{self.scope.kind}:{self.scope.name}/{self.measure}/{self.period}"

    def shown(self, amount: int) -> str:
        """An amount as people read it."""
        if self.measure != "money":
            return f"{amount:,} {self.measure.removesuffix('s') if amount == 1 else self.measure}"
        units = f"{amount / _MILLION:,.6f}"
        return units[:-4] + units[-4:].rstrip("0")


class OverBudget(UserError):
    """A call could cost more than is left: nothing was asked of anybody.

    The message is for the caller: what is spent it says only of a budget that is theirs alone.

    Attributes:
        limit: which one holds.
        spent: what is spent of it, with what is held for calls under way.
        resets_at: when it begins anew; never for a limit without a period.
    """

    def __init__(self, limit: Limit, *, spent: int, needed: int, resets_at: datetime) -> None:
        whose = f"{limit.scope.kind} {limit.scope.name!r}"
        article = "an" if limit.period == "hour" else "a"
        per = "in all" if limit.period == "total" else f"{article} {limit.period}"
        if needed > limit.most:
            step = "Ask for less, such as a shorter answer, or have the limit raised."
        elif resets_at == EVER:
            step = "It does not begin anew: have the limit raised."
        else:
            step = f"It begins anew at {resets_at:%Y-%m-%d %H:%M} UTC; wait, or have the limit raised."
        if limit.scope.kind == "principal":
            left = (
                f"is {limit.shown(limit.most)} {per}, of which {limit.shown(spent)} are spent or held for "
                "calls under way."
            )
        else:
            # Others share it, and what they have spent is nothing to tell this caller.
            left = f"{per} has not so much left."
        super().__init__(f"This call may take {limit.shown(needed)}. The budget of {whose} {left} {step}")
        self.limit = limit
        self.spent = spent
        self.resets_at = resets_at


def window(period: Period, now: datetime) -> tuple[datetime, datetime]:
    """From when until when a period goes that ``now`` is in.

    >>> window("month", datetime(2026, 12, 31, 23, tzinfo=UTC))[1].isoformat()
    '2027-01-01T00:00:00+00:00'
    """
    if period == "total":
        return _BEGINNING, EVER
    minute = now.astimezone(UTC).replace(second=0, microsecond=0)
    if period == "minute":
        return minute, minute + timedelta(minutes=1)
    hour = minute.replace(minute=0)
    if period == "hour":
        return hour, hour + timedelta(hours=1)
    day = hour.replace(hour=0)
    if period == "day":
        return day, day + timedelta(days=1)
    month = day.replace(day=1)
    return month, (month + timedelta(days=32)).replace(day=1)
