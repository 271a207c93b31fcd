"""Numbered model versions: immutable, one per run, counted on where they are made here."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import func, insert, select, update

from headrace.core.data import ModelVersion
from headrace.core.errors import Conflict, NotFound
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many, one, stored, values
from headrace.store._sql.tables import models


class SqlModels:
    """Implements ``ModelStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, model: ModelVersion) -> ModelVersion:
        mine = models.c.project == model.project
        with self._database.write("models", model.project) as connection:
            standing = one(connection, ModelVersion, models, mine, models.c.run_id == model.run_id)
            if standing is not None:
                return standing
            highest = connection.execute(select(func.max(models.c.version)).where(mine)).scalar()
            numbered = replace(model, version=int(highest or 0) + 1)
            row = values(numbered, project=numbered.project, version=numbered.version, run_id=numbered.run_id)
            connection.execute(insert(models).values(row))
        return stored(numbered)

    def adopt(self, model: ModelVersion) -> ModelVersion:
        mine = models.c.project == model.project
        with self._database.write("models", model.project) as connection:
            standing = one(connection, ModelVersion, models, mine, models.c.run_id == model.run_id)
            holder = one(connection, ModelVersion, models, mine, models.c.version == model.version)
            known = standing or holder
            if known is not None:
                if (known.version, known.run_id) != (model.version, model.run_id):
                    raise Conflict(
                        f"Version {known.version} of {model.project!r} is here the model of run "
                        f"{known.run_id}, not version {model.version} of run {model.run_id}. A version from "
                        "elsewhere keeps its number: let this installation train none of that project."
                    )
                return known
            row = values(model, project=model.project, version=model.version, run_id=model.run_id)
            connection.execute(insert(models).values(row))
        return stored(model)

    def get(self, project: str, version: int) -> ModelVersion:
        with self._database.read() as connection:
            found = one(
                connection, ModelVersion, models, models.c.project == project, models.c.version == version
            )
        if found is None:
            raise NotFound(
                f"There is no model {project!r} version {version}. List them with 'headrace model ls'."
            )
        return found

    def list(self, project: str) -> list[ModelVersion]:
        statement = documents(models, models.c.project == project).order_by(models.c.version)
        with self._database.read() as connection:
            return many(connection, ModelVersion, statement)

    def set_registry_version(self, project: str, version: int, registry_version: str) -> None:
        where = (models.c.project == project, models.c.version == version)
        with self._database.write("models", project) as connection:
            standing = one(connection, ModelVersion, models, *where)
            if standing is None:
                raise NotFound(f"There is no model {project!r} version {version} to note a number for.")
            if standing.registry_version is None:
                noted = replace(standing, registry_version=registry_version)
                connection.execute(update(models).where(*where).values(values(noted)))
