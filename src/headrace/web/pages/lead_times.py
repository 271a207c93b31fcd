"""Lead times as they are shown and downloaded."""

from __future__ import annotations

from typing import Any

from headrace.app.overviews.lead_times import LeadTimes


def lead_time_rows(found: LeadTimes) -> list[dict[str, Any]]:
    """One row per release and step, the newest release first; ``ended_at`` is empty while a step goes on."""
    return [
        {
            "release": time.subject,
            "state": time.state,
            "step": step.name,
            "started_at": step.started_at.isoformat(),
            "ended_at": "" if step.ended_at is None else step.ended_at.isoformat(),
            "took_s": step.took_s,
            "by": " and ".join(step.by),
        }
        for time in found.releases
        for step in time.steps
    ]
