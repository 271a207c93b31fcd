"""Requests that are answered later, and what was answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, update

from headrace.core.errors import Conflict, NotFound
from headrace.core.jobs import Job, JobState
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many, microseconds, one, stored, values
from headrace.store._sql.tables import jobs


class SqlJobs:
    """Implements ``JobStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job: Job) -> Job:
        kept = stored(job)
        with self._database.write("jobs", job.id) as connection:
            standing = one(connection, Job, jobs, jobs.c.id == job.id)
            if standing is not None:
                return standing
            connection.execute(insert(jobs).values(values(kept, **_columns(kept))))
        return kept

    def get(self, job_id: str) -> Job:
        with self._database.read() as connection:
            found = one(connection, Job, jobs, jobs.c.id == job_id)
        if found is None:
            raise NotFound(f"There is no prediction {job_id!r} here. Answers are kept for a day.")
        return found

    def change(self, job: Job) -> Job:
        kept, named = stored(job), jobs.c.id == job.id
        with self._database.write("jobs", job.id) as connection:
            standing = one(connection, Job, jobs, named)
            if standing is None:
                raise NotFound(f"There is no prediction {job.id!r} here.")
            if standing == kept:
                return standing
            if standing.revision != kept.revision - 1:
                raise Conflict(f"The prediction {job.id} has changed meanwhile. Look at it again.")
            connection.execute(update(jobs).where(named).values(values(kept, **_columns(kept))))
        return kept

    def about(self, project: str, subject: str) -> list[Job]:
        holding = jobs.c.document.contains(subject, autoescape=True)
        statement = documents(jobs, jobs.c.project == project, holding).order_by(jobs.c.position)
        with self._database.read() as connection:
            return [job for job in many(connection, Job, statement) if subject in job.subjects]

    def list(
        self, *, project: str | None = None, state: JobState | None = None, limit: int = 1000
    ) -> list[Job]:
        wanted = {"project": project, "state": state}
        where = [jobs.c[name] == value for name, value in wanted.items() if value is not None]
        statement = documents(jobs, *where).order_by(jobs.c.position).limit(limit)
        with self._database.read() as connection:
            return many(connection, Job, statement)

    def remove(self, job_id: str) -> bool:
        with self._database.write("jobs", job_id) as connection:
            return connection.execute(delete(jobs).where(jobs.c.id == job_id)).rowcount > 0

    def clean(self, before: datetime) -> int:
        over = jobs.c.ended_us < microseconds(before)
        with self._database.write("jobs") as connection:
            return connection.execute(delete(jobs).where(over)).rowcount


def _columns(job: Job) -> dict[str, Any]:
    ended_us = None if job.ended_at is None else microseconds(job.ended_at)
    return {"id": job.id, "project": job.project, "state": job.state, "ended_us": ended_us}
