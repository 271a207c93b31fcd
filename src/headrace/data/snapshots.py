"""Raw bytes kept as they came, and the tables made from them, each restored exactly later on."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from headrace.access.privacy.fields import stated_basis
from headrace.core.data import Artifact, Snapshot
from headrace.core.errors import Conflict, InternalError, InvalidInput
from headrace.core.ids import derived_id
from headrace.core.ports import ArtifactStore, Clock, Columns, SnapshotStore, TableStore
from headrace.core.project import PrivacySpec
from headrace.data.engine import ROW
from headrace.data.frames import (
    Array,
    as_column,
    as_mapping,
    content_digest,
    kind_of,
    kinds,
    n_rows,
    nulls,
    nulls_of,
)
from headrace.data.sources import PARQUET, media_type_of, read_file, write_parquet


def archive(source: Path | bytes, artifacts: ArtifactStore, media_type: str | None = None) -> Artifact:
    """Keep raw input as it came; its digest is taken before anything else happens to it.

    Args:
        media_type: concluded from a file's first bytes when None; bytes need it said.

    Raises:
        Conflict: the file changed while it was being kept.
        InvalidInput: bytes without a media type.
    """
    if isinstance(source, bytes):
        if media_type is None:
            raise InvalidInput("Raw bytes need a media type, such as text/csv.")
        before = hashlib.sha256(source).hexdigest()
        kept = artifacts.put(source, media_type)
    else:
        kind = media_type or media_type_of(source)
        before = _digest_file(source)
        kept = artifacts.put_file(source, kind)
    if kept.digest != before:
        raise Conflict(f"{source!r} changed while it was archived. Try again when nothing writes to it.")
    return kept


def archive_columns(columns: Columns, artifacts: ArtifactStore) -> Artifact:
    """Keep, as Parquet, a table that a function made and that no file holds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        write_parquet(columns, path)
        return archive(path, artifacts, PARQUET)


def take_snapshot(
    *,
    project: str,
    columns: Columns,
    raw: Artifact,
    source: str,
    privacy: PrivacySpec,
    tables: TableStore,
    snapshots: SnapshotStore,
    clock: Clock,
    noted: Callable[[Snapshot], AbstractContextManager[object]] = nullcontext,
    features: str | None = None,
) -> Snapshot:
    """Make ``columns`` the newest state of the project's table; the same content is the same snapshot.

    Args:
        features: name of the feature set whose table it is, instead of the project's own.
        noted: a new snapshot is added inside, to be kept together with an entry about it.

    Raises:
        InvalidInput: no rows, a column with a reserved name, or ``privacy`` states no basis.
    """
    basis = stated_basis(privacy, project)
    table = as_mapping(columns)
    if ROW in table:
        raise InvalidInput(f"Column {ROW!r} has a name that Headrace needs itself. Rename it.")
    if not n_rows(table):
        raise InvalidInput("A snapshot of no rows would be useless. Expected at least one row.")
    digest = content_digest(table)
    found = snapshots.find(project, digest)
    if found is not None:
        return found
    name = table_name(project, features)
    version = tables.replace(name, {**table, ROW: np.arange(n_rows(table), dtype=np.int64)})
    made = Snapshot(
        id=derived_id("snapshot", project, digest),
        project=project,
        raw=raw,
        table=name,
        table_version=version,
        digest=digest,
        n_rows=n_rows(table),
        columns=kinds(table),
        source=source,
        created_at=clock.now(),
        basis=basis,
        purpose=privacy.purpose,
    )
    with noted(made):
        return snapshots.add(made)


def table_name(project: str, features: str | None = None) -> str:
    """The table that keeps the snapshots of a project, or of one of its feature sets."""
    return f"{project}/snapshots" if features is None else f"{project}/features/{features}"


def snapshots_of(snapshots: SnapshotStore, project: str, features: str | None = None) -> list[Snapshot]:
    """Those of the project's own table, or of a feature set's, oldest first."""
    return [one for one in snapshots.list(project) if one.table == table_name(project, features)]


def without_rows(snapshot: Snapshot, kept: Array, tables: TableStore) -> Snapshot:
    """Write the rows of ``snapshot`` for which ``kept`` holds as a version of their own; nothing is deleted.

    Returns the snapshot as it then is; whoever calls keeps it, and has the tables forget the version before.
    """
    columns = {name: values[kept] for name, values in load_snapshot(snapshot, tables).items()}
    version = tables.replace(snapshot.table, {**columns, ROW: np.arange(int(kept.sum()), dtype=np.int64)})
    return replace(
        snapshot,
        table_version=version,
        n_erased=snapshot.n_erased + int((~kept).sum()),
        left_digest=content_digest(columns),
    )


def load_snapshot(snapshot: Snapshot, tables: TableStore) -> dict[str, Array]:
    """The rows exactly as they were, also after later snapshots.

    Raises:
        NotFound: the table is gone.
        InternalError: the rows no longer have the snapshot's digest.
    """
    stored = tables.query(
        f'SELECT * EXCLUDE ("{ROW}") FROM t ORDER BY "{ROW}"',
        {"t": (snapshot.table, snapshot.table_version)},
    )
    return _verified(_of_kinds(stored, snapshot.columns), snapshot, "its table")


def first_rows(snapshot: Snapshot, tables: TableStore, limit: int) -> dict[str, Array]:
    """The first ``limit`` rows, without reading the rest; raises NotFound when the table is gone."""
    stored = tables.query(
        f'SELECT * EXCLUDE ("{ROW}") FROM t ORDER BY "{ROW}" LIMIT ?',
        {"t": (snapshot.table, snapshot.table_version)},
        [limit],
    )
    return _of_kinds(stored, snapshot.columns)


def rebuild_from_raw(snapshot: Snapshot, artifacts: ArtifactStore) -> dict[str, Array]:
    """The same rows, made again from the archived original.

    Raises:
        NotFound: the original is not kept here.
        InternalError: they differ from the snapshot's digest.
    """
    columns = read_file(artifacts.path(snapshot.raw.digest), snapshot.raw.media_type)
    return _verified(columns, snapshot, "its raw original")


def _verified(columns: dict[str, Array], snapshot: Snapshot, origin: str) -> dict[str, Array]:
    found = content_digest(columns)
    if found not in (snapshot.digest, snapshot.left_digest):
        raise InternalError(
            f"Snapshot {snapshot.id} of {snapshot.project!r}, read from {origin}, has digest {found[:16]}. "
            f"Expected {snapshot.digest[:16]}. Something changed what must not change: restore a backup."
        )
    return columns


def _of_kinds(stored: Mapping[str, Array], wanted: Mapping[str, str]) -> dict[str, Array]:
    """All-null columns come back from a table without a kind of their own."""
    table = {}
    for name, values in stored.items():
        column = as_column(values, name)
        if kind_of(column) != wanted.get(name) and bool(nulls(column).all()):
            column = nulls_of(wanted.get(name, "number"), len(column))
        table[name] = column
    return table


def _digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
