"""Whether a service level holds under a measured load, and how many replicas it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.core.project import ServiceLevel
from headrace.core.release import Outcome4

CONFIDENCE = 0.95
_Z = 1.959963984540054  # of the normal distribution, two-sided at CONFIDENCE
MOST_BUSY = 0.7
"""Share of a processor that a replica is planned to use; the rest is for bursts."""
_KEPT_PACE = 0.95
_GENERATOR_BUSY = 0.9


class Estimate(NamedTuple):
    """A measured value and its interval at ``CONFIDENCE``; ``high`` is infinite where nothing bounds it,
    ``value`` too where nothing was measured."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happened while requests arrived at one rate.

    Attributes:
        offered_per_s: at which they were sent, whether or not answers came.
        answered_per_s: good answers, over the time until the last request was done with.
        sent, failed: requests, and those among them without a good answer.
        p50_ms, p95_ms, p99_ms: from the moment that a request was due to be sent until its answer had come.
        cpu_share: processors that the server used, on average; none where it did not say.
        cpu_ms: of processor time for one request.
        memory_bytes: resident in the server at the end.
        generator_share: processors that the sender of the load used; near 1 it measures itself.
        errors: what went wrong, such as ``503`` or ``ClientConnectorError``, and how often.
    """

    offered_per_s: float
    answered_per_s: float
    sent: int
    failed: int
    p50_ms: Estimate
    p95_ms: Estimate
    p99_ms: Estimate
    cpu_share: float | None
    cpu_ms: float | None
    memory_bytes: int | None
    generator_share: float
    errors: dict[str, int]

    @property
    def availability(self) -> Estimate:
        """Share of requests that were answered."""
        return share(self.sent - self.failed, self.sent)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Whether the level holds: one outcome for each part of it, and the gravest of them for all."""

    outcome: Outcome4
    reason: str
    parts: dict[str, tuple[Outcome4, str]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many replicas the declared rate takes.

    Attributes:
        replicas: none where no number of them would do.
        per_replica_per_s: requests that one answers within the level.
        reason: in words, with the numbers that it follows from.
    """

    replicas: int | None
    per_replica_per_s: float
    reason: str


def quantile(values: Sequence[float], q: float) -> Estimate:
    """The ``q`` quantile with a distribution-free interval: two order statistics, chosen by the binomial
    distribution of how many values lie below the true quantile (Conover 1999, section 3.2).

    It takes values to be independent. Waiting times near saturation are not, so there the interval is too
    narrow. With too few values nothing bounds it from above: 368 are needed for the 99th percentile.

    >>> quantile(list(range(1000)), 0.5).value
    499.0
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    if not n:
        return Estimate(float("inf"), 0.0, float("inf"))
    cumulative = _binomial_cdf(n, q)
    tail = (1 - CONFIDENCE) / 2
    low = int(np.searchsorted(cumulative, tail, side="right"))  # the largest r with P(B < r) <= tail
    high = (
        int(np.searchsorted(cumulative, 1 - tail, side="left")) + 1
    )  # the smallest with P(B < s) >= 1 - tail
    return Estimate(
        float(ordered[max(ceil(q * n) - 1, 0)]),
        float(ordered[low - 1]) if low >= 1 else 0.0,
        float(ordered[high - 1]) if high <= n else float("inf"),
    )


def share(good: int, n: int) -> Estimate:
    """A share with its interval (Wilson 1927), which also holds when all were good.

    >>> share(100, 100).low > 0.96
    True
    """
    if not n:
        return Estimate(0.0, 0.0, 1.0)
    value, squared = good / n, _Z * _Z
    middle = (value + squared / (2 * n)) / (1 + squared / n)
    spread = _Z * sqrt(value * (1 - value) / n + squared / (4 * n * n)) / (1 + squared / n)
    return Estimate(value, max(middle - spread, 0.0), min(middle + spread, 1.0))


def judge(level: ServiceLevel, step: Step) -> Judgement:
    """Whether ``level`` held at this step, whose rate is the declared one.

    A part fails, or passes, where its interval lies on one side of what was declared. A sender that was
    too busy to send makes it an error: what was measured was the sender.
    """
    if step.generator_share >= _GENERATOR_BUSY and step.answered_per_s < _KEPT_PACE * step.offered_per_s:
        reason = (
            f"the sender of the load could not keep up with {step.offered_per_s:g} requests per second; run "
            "'headrace serve test --url ADDRESS' from a machine with more to spare"
        )
        return Judgement(outcome="error", reason=reason, parts={})
    parts: dict[str, tuple[Outcome4, str]] = {
        "p99_ms": (_below(step.p99_ms, level.p99_ms), f"{step.p99_ms} ms, declared {level.p99_ms:g} ms"),
        "requests_per_s": (
            "passed" if step.answered_per_s >= _KEPT_PACE * step.offered_per_s else "failed",
            f"{step.answered_per_s:.4g} of {step.offered_per_s:g} requests per second answered",
        ),
        "availability": (_available(step, level.availability), _errors(step, level.availability)),
    }
    worst: Outcome4 = next(
        (bad for bad in ("failed", "inconclusive") if any(bad == one for one, _ in parts.values())), "passed"
    )
    told = [f"{name}: {text}" for name, (outcome, text) in parts.items() if worst in (outcome, "passed")]
    return Judgement(outcome=worst, reason="; ".join(told), parts=parts)


def plan_replicas(level: ServiceLevel, lightest: Step, measured: Step) -> Plan:
    """How many replicas answer ``level.requests_per_s`` within ``level.p99_ms``.

    One process answers on one processor, so it is taken as a queue with one server (M/M/1): with service
    rate ``m`` (one over the processor time of a request) and arrivals ``a``, the time in it is exponential
    with rate ``m - a``, and its 99th percentile ``ln 100 / (m - a)``. What a lone request spends beside
    the processor, such as the disk's flush, is there at any load and is taken off the limit first. Of the
    rate that follows at most ``MOST_BUSY`` of the processor is planned with.

    Args:
        lightest: the step of the lowest rate, for what a lone request takes.
        measured: the step whose processor time per request is taken.
    """
    if measured.cpu_ms is None or lightest.cpu_ms is None or not measured.cpu_ms:
        return Plan(
            replicas=None,
            per_replica_per_s=0.0,
            reason="the server did not say what it uses of the processor (/metrics)",
        )
    rate_per_s = 1000 / measured.cpu_ms
    floor_ms = max(lightest.p50_ms.value - lightest.cpu_ms, 0.0)
    left_ms = level.p99_ms - floor_ms
    if left_ms <= measured.cpu_ms * log(100):
        return Plan(
            replicas=None,
            per_replica_per_s=0.0,
            reason=f"more replicas do not help: a lone request takes {lightest.p50_ms.value:.3g} ms, "
            f"{measured.cpu_ms:.3g} of it on the processor, so 99 of 100 within {level.p99_ms:g} ms is out "
            "of reach of any number. Make the model faster, or declare another p99_ms",
        )
    by_wait = rate_per_s - log(100) * 1000 / left_ms
    each = min(by_wait, MOST_BUSY * rate_per_s)
    bound = "waiting" if by_wait < MOST_BUSY * rate_per_s else f"{MOST_BUSY:.0%} of a processor"
    return Plan(
        replicas=max(ceil(level.requests_per_s / each), 1),
        per_replica_per_s=each,
        reason=f"one request takes {measured.cpu_ms:.3g} ms of processor time and {floor_ms:.3g} ms beside "
        f"it; within {level.p99_ms:g} ms a replica answers {each:.4g} per second (bounded by {bound})",
    )


def _binomial_cdf(n: int, q: float) -> NDArray[np.float64]:
    """P(B <= k) for k from 0 to n."""
    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1)))))
    k = np.arange(n + 1)
    mass = np.exp(logs[n] - logs[k] - logs[n - k] + k * log(q) + (n - k) * log(1 - q))
    cumulative: NDArray[np.float64] = np.cumsum(mass)
    return cumulative


def _below(measured: Estimate, limit: float) -> Outcome4:
    if measured.high <= limit:
        return "passed"
    return "failed" if measured.low > limit else "inconclusive"


def _available(step: Step, declared: float) -> Outcome4:
    """A test of seconds cannot show three nines; it shows that nothing speaks against them."""
    if step.availability.high < declared:
        return "failed"
    return "passed" if step.availability.value >= declared else "inconclusive"


def _errors(step: Step, declared: float) -> str:
    listed = ", ".join(f"{name}: {count}" for name, count in sorted(step.errors.items()))
    failed = f"{step.failed} of {step.sent:,} failed" + (f" ({listed})" if listed else "")
    return f"{failed}, at least {step.availability.low:.4%} answered, declared {declared:.4%}"
