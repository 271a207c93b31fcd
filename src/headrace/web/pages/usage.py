"""Who calls how often: calls by hour as they are drawn and downloaded, and by consumer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.core.release import Measurement

_DAY_HOURS = 24


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """One consumer's use in the last 24 counted hours; ``share`` is that of all calls."""

    name: str
    calls: int
    predictions: int
    share: float


def traffic_rows(measured: Sequence[Measurement]) -> list[dict[str, Any]]:
    """One row per hour and consumer, oldest first; an hour without a call has one row without a consumer."""
    return [
        {
            "hour": m.window[0].isoformat(),
            "consumer": name,
            "calls": sums["calls"],
            "predictions": sums["predictions"],
            "calls_of_all": int(m.value or 0),
            "day_before": m.detail["day_before"],
            "week_before": m.detail["week_before"],
        }
        for m in measured
        if m.window is not None
        for name, sums in (m.detail["consumers"] or {"": {"calls": 0, "predictions": 0}}).items()
    ]


def traffic_plot(measured: Sequence[Measurement]) -> dict[str, Any]:
    """Calls by hour, beside the same hour of the day and of the week before, and which hours deviated."""
    shown = [m for m in measured if m.window is not None]
    return {
        "hour": [m.window[0].isoformat() for m in shown if m.window is not None],
        "calls": [int(m.value or 0) for m in shown],
        "day_before": [m.detail["day_before"] for m in shown],
        "week_before": [m.detail["week_before"] for m in shown],
        "deviating": [bool(m.detail["deviating"]) for m in shown],
    }


def consumers(measured: Sequence[Measurement]) -> list[Consumer]:
    """Consumers of the last 24 hours, the busiest first."""
    calls: dict[str, int] = {}
    predictions: dict[str, int] = {}
    for hour in measured[-_DAY_HOURS:]:
        for name, sums in hour.detail["consumers"].items():
            calls[name] = calls.get(name, 0) + sums["calls"]
            predictions[name] = predictions.get(name, 0) + sums["predictions"]
    total = sum(calls.values()) or 1
    ranked = sorted(calls, key=lambda name: (-calls[name], name))
    return [
        Consumer(name=name, calls=calls[name], predictions=predictions[name], share=calls[name] / total)
        for name in ranked
    ]
