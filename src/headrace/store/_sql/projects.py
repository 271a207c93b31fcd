"""Projects as last declared."""

from __future__ import annotations

from sqlalchemy import Column, insert, select, update

from headrace.core.errors import NotFound
from headrace.core.identity import MAIN
from headrace.core.project import Project
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many, one, values
from headrace.store._sql.tables import projects, routes
from headrace.store.documents import load


class SqlProjects:
    """Implements ``ProjectStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, project: Project, path: str, workspace: str = MAIN) -> None:
        row = values(project, name=project.name, path=path)
        with self._database.write("projects", project.name) as connection:
            if one(connection, Project, projects, projects.c.name == project.name) is None:
                connection.execute(insert(projects).values(row | {"workspace": workspace}))
            else:
                connection.execute(update(projects).where(projects.c.name == project.name).values(row))

    def get(self, name: str) -> Project:
        with self._database.read() as connection:
            found = one(connection, Project, projects, projects.c.name == name)
        if found is None:
            raise _missing(name)
        return found

    def path(self, name: str) -> str:
        return self._column(projects.c.path, name)

    def workspace(self, name: str) -> str:
        return self._column(projects.c.workspace, name)

    def _column(self, column: Column[str], name: str) -> str:
        with self._database.read() as connection:
            found = connection.execute(select(column).where(projects.c.name == name)).scalar()
        if found is None:
            raise _missing(name)
        return found

    def placed(self) -> list[tuple[Project, str]]:
        statement = documents(projects).add_columns(projects.c.workspace).order_by(projects.c.position)
        with self._database.read() as connection:
            rows = connection.execute(statement)
            return [(load(Project, row.document, row.schema_version), row.workspace) for row in rows]

    def list(self) -> list[Project]:
        with self._database.read() as connection:
            return many(connection, Project, documents(projects).order_by(projects.c.position))

    def edition(self) -> object:
        # As they are stored: reading what is in a thousand of them would take longer than this is worth.
        declared = select(projects.c.name, projects.c.document).order_by(projects.c.position)
        answering = select(routes.c.project, routes.c.document).order_by(routes.c.position)
        with self._database.read() as connection:
            return [[tuple(row) for row in connection.execute(rows)] for rows in (declared, answering)]


def _missing(name: str) -> NotFound:
    return NotFound(
        f"There is no project {name!r} here. Run 'headrace run' in its folder, or check HEADRACE_HOME."
    )
