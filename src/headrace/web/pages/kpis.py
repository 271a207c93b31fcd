"""What the answers brought, by release: a table of the newest windows, and all windows to download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.core.release import Measurement
from headrace.web.pages.series import Spark, SubjectOf, spark

_TREND_WINDOWS = 12
_RELEASES = 3
_WORDS = {
    "share": "share of the answers",
    "mean": "mean where told",
    "per_answer": "for each answer",
    "deviation": "of actions from answers",
}


@dataclass(frozen=True, kw_only=True)
class Kpi:
    """One KPI of one release in its newest window, and its values over the windows before; ``action``: of the
    answers on which it was taken, or of all."""

    name: str
    words: str
    action: str
    newest: Measurement
    subject: str
    trend: Spark | None


def kpi_rows(measured: Sequence[Measurement], subject_of: SubjectOf) -> list[dict[str, Any]]:
    """One row per window, release, KPI and action, oldest first."""
    return [
        {
            "window_start": m.window[0].isoformat(),
            "window_end": m.window[1].isoformat(),
            "release": m.release_id,
            "subject": subject_of(m.release_id),
            "kpi": m.feature,
            "action": m.segment,
            "measure": m.detail["measure"],
            "unit": m.detail["unit"],
            "value": m.value,
            "low": m.interval[0] if m.interval else None,
            "high": m.interval[1] if m.interval else None,
            "confidence": m.confidence,
            "n_answers": m.n_rows,
            "n_told": m.detail["n_covered"],
            "total": m.detail["total"],
        }
        for m in measured
        if m.window is not None
    ]


def newest_kpis(measured: Sequence[Measurement], subject_of: SubjectOf) -> list[Kpi]:
    """Each KPI of the last three releases that have it, the newest one first."""
    windows: dict[tuple[str, str, str], list[Measurement]] = {}
    for one in measured:
        key = one.feature or "", one.segment or "", one.release_id or ""
        windows.setdefault(key, []).append(one)
    shown: dict[tuple[str, str], list[Kpi]] = {}
    for (feature, action, release_id), mine in windows.items():
        newest = mine[-1]
        shown.setdefault((feature, action), []).append(
            Kpi(
                name=feature,
                words=_WORDS[newest.detail["measure"]],
                action=action,
                newest=newest,
                subject=subject_of(release_id),
                trend=spark([one.value for one in mine[-_TREND_WINDOWS:]]),
            )
        )
    # Windows come oldest first: the release that was first seen last is the newest.
    return [kpi for found in shown.values() for kpi in found[::-1][:_RELEASES]]
