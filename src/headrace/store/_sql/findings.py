"""Findings and the alerts raised on them."""

from __future__ import annotations

from sqlalchemy import insert, update

from headrace.core.record import Alert, Finding
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many, microseconds, one, values
from headrace.store._sql.tables import alerts, findings


class SqlFindings:
    """Implements ``FindingStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, finding: Finding) -> bool:
        with self._database.write("findings", finding.id) as connection:
            if one(connection, Finding, findings, findings.c.id == finding.id) is not None:
                return False
            row = values(finding, id=finding.id, project=finding.project, at_us=microseconds(finding.at))
            connection.execute(insert(findings).values(row))
        return True

    def save_alert(self, alert: Alert) -> None:
        row = values(alert, id=alert.id, project=alert.project, at_us=microseconds(alert.at))
        with self._database.write("alerts", alert.id) as connection:
            if one(connection, Alert, alerts, alerts.c.id == alert.id) is None:
                connection.execute(insert(alerts).values(row))
            else:
                connection.execute(update(alerts).where(alerts.c.id == alert.id).values(row))

    def alerts(self, project: str) -> list[Alert]:
        statement = documents(alerts, alerts.c.project == project)
        with self._database.read() as connection:
            return many(connection, Alert, statement.order_by(alerts.c.at_us, alerts.c.position))

    def list(self, project: str) -> list[Finding]:
        statement = documents(findings, findings.c.project == project)
        with self._database.read() as connection:
            return many(connection, Finding, statement.order_by(findings.c.at_us, findings.c.position))
