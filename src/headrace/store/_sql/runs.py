"""Runs: running once, then finished or failed for good."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import insert, select, update

from headrace.core.data import Run, RunState
from headrace.core.errors import Conflict, NotFound
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many, microseconds, one, values
from headrace.store._sql.tables import runs


class SqlRuns:
    """Implements ``RunStore``.

    A step that is done again after a crash measures its times anew; so a run that has ended counts as
    the same when its state, package, outputs, metrics and fingerprint are the same, and the first record
    stands. Its ``tracking_id`` may be noted later, once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, run: Run) -> None:
        with self._database.write("runs", run.id) as connection:
            standing = one(connection, Run, runs, runs.c.id == run.id)
            if standing is None:
                connection.execute(insert(runs).values(_row(run)))
                return
            changed = _settled(standing, run)
            if changed is not standing:
                connection.execute(update(runs).where(runs.c.id == run.id).values(_row(changed)))

    def get(self, run_id: str) -> Run:
        with self._database.read() as connection:
            found = one(connection, Run, runs, runs.c.id == run_id)
        if found is None:
            raise NotFound(f"There is no run {run_id!r} here. Check the id and HEADRACE_HOME.")
        return found

    def builds(self, run_ids: Collection[str]) -> list[Run]:
        mine = select(runs.c.build_id).where(runs.c.id.in_(run_ids))
        with self._database.read() as connection:
            return many(connection, Run, documents(runs, runs.c.build_id.in_(mine)))

    def find_finished(self, project: str, fingerprint: str) -> Run | None:
        where = (runs.c.project == project, runs.c.fingerprint == fingerprint, runs.c.state == "finished")
        statement = documents(runs, *where).order_by(runs.c.started_us, runs.c.position).limit(1)
        with self._database.read() as connection:
            found = many(connection, Run, statement)
        return found[0] if found else None

    def list(
        self, project: str, *, build_id: str | None = None, state: RunState | None = None, limit: int = 1000
    ) -> list[Run]:
        statement = documents(runs, runs.c.project == project)
        if build_id is not None:
            statement = statement.where(runs.c.build_id == build_id)
        if state is not None:
            statement = statement.where(runs.c.state == state)
        statement = statement.order_by(runs.c.started_us.desc(), runs.c.position.desc()).limit(limit)
        with self._database.read() as connection:
            return many(connection, Run, statement)


def _row(run: Run) -> dict[str, object]:
    return values(
        run,
        id=run.id,
        project=run.project,
        build_id=run.build_id,
        state=run.state,
        fingerprint=run.fingerprint,
        started_us=microseconds(run.started_at),
    )


def _settled(standing: Run, run: Run) -> Run:
    """What stands after ``run`` is saved over ``standing``: ``standing`` itself if nothing changes."""
    if (run.project, run.build_id, run.variant) != (standing.project, standing.build_id, standing.variant):
        raise Conflict(
            f"Run {run.id!r} belongs to variant {standing.variant!r} of build {standing.build_id!r} in "
            f"{standing.project!r}, not to {run.variant!r} of {run.build_id!r}. Give the new run its own id."
        )
    if run.state == "running":
        return standing
    if standing.state == "running":
        return run
    if _outcome(standing) != _outcome(run):
        raise Conflict(
            f"Run {run.id!r} is already {standing.state} with another result; it cannot become {run.state}. "
            "Start a new run."
        )
    if standing.tracking_id is None and run.tracking_id is not None:
        return replace(standing, tracking_id=run.tracking_id)
    return standing


def _outcome(run: Run) -> tuple[object, ...]:
    return run.state, run.fingerprint, run.package, run.outputs, run.metrics
