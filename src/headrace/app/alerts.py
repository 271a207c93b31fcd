"""Alerts and their end."""

from __future__ import annotations

from dataclasses import replace

from headrace.core.record import Alert
from headrace.store import Store


def close_alert(store: Store, alert: Alert, by: str, why: str) -> None:
    """The alert asks for nothing any more."""
    with store.transaction():
        store.findings.save_alert(replace(alert, state="closed"))
        store.audit.append(
            by, "alert.close", f"project:{alert.project}", {"finding": alert.finding_id, "why": why}
        )
