"""Releases and the state each is in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import insert, update

from headrace.core.canonical import digest_of
from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.release import Release, ReleaseState
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many, microseconds, one, stored, values
from headrace.store._sql.tables import releases


class SqlReleases:
    """Implements ``ReleaseStore``. A manifest that would not read back with its digest is refused."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, release: Release) -> Release:
        kept = stored(release)
        if digest_of(kept.manifest) != release.digest or kept.author != kept.manifest.author:
            raise InvalidInput(
                f"Release {release.id!r} does not match its manifest: digest {release.digest!r} was given, "
                f"the manifest's is {digest_of(kept.manifest)!r}; author {release.author!r} was given, the "
                f"manifest's is {kept.manifest.author!r}. Use digest_of(manifest), the manifest's author, "
                "and floats where the manifest declares floats."
            )
        with self._database.write("releases", release.id) as connection:
            standing = one(connection, Release, releases, releases.c.id == release.id)
            if standing is not None:
                return standing
            row = values(
                release,
                id=release.id,
                project=release.project,
                digest=release.digest,
                author=release.author,
                state=release.state,
                created_us=microseconds(release.created_at),
            )
            connection.execute(insert(releases).values(row))
        return kept

    def get(self, release_id: str) -> Release:
        with self._database.read() as connection:
            found = one(connection, Release, releases, releases.c.id == release_id)
        if found is None:
            raise missing_release(release_id)
        return found

    def some(self, release_ids: Collection[str]) -> list[Release]:
        with self._database.read() as connection:
            return many(connection, Release, documents(releases, releases.c.id.in_(release_ids)))

    def list(self, project: str | None = None, *, state: ReleaseState | None = None) -> list[Release]:
        statement = documents(releases)
        if project is not None:
            statement = statement.where(releases.c.project == project)
        if state is not None:
            statement = statement.where(releases.c.state == state)
        statement = statement.order_by(releases.c.created_us.desc(), releases.c.position.desc())
        with self._database.read() as connection:
            return many(connection, Release, statement)

    def move(self, release_id: str, expected: ReleaseState, to: ReleaseState, reason: str = "") -> Release:
        with self._database.write("releases", release_id) as connection:
            standing = one(connection, Release, releases, releases.c.id == release_id)
            if standing is None:
                raise missing_release(release_id)
            moved = replace(standing, state=to, reason=reason)
            changed = connection.execute(
                update(releases)
                .where(releases.c.id == release_id, releases.c.state == expected)
                .values(values(moved, state=to))
            )
            if changed.rowcount != 1:
                raise Conflict(
                    f"Release {release_id} is {standing.state!r}, not {expected!r}, so it cannot become "
                    f"{to!r}. Look at it with 'headrace release show {release_id}'."
                )
        return moved


def missing_release(release_id: str) -> NotFound:
    """The error for an id that no release has."""
    return NotFound(f"There is no release {release_id!r} here. List them with 'headrace release ls'.")
