"""Findings and the alerts raised on them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Column, func, insert, or_, select, update

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
            row = values(
                finding,
                id=finding.id,
                project=finding.project,
                at_us=microseconds(finding.at),
                release_id=finding.release_id,
                kind=finding.kind,
            )
            connection.execute(insert(findings).values(row))
        return True

    def save_alert(self, alert: Alert) -> None:
        row = values(
            alert, id=alert.id, project=alert.project, at_us=microseconds(alert.at), state=alert.state
        )
        with self._database.write("alerts", alert.id) as connection:
            if one(connection, Alert, alerts, alerts.c.id == alert.id) is None:
                connection.execute(insert(alerts).values(row))
            else:
                connection.execute(update(alerts).where(alerts.c.id == alert.id).values(row))

    def alerts(self, project: str) -> list[Alert]:
        statement = documents(alerts, alerts.c.project == project)
        with self._database.read() as connection:
            return many(connection, Alert, statement.order_by(alerts.c.at_us, alerts.c.position))

    def about(self, release_ids: Collection[str], newest: int) -> list[Finding]:
        return self._newest_of_each_kind(findings.c.release_id, release_ids, newest)

    def last(self, projects: Collection[str]) -> list[Finding]:
        return self._newest_of_each_kind(findings.c.project, projects, 1)

    def open(self, also: Collection[str] = (), project: str | None = None) -> list[tuple[Alert, Finding]]:
        wanted = or_(alerts.c.state != "closed", alerts.c.id.in_(also))
        statement = documents(alerts, wanted).order_by(alerts.c.at_us, alerts.c.position)
        if project is not None:
            statement = statement.where(alerts.c.project == project)
        with self._database.read() as connection:
            found = many(connection, Alert, statement)
            ids = {alert.finding_id for alert in found}
            known = {
                one.id: one for one in many(connection, Finding, documents(findings, findings.c.id.in_(ids)))
            }
        return [(alert, known[alert.finding_id]) for alert in found if alert.finding_id in known]

    def _newest_of_each_kind(self, by: Column[str], of: Collection[str], newest: int) -> list[Finding]:
        """Ranked by what is beside the documents, which are read of those that are wanted only."""
        order = (findings.c.at_us.desc(), findings.c.position.desc())
        rank = func.row_number().over(partition_by=(by, findings.c.kind), order_by=order).label("rank")
        ranked = select(findings.c.position, rank).where(by.in_(of)).subquery()
        wanted = select(ranked.c.position).where(ranked.c.rank <= newest)
        statement = documents(findings, findings.c.position.in_(wanted))
        with self._database.read() as connection:
            return many(connection, Finding, statement.order_by(findings.c.at_us, findings.c.position))

    def list(self, project: str) -> list[Finding]:
        statement = documents(findings, findings.c.project == project)
        with self._database.read() as connection:
            return many(connection, Finding, statement.order_by(findings.c.at_us, findings.c.position))
