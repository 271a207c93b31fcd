"""A project that has promised something, and what its KPI has been since."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from headrace.app.composition import App
from headrace.checks.kpis import share_of
from headrace.monitoring.watch import LEVEL
from headrace.testing.factories import make_measurement
from tests.projects.test_intake import FULL, full

BEGUN = datetime(2026, 1, 5, tzinfo=UTC)


def add_promised(app: App, name: str = "promised", n_weeks: int = 16, **changes: object) -> None:
    """Of 400 answers a week 130 to 145 sold, where 100 would have without the model."""
    project = replace(full(value=FULL["value"] | {"without": 0.25} | changes), name=name)
    app.store.projects.save(project, f"/nowhere/{name}")
    measured = []
    for week in range(n_weeks):
        brought = share_of(130 + week, 400, LEVEL)
        assert brought is not None
        start = BEGUN + week * timedelta(days=7)
        measured.append(
            make_measurement(
                id=f"{name}-{week}",
                project=name,
                name="kpi",
                feature="sold",
                value=brought.value,
                n_rows=400,
                interval=brought.interval,
                confidence=LEVEL,
                at=start + timedelta(days=8),
                window=(start, start + timedelta(days=7)),
                detail={
                    "measure": "share",
                    "event": "sold",
                    "unit": "",
                    "total": brought.total,
                    "n_covered": brought.covered,
                    "n_answers": 400,
                    "digest": "",
                },
            )
        )
    app.store.evidence.measure(measured)
