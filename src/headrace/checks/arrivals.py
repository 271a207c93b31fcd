"""One arrival of a dataset: how fresh, large, fine, fast and dear it is, and whether its targets are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.core.project import Price, Target
from headrace.core.release import Outcome4

MEASURES = {
    "age_s": "since the time of the newest row",
    "rows": "rows",
    "bytes": "bytes as they came",
    "step_s": "from one time to the next, in the median",
    "gap_s": "longest time without a row",
    "delay_s": "from a new row's own time until it is here, of 95 in 100",
    "read_s": "until it was read",
    "cost": "of this arrival, by the declared prices",
}
"""What is measured of each arrival. Rows whose time is still to come say nothing of its freshness."""
_ON_TIME = 0.95
_GB = 1e9


class Arrival(NamedTuple):
    """What was measured, in the order of :data:`MEASURES`; None: it could not be.

    Attributes:
        newest: time of the newest row that is not in the future.
        n_new: rows since the arrival before, of which the delay is measured.
    """

    measured: dict[str, float | None]
    newest: np.datetime64 | None
    n_new: int


def arrival(
    n_rows: int,
    n_bytes: int,
    *,
    times: NDArray[Any] | None,
    at: np.datetime64,
    read_s: float,
    known: NDArray[Any] | None = None,
    since: np.datetime64 | None = None,
    prices: Mapping[Price, float],
) -> Arrival:
    """Measure a table that has just come.

    Args:
        times: each row's own time, datetime64 in UTC, ``(n_rows,)``; None where no column says it.
        at: when it came.
        known: when each row came to be known, where a column says so; otherwise new rows came ``at``.
        since: the newest time of the arrival before; None of the first one, whose rows may have waited long.

    >>> hours = np.arange("2026-01-01T00", "2026-01-01T05", dtype="datetime64[h]")
    >>> now, before = np.datetime64("2026-01-01T05"), np.datetime64("2026-01-01T02")
    >>> found = arrival(5, 99, times=hours, at=now, read_s=0.1, since=before, prices={"arrival": 2.0})
    >>> {name: found.measured[name] for name in ("age_s", "step_s", "delay_s", "cost")}
    {'age_s': 3600.0, 'step_s': 3600.0, 'delay_s': 7200.0, 'cost': 2.0}
    """
    measured: dict[str, float | None] = dict.fromkeys(MEASURES)
    measured |= {"rows": float(n_rows), "bytes": float(n_bytes), "read_s": read_s}
    if prices:
        measured["cost"] = prices.get("arrival", 0.0) + prices.get("gb", 0.0) * n_bytes / _GB
    past = np.zeros(n_rows, dtype=bool) if times is None else times <= at  # NaT is never in the past
    if times is None or not past.any():
        return Arrival(measured, None, 0)
    distinct = np.unique(times[past])
    measured["age_s"] = _seconds(at - distinct[-1])
    if len(distinct) > 1:
        steps = np.diff(distinct)
        measured |= {"step_s": _seconds(np.median(steps)), "gap_s": _seconds(steps.max())}
    new = past if since is None else past & (times > since)
    came = np.full(n_rows, at) if known is None else known
    waited = (came - times)[new & ~np.isnat(came)]
    if len(waited) and not (known is None and since is None):
        late = np.quantile(waited.astype("timedelta64[us]").astype(np.int64), _ON_TIME, method="higher")
        measured["delay_s"] = float(late) / 1e6
    return Arrival(measured, distinct[-1], int(new.sum()))


class Held(NamedTuple):
    """One target and what was measured for it; ``outcome`` is inconclusive where nothing could be."""

    target: Target
    measure: str
    limit: float
    value: float | None
    outcome: Outcome4


def held(measured: Mapping[str, float | None], targets: Mapping[Target, float]) -> list[Held]:
    """Each target with what came of it.

    >>> [one.outcome for one in held({"rows": 90.0}, {"min_rows": 100, "max_rows": 200, "max_age_s": 60})]
    ['failed', 'passed', 'inconclusive']
    """
    found = []
    for target, limit in targets.items():
        bound, _, measure = target.partition("_")
        value = measured.get(measure)
        outcome: Outcome4 = "inconclusive"
        if value is not None:
            outcome = "passed" if (value >= limit if bound == "min" else value <= limit) else "failed"
        found.append(Held(target, measure, limit, value, outcome))
    return found


def _seconds(span: Any) -> float:
    return float(span / np.timedelta64(1, "us")) / 1e6
