"""Rollouts and routes: changed one revision at a time."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import insert, update
from sqlalchemy.engine import Connection

from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.release import Rollout, Route
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many, microseconds, one, stored, values
from headrace.store._sql.tables import rollouts, routes

_ACTIVE = ("pending", "canary")


class SqlRollouts:
    """Implements ``RolloutStore``. A project has at most one rollout that is pending or in canary."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, rollout: Rollout, route: Route | None = None) -> None:
        if route is not None and route.project != rollout.project:
            raise InvalidInput(
                f"A rollout of {rollout.project!r} cannot write a route of {route.project!r}. "
                "Give the route of the same project."
            )
        with self._database.write("rollouts", rollout.project) as connection:
            mine = rollouts.c.release_id == rollout.release_id
            standing = one(connection, Rollout, rollouts, mine)
            if standing is not None and stored(rollout) == standing:
                return
            _check_rollout(connection, rollout, standing)
            row = values(
                rollout,
                release_id=rollout.release_id,
                project=rollout.project,
                state=rollout.state,
                revision=rollout.revision,
                started_us=microseconds(rollout.started_at),
            )
            if standing is None:
                connection.execute(insert(rollouts).values(row))
            else:
                connection.execute(update(rollouts).where(mine).values(row))
            if route is not None:
                _write_route(connection, route)

    def get(self, release_id: str) -> Rollout:
        with self._database.read() as connection:
            found = one(connection, Rollout, rollouts, rollouts.c.release_id == release_id)
        if found is None:
            raise NotFound(
                f"Release {release_id!r} has no rollout. It begins once the release is approved: "
                f"see 'headrace release show {release_id}'."
            )
        return found

    def some(self, release_ids: Collection[str]) -> list[Rollout]:
        with self._database.read() as connection:
            return many(connection, Rollout, documents(rollouts, rollouts.c.release_id.in_(release_ids)))

    def find_active(self, project: str) -> Rollout | None:
        with self._database.read() as connection:
            return _active(connection, project)

    def route(self, project: str) -> Route | None:
        with self._database.read() as connection:
            return one(connection, Route, routes, routes.c.project == project)

    def routes(self) -> list[Route]:
        with self._database.read() as connection:
            return many(connection, Route, documents(routes).order_by(routes.c.position))

    def set_route(self, route: Route) -> Route:
        with self._database.write("rollouts", route.project) as connection:
            _write_route(connection, route)
        return route


def _active(connection: Connection, project: str) -> Rollout | None:
    statement = documents(rollouts, rollouts.c.project == project, rollouts.c.state.in_(_ACTIVE))
    found = many(connection, Rollout, statement.order_by(rollouts.c.started_us, rollouts.c.position).limit(1))
    return found[0] if found else None


def _check_rollout(connection: Connection, rollout: Rollout, standing: Rollout | None) -> None:
    expected = 0 if standing is None else standing.revision + 1
    if rollout.revision != expected:
        raise Conflict(
            f"The rollout of release {rollout.release_id} changed meanwhile: revision {rollout.revision} was "
            f"given, {expected} is next. Read it again and decide on what it says now."
        )
    active = _active(connection, rollout.project) if rollout.state in _ACTIVE else None
    if active is not None and active.release_id != rollout.release_id:
        raise Conflict(
            f"Release {active.release_id} of {rollout.project!r} is still rolling out ({active.state}). "
            f"Wait for it, or stop it with 'headrace release rollback {rollout.project}'."
        )


def _write_route(connection: Connection, route: Route) -> None:
    """Compare and set: the first revision may be 0 or 1, each further one is one more."""
    mine = routes.c.project == route.project
    standing = one(connection, Route, routes, mine)
    if standing is not None and stored(route) == standing:
        return
    allowed = (0, 1) if standing is None else (standing.revision + 1,)
    if route.revision not in allowed:
        raise Conflict(
            f"The route of {route.project!r} changed meanwhile: revision {route.revision} was given, "
            f"{allowed[-1]} is next. Read it again and decide on what it says now."
        )
    row = values(route, project=route.project, revision=route.revision)
    statement = insert(routes).values(row) if standing is None else update(routes).where(mine).values(row)
    connection.execute(statement)
