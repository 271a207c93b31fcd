"""How good the answers are, by segment: a table of the newest window, and all windows to download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.core.release import Measurement
from headrace.web.pages.series import Spark, SubjectOf, spark

_TREND_WINDOWS = 12


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A segment in its newest window, and its loss over the windows before."""

    column: str
    name: str
    newest: Measurement
    trend: Spark | None


def segment_rows(measured: Sequence[Measurement], subject_of: SubjectOf) -> list[dict[str, Any]]:
    """One row per window, release, segment and metric, oldest first."""
    return [
        {
            "window_start": m.window[0].isoformat(),
            "window_end": m.window[1].isoformat(),
            "release": m.release_id,
            "subject": subject_of(m.release_id),
            "column": m.feature,
            "segment": m.segment,
            "metric": m.detail["metric"],
            "value": m.value,
            "low": m.interval[0] if m.interval else None,
            "high": m.interval[1] if m.interval else None,
            "n_labels": m.n_rows,
            "coverage": m.detail["coverage"],
        }
        for m in measured
        if m.window is not None
    ]


def newest_segments(measured: Sequence[Measurement], release_id: str | None, metric: str) -> list[Segment]:
    """Each segment of a release by its loss, the largest first."""
    windows: dict[tuple[str, str], list[Measurement]] = {}
    for one in measured:
        if one.release_id == release_id and one.detail["metric"] == metric and one.value is not None:
            windows.setdefault((one.feature or "", one.segment or ""), []).append(one)
    found = [
        Segment(
            column=column,
            name=name,
            newest=mine[-1],
            trend=spark([one.value for one in mine[-_TREND_WINDOWS:]]),
        )
        for (column, name), mine in windows.items()
    ]
    return sorted(found, key=lambda one: (-(one.newest.value or 0.0), one.column, one.name))


def cautions(marks: Sequence[Measurement], release_id: str | None) -> list[str]:
    """What to beware of in the newest window of a release."""
    mine = [mark for mark in marks if mark.release_id == release_id]
    return list(mine[-1].detail["caution"]) if mine else []
