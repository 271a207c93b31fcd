"""What is out of the ordinary for one identity, decided in constant memory from what it does.

Nothing here knows where networks are: a network is a /16 of IPv4, a /32 of IPv6, or ``private``.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, log1p
from typing import Any, NamedTuple

from headrace.core.identity import Use

HOURS_OF_WEEK = 168
WATCHED = ("predict", "tool.call", "agent.prompt")
"""Actions on models and tools: using a new one is remarkable."""
ACTIVE = "active"
"""Stands for the action in the counts by hour of the week, ``hour:0`` to ``hour:167``."""
KINDS = ("impossible_travel", "token_reuse", "shared_secret", "off_hours", "never_used", "spend_velocity")
HOUR_S = 3_600
_DAY_S = 86_400
_SPEND_BIN_S = 300
_SPEND_BINS = 12
_MAX_KNOWN = 256


class Event(NamedTuple):
    """Something that an identity did or tried.

    Attributes:
        at_s: when, from 1970 on; of the last time.
        cost: of all times together, in any one unit.
        times: how often.
    """

    principal: str
    at_s: float
    network: str
    token: str
    action: str
    resource: str
    cost: float = 0.0
    times: int = 1


class Alarm(NamedTuple):
    """Something out of the ordinary; ``evidence`` holds what was compared."""

    kind: str
    principal: str
    title: str
    evidence: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From when on something is out of the ordinary.

    Attributes:
        travel_s: back in a network within so many seconds, after another one: nobody travels so fast.
        networks_per_hour: a secret that speaks from so many networks within an hour is shared.
        history_s: how long somebody must be known before their habits count.
        burst: events in an hour below which nothing is a burst.
        burst_ratio: how many times the usual a burst is at least.
        burst_level: the probability of a false alarm of bursts in a week, over all its hours.
        spend_per_hour: costs within an hour that may not be exceeded; None: any.
    """

    travel_s: float = 600.0
    networks_per_hour: int = 4
    history_s: float = 30 * _DAY_S
    burst: int = 20
    burst_ratio: float = 5.0
    burst_level: float = 0.01
    spend_per_hour: float | None = None


def burst_probability(count: int, before: int, weeks: int) -> float:
    """How likely at least ``count`` events in an hour are, when earlier weeks had ``before`` in it.

    Exact for Poisson counts of whatever rate, also while the rate is only known from a few weeks: given
    their sum, ``count`` is binomial with the share ``1 / (weeks + 1)``.

    >>> round(burst_probability(7, 0, 4), 6)  # one fifth to the seventh
    1.3e-05
    """
    total, odds = before + count, -log(weeks)
    log_term = (
        lgamma(total + 1) - lgamma(count + 1) - lgamma(before + 1)
        - count * log(weeks + 1) - before * log1p(1 / weeks)
    )  # fmt: skip
    term = tail = exp(log_term)
    for k in range(count, total):
        term *= (total - k) / (k + 1) * exp(odds)
        tail += term
        if term < tail * 1e-12:
            break
    return min(tail, 1.0)


class Told:
    """Which kinds of alarm were raised when: of each, one within an hour."""

    __slots__ = ("_at_s",)

    def __init__(self) -> None:
        self._at_s: dict[str, float] = {}

    def new(self, alarms: list[Alarm], at_s: float) -> list[Alarm]:
        """Those of ``alarms`` that nobody has been told of within the hour before ``at_s``."""
        new = [one for one in alarms if at_s - self._at_s.get(one.kind, -1e18) >= HOUR_S]
        for alarm in new:
            self._at_s[alarm.kind] = at_s
        return new


class Habits:
    """What one identity usually does. :meth:`meet` compares and learns."""

    __slots__ = (
        "_bins",
        "_count",
        "_hour",
        "_known",
        "_limits",
        "_name",
        "_since_hour",
        "_spend",
        "_spend_bin",
        "_told",
        "_used_since_s",
    )  # fmt: skip

    def __init__(self, name: str, uses: Sequence[Use], limits: Limits, now_s: float) -> None:
        hours = [use for use in uses if use.action == ACTIVE]
        rights = [use for use in uses if use.action != ACTIVE]
        self._name = name
        self._limits = limits
        self._bins = array("L", bytes(array("L").itemsize * HOURS_OF_WEEK))
        for use in hours:
            self._bins[int(use.resource.partition(":")[2])] += use.count
        self._since_hour = int(_earliest(hours, now_s) // HOUR_S)
        self._used_since_s = _earliest(rights, now_s)
        self._known = {use.resource for use in rights if use.action in WATCHED}
        self._hour, self._count = int(now_s // HOUR_S), 0
        self._spend = array("d", bytes(8 * _SPEND_BINS))
        self._spend_bin = 0
        self._told = Told()

    def meet(self, event: Event) -> list[Alarm]:
        """Alarms that ``event`` sets off; of each kind one within an hour."""
        found = self._burst(event)
        if event.action in WATCHED:
            found += self._unknown(event)
        if event.cost:
            found += self._velocity(event)
        return self._told.new(found, event.at_s)

    def _burst(self, event: Event) -> list[Alarm]:
        """More in this hour of the week than all the weeks before explain."""
        limits, hour = self._limits, int(event.at_s // HOUR_S)
        if hour > self._hour:
            self._bins[self._hour % HOURS_OF_WEEK] += self._count
            self._hour, self._count = hour, 0
        self._count += event.times
        count, before = self._count, self._bins[hour % HOURS_OF_WEEK]
        weeks = (hour - self._since_hour) // HOURS_OF_WEEK
        if count < limits.burst or weeks < 1 or (hour - self._since_hour) * HOUR_S < limits.history_s:
            return []
        if count * weeks < limits.burst_ratio * before:
            return []
        probability = burst_probability(count, before, weeks)
        if probability >= limits.burst_level / HOURS_OF_WEEK:
            return []
        title = f"{self._name} did {count} things in an hour that had {before / weeks:.1f} in other weeks"
        evidence = {"count": count, "before": before, "weeks": weeks, "probability": probability}
        return [self._alarm("off_hours", title, **evidence)]

    def _unknown(self, event: Event) -> list[Alarm]:
        """The first use of a model or a tool by somebody who has long been here."""
        if event.resource in self._known or len(self._known) >= _MAX_KNOWN:
            return []
        self._known.add(event.resource)
        if event.at_s - self._used_since_s < self._limits.history_s:
            return []
        title = f"{self._name} used {event.resource} for the first time"
        return [self._alarm("never_used", title, action=event.action, resource=event.resource)]

    def _velocity(self, event: Event) -> list[Alarm]:
        """What was spent in this and the eleven periods of five minutes before."""
        present = int(event.at_s // _SPEND_BIN_S)
        for passed in range(max(self._spend_bin + 1, present - _SPEND_BINS + 1), present + 1):
            self._spend[passed % _SPEND_BINS] = 0.0
        self._spend_bin = max(present, self._spend_bin)
        self._spend[present % _SPEND_BINS] += event.cost
        spent, limit = sum(self._spend), self._limits.spend_per_hour
        if limit is None or spent <= limit:
            return []
        title = f"{self._name} spent {spent:.2f} within an hour; the limit is {limit:.2f}"
        return [self._alarm("spend_velocity", title, spent=spent, limit=limit)]

    def _alarm(self, kind: str, title: str, **evidence: Any) -> Alarm:
        return Alarm(kind, self._name, title, evidence)


def _earliest(uses: Sequence[Use], now_s: float) -> float:
    return min((use.first_at.timestamp() for use in uses), default=now_s)
