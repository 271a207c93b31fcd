"""Alerts about the live model of ``flight-delay``."""

from __future__ import annotations

from typing import Any

from headrace.app.alerting.alerts import raise_on_findings
from headrace.app.composition import App
from headrace.core.ids import new_id
from headrace.testing import make_finding

PROJECT = "flight-delay"


def alarm(app: App, **changes: Any) -> str:
    """Something is found about the live release, and an alert raised on it; returns the alert's id."""
    route, now = app.store.rollouts.route(PROJECT), app.clock.now()
    assert route is not None
    given = {"id": new_id(now), "project": PROJECT, "release_id": route.live, "at": now} | changes
    found = make_finding(**given)
    app.store.findings.add(found)
    raise_on_findings(app, PROJECT)  # unless the server's own round has been faster
    return next(one.id for one in app.store.findings.alerts(PROJECT) if one.finding_id == found.id)
