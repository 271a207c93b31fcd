"""Verdicts, approvals and measurements: added, never changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, insert, select

from headrace.core.errors import Conflict, Denied
from headrace.core.release import Approval, Measurement, Release, Verdict
from headrace.store._sql.engine import Database
from headrace.store._sql.releases import missing_release
from headrace.store._sql.rows import documents, many, microseconds, one, stored, values
from headrace.store._sql.tables import approvals, measurements, releases, verdicts

_IDS_AT_ONCE = 500


class SqlEvidence:
    """Implements ``EvidenceStore``. The first record under an id stands."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_verdict(self, verdict: Verdict) -> None:
        with self._database.write("verdicts", verdict.id) as connection:
            if one(connection, Verdict, verdicts, verdicts.c.id == verdict.id) is None:
                row = values(
                    verdict, id=verdict.id, subject_id=verdict.subject_id, at_us=microseconds(verdict.at)
                )
                connection.execute(insert(verdicts).values(row))

    def verdicts(self, subject_id: str) -> list[Verdict]:
        return self.verdicts_of([subject_id])

    def verdicts_of(self, subject_ids: Collection[str]) -> list[Verdict]:
        statement = documents(verdicts, verdicts.c.subject_id.in_(subject_ids))
        with self._database.read() as connection:
            return many(connection, Verdict, statement.order_by(verdicts.c.at_us, verdicts.c.position))

    def approve(self, approval: Approval, *, needed: int = 1) -> Approval:
        # The topic is the release's own, so that it cannot move while it is being decided.
        with self._database.write("releases", approval.release_id) as connection:
            release = one(connection, Release, releases, releases.c.id == approval.release_id)
            if release is None:
                raise missing_release(approval.release_id)
            statement = documents(approvals, approvals.c.release_id == release.id)
            earlier = many(connection, Approval, statement.order_by(approvals.c.position))
            repeated = _admissible(approval, release, earlier, needed)
            if repeated is not None:
                return repeated
            kept = replace(approval, author=release.author)
            row = values(
                kept,
                id=kept.id,
                release_id=kept.release_id,
                digest=kept.digest,
                author=kept.author,
                approver=kept.approver,
                decision=kept.decision,
                at_us=microseconds(kept.at),
            )
            connection.execute(insert(approvals).values(row))
        return stored(kept)

    def approvals(self, release_id: str) -> list[Approval]:
        return self.approvals_of([release_id])

    def approvals_of(self, release_ids: Collection[str]) -> list[Approval]:
        statement = documents(approvals, approvals.c.release_id.in_(release_ids))
        with self._database.read() as connection:
            return many(connection, Approval, statement.order_by(approvals.c.at_us, approvals.c.position))

    def measure(self, measurements: Sequence[Measurement]) -> None:
        for project in dict.fromkeys(m.project for m in measurements):
            self._measure(project, [m for m in measurements if m.project == project])

    def measurements(
        self,
        project: str,
        *,
        name: str | None = None,
        release_id: str | None = None,
        since: datetime | None = None,
    ) -> list[Measurement]:
        statement = documents(measurements, measurements.c.project == project)
        if name is not None:
            statement = statement.where(measurements.c.name == name)
        if release_id is not None:
            statement = statement.where(measurements.c.release_id == release_id)
        if since is not None:
            statement = statement.where(measurements.c.window_start_us >= microseconds(since))
        with self._database.read() as connection:
            return many(connection, Measurement, _in_order(statement))

    def newest(self, projects: Collection[str], names: Collection[str], windows: int) -> list[Measurement]:
        mine = measurements.c.project.in_(projects), measurements.c.name.in_(names)
        order = measurements.c.window_start_us.desc()
        of_each = (measurements.c.project, measurements.c.name)
        rank = func.dense_rank().over(partition_by=of_each, order_by=order).label("rank")
        inside = measurements.c.window_start_us.is_not(None)
        ranked = select(measurements.c.position, rank).where(*mine, inside).subquery()
        wanted = select(ranked.c.position).where(ranked.c.rank <= windows)
        statement = _in_order(documents(measurements, measurements.c.position.in_(wanted)))
        with self._database.read() as connection:
            return many(connection, Measurement, statement)

    def _measure(self, project: str, batch: Sequence[Measurement]) -> None:
        rows = {m.id: _measurement_row(m) for m in reversed(batch)}
        ids = list(dict.fromkeys(m.id for m in batch))
        with self._database.write("measurements", project) as connection:
            for start in range(0, len(ids), _IDS_AT_ONCE):
                part = ids[start : start + _IDS_AT_ONCE]
                known = set(
                    connection.execute(select(measurements.c.id).where(measurements.c.id.in_(part))).scalars()
                )
                fresh = [rows[i] for i in part if i not in known]
                if fresh:
                    connection.execute(insert(measurements), fresh)


def _in_order(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(
        measurements.c.window_start_us.nulls_first(),
        measurements.c.window_end_us.nulls_first(),
        measurements.c.at_us,
        measurements.c.position,
    )


def _measurement_row(measurement: Measurement) -> dict[str, object]:
    window = measurement.window
    return values(
        measurement,
        id=measurement.id,
        project=measurement.project,
        name=measurement.name,
        release_id=measurement.release_id,
        window_start_us=None if window is None else microseconds(window[0]),
        window_end_us=None if window is None else microseconds(window[1]),
        at_us=microseconds(measurement.at),
    )


def _admissible(
    approval: Approval, release: Release, earlier: Sequence[Approval], needed: int
) -> Approval | None:
    """None if the decision may be recorded, or the same decision as it was recorded before."""
    if approval.digest != release.digest:
        raise Conflict(
            f"The decision is about digest {approval.digest}, but release {release.id} has {release.digest}. "
            f"Read 'headrace release show {release.id}' again and decide on what it says."
        )
    if approval.approver == release.author:
        raise Denied(
            f"{approval.approver!r} made release {release.id} and cannot decide on their own work. "
            "Ask somebody else with the role validator: headrace release approve --as NAME."
        )
    open_still = all(other.decision == "approved" for other in earlier) and len(earlier) < needed
    for other in earlier:
        if other.decision != approval.decision and open_still and other.approver != approval.approver:
            continue
        if other.decision != approval.decision:
            raise Conflict(
                f"Release {release.id} was already {other.decision} by {other.approver!r}. "
                "A decision stands; make a new release to decide again."
            )
        if other.approver == approval.approver:
            return other
    if release.state != "waiting":
        raise Conflict(
            f"Release {release.id} is {release.state!r}; only a release that is 'waiting' can be decided on."
        )
    return None
