"""Which of several alternatives to what is live is worth a release: all are held against it on the same rows.

Every claim that one is better or worse holds together with all others, at the confidence of the gate: the
intervals share it (C. Bonferroni). So trying more alternatives does not make a false claim likelier.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from headrace.checks.comparison import FEWEST_ROWS, paired_interval
from headrace.checks.metrics import Floats, Interval

Standing = Literal["better", "as good", "worse", "unclear", "not measured"]
_CHEAPER, _FASTER = 0.9, 0.9
"""What costs, or takes, at most this share of the live one's is worth a change of itself."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of one prompt on the evaluation set.

    Attributes:
        losses: ``(n_rows,)``; NaN where a row has no label or no answer came.
        cost: of an answer on average, in the currency of the prices; None: nobody knows.
        p50_ms, p95_ms: quantiles of the time that an answer took; None: no answer came.
    """

    name: str
    losses: Floats
    cost: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One alternative beside the live prompt.

    Attributes:
        loss: mean over the rows that both have answered; ``live_loss`` of the live one on these.
        difference: interval of the mean difference; below 0 the alternative is better. None where too few
            rows are left.
        standing: ``as good``: worse by at most the margin, surely, and not surely better.
    """

    name: str
    standing: Standing
    n_rows: int
    loss: float | None
    live_loss: float | None
    difference: Interval | None


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What to do; ``name`` is the alternative to release, None to keep what is live."""

    name: str | None
    why: str


def compare(
    live: Measured,
    others: Sequence[Measured],
    *,
    confidence: float,
    margin: float,
    groups: Floats | None = None,
) -> list[Compared]:
    """Each of ``others`` beside ``live``, by paired intervals that hold together.

    Args:
        margin: share of the live loss by which one may be worse and still be as good.
        groups: what each row belongs to, where rows of one are no news of others.

    >>> live = Measured(name="live", losses=np.array([1.0, 0.0] * 20))
    >>> compare(live, [Measured(name="new", losses=np.zeros(40))], confidence=0.95, margin=0.02)[0].standing
    'better'
    """
    each = 1 - (1 - confidence) / max(len(others), 1)
    return [_beside(live, other, each, margin, groups) for other in others]


def _beside(live: Measured, other: Measured, confidence: float, margin: float, groups: Any) -> Compared:
    kept = np.isfinite(live.losses) & np.isfinite(other.losses)
    n_rows = int(kept.sum())
    if n_rows < FEWEST_ROWS:
        means = [float(one.losses[kept].mean()) if n_rows else None for one in (other, live)]
        return Compared(
            name=other.name, standing="not measured" if not n_rows else "unclear", n_rows=n_rows,
            loss=means[0], live_loss=means[1], difference=None,
        )  # fmt: skip
    ours, theirs = other.losses[kept], live.losses[kept]
    found = paired_interval(ours, theirs, confidence, None if groups is None else groups[kept])
    live_loss = float(theirs.mean())
    standing: Standing = "unclear"
    if found.high < 0:
        standing = "better"
    elif found.high <= margin * live_loss:
        standing = "as good"
    elif found.low > 0:
        standing = "worse"
    return Compared(
        name=other.name, standing=standing, n_rows=n_rows, loss=float(ours.mean()), live_loss=live_loss,
        difference=found,
    )  # fmt: skip


def recommend(live: Measured, others: Sequence[Measured], compared: Sequence[Compared]) -> Advice:
    """What of it is worth a release: what is surely better, and of those the least loss; else what is as good
    and costs or takes a tenth less; else nothing.

    >>> live = Measured(name="live", losses=np.zeros(40), cost=1.0)
    >>> cheap = Measured(name="small", losses=np.zeros(40), cost=0.5)
    >>> recommend(live, [cheap], compare(live, [cheap], confidence=0.95, margin=0.02)).why
    'small is as good and costs 50 % less'
    """
    by_name = {one.name: one for one in others}
    better = [one for one in compared if one.standing == "better"]
    if better:
        best = min(better, key=lambda one: (one.loss or 0.0, by_name[one.name].cost or math.inf))
        return Advice(
            name=best.name, why=f"{best.name} is better: loss {best.loss:.4g}, live {best.live_loss:.4g}"
        )
    as_good = [by_name[one.name] for one in compared if one.standing == "as good"]
    saved = {one.name: _share(one.cost, live.cost) for one in as_good}
    gained = {one.name: _share(one.p50_ms, live.p50_ms) for one in as_good}
    for shares, most, verb in ((saved, _CHEAPER, "costs"), (gained, _FASTER, "takes")):
        least = min(shares, key=lambda name: shares[name], default=None)
        if least is not None and shares[least] <= most:
            less = f"{100 * (1 - shares[least]):.0f} % less"
            return Advice(name=least, why=f"{least} is as good and {verb} {less}")
    n_unclear = sum(one.standing == "unclear" for one in compared)
    why = "nothing that was tried is surely better, or as good and cheaper or faster"
    if n_unclear:
        why += f"; of {n_unclear} the rows do not tell: more labelled rows would"
    return Advice(name=None, why=why)


def _share(ours: float | None, theirs: float | None) -> float:
    return math.inf if ours is None or not theirs else ours / theirs
