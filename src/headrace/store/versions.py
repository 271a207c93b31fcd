"""What a version of a Delta table consists of, how its rows are selected, and how the next is committed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from headrace.core.errors import InvalidInput
from headrace.core.ports import Clock, DataKeys, Transaction
from headrace.store.columns import parquet_rows, quoted, sql_type
from headrace.store.delta_log import sync_version
from headrace.store.encrypted import bring_in, key_of_file, table_key, write_encrypted

if TYPE_CHECKING:
    import duckdb
    from deltalake import CommitProperties, DeltaTable
    from deltalake.schema import Schema

Mode = Literal["append", "overwrite", "rewrite"]
"""``rewrite`` replaces all files by others with the same rows."""
_BATCH_ROWS = 50_000
_NAIVE = "timestamp_ntz"
# Without these, old versions stop being readable after 30 days when a checkpoint is written.
_CONFIGURATION = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    # Smallest and largest values in the log would outlive the rows that they were of.
    "delta.dataSkippingNumIndexedCols": "0",
}


class State(NamedTuple):
    """What one version consists of: parquet files, and column name to SQL type (None if nested)."""

    version: int
    files: tuple[str, ...]
    fields: dict[str, str | None]
    schema: Schema


class Keyed:
    """One table's files, in clear or encrypted.

    Args:
        table: its name, such as ``cars/predictions``.
        folder: where its files are.
        keys: None: nothing is encrypted.
    """

    def __init__(self, table: str, folder: Path, keys: DataKeys | None, clock: Clock) -> None:
        self._table = table
        self._folder = folder
        self._keys = keys
        self._clock = clock

    def current(self) -> str | None:
        """Id of the key for what is written from now on; None: in clear."""
        return None if self._keys is None else self._keys.current(self._table)

    def describe(self, version: DeltaTable) -> State:
        """What the version at which ``version`` stands consists of."""
        schema = version.schema()
        fields = {field.name: sql_type(str(field.type.type)) for field in schema.fields}
        # The library gives addresses, in which a space is %20.
        files = tuple(str(self._folder / Path(file).name) for file in version.file_uris())
        return State(version.version(), files, fields, schema)

    def is_due(self, state: State) -> bool:
        """Whether a file of this version is kept under another key than the current one."""
        current = self.current()
        return any(key_of_file(file) != current for file in state.files)

    def is_of_one_kind(self, state: State) -> bool:
        """Whether all its files are kept as what is written now is: in clear, or all encrypted."""
        current = self.current()
        return all((key_of_file(file) is None) == (current is None) for file in state.files)

    def selection(self, cursor: duckdb.DuckDBPyConnection, state: State) -> str:
        """SQL for a version's rows: its columns in order and of their types, also where no file has them.

        Raises:
            Unavailable: a key is missing.
            InvalidInput: a file is encrypted, and there are no keys.
        """
        flat = {name: kind for name, kind in state.fields.items() if kind is not None}
        terms = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in flat.items())
        parts = [f"SELECT {terms} WHERE false"] if terms or not state.files else []
        clear = [file for file in state.files if key_of_file(file) is None]
        if clear:
            parts.append(f"SELECT * FROM {parquet_rows(clear)}")
        sealed = [file for file in state.files if key_of_file(file) is not None]
        if sealed:
            parts += self._brought_in(cursor, sealed, state)
        return " UNION ALL BY NAME ".join(parts)

    def commit(
        self,
        present: DeltaTable | None,
        rows: duckdb.DuckDBPyRelation,
        mode: Mode,
        transaction: Transaction | None = None,
        replaced: Sequence[str] | None = None,
    ) -> int:
        """Write ``rows`` as the next version; returns its number. ``present`` stands at the newest one, which
        is synced; None: there is no table yet. A rewrite takes out the files ``replaced``, or all.

        Raises:
            Unavailable: the key is missing.
        """
        import deltalake

        positions = [] if transaction is None else [deltalake.Transaction(*transaction)]
        commit = deltalake.CommitProperties(app_transactions=positions)
        key_id = self.current()
        if self._keys is not None and key_id is not None:
            return self._commit_encrypted(present, rows, mode, commit, key_id, self._keys, replaced=replaced)
        if present is None:
            deltalake.write_deltalake(
                self._folder, rows, mode="error", configuration=_CONFIGURATION, commit_properties=commit
            )
            return 0
        if mode == "append":
            deltalake.write_deltalake(
                present, rows, mode="append", schema_mode="merge", commit_properties=commit
            )
        else:
            deltalake.write_deltalake(
                present, rows, mode="overwrite", schema_mode="overwrite", commit_properties=commit
            )
        return present.version()

    def _commit_encrypted(
        self,
        present: DeltaTable | None,
        rows: duckdb.DuckDBPyRelation,
        mode: Mode,
        commit: CommitProperties,
        key_id: str,
        keys: DataKeys,
        *,
        replaced: Sequence[str] | None,
    ) -> int:
        """The library cannot encrypt: the files are ours, and it commits them."""
        from deltalake import Schema
        from deltalake.transaction import RemoveAction, create_table_with_add_actions

        reader = rows.to_arrow_reader(_BATCH_ROWS)
        schema = Schema.from_arrow(reader.schema)
        key = table_key(keys, self._table, key_id)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        added: list[Any] = list(
            write_encrypted(self._folder, reader, key_id, key, self._clock, is_change=mode != "rewrite")
        )
        if present is None:
            create_table_with_add_actions(
                str(self._folder),
                schema,
                added,
                mode="error",
                configuration=_CONFIGURATION,
                commit_properties=commit,
            )
            return 0
        self._prepare(present, schema, mode)
        if mode == "rewrite":
            moment_ms = int(self._clock.now().timestamp() * 1000)
            names = [Path(file).name for file in (present.file_uris() if replaced is None else replaced)]
            added += [RemoveAction(name, False, moment_ms) for name in names]
        how: Literal["append", "overwrite"] = "overwrite" if mode == "overwrite" else "append"
        wanted = schema if mode == "overwrite" else present.schema()
        present.create_write_transaction(added, how, wanted, commit_properties=commit)
        present.update_incremental()
        return present.version()

    def _prepare(self, present: DeltaTable, schema: Schema, mode: Mode) -> None:
        """Versions of their own for what a commit of files cannot bring: a feature, new columns."""
        from deltalake import TableFeatures

        features = present.protocol().writer_features or []
        if _NAIVE in {str(field.type.type) for field in schema.fields} and "timestampNtz" not in features:
            present.alter.add_feature(
                TableFeatures.TimestampWithoutTimezone, allow_protocol_versions_increase=True
            )
            sync_version(self._folder, present.version())
        known = {field.name for field in present.schema().fields}
        new = [field for field in schema.fields if field.name not in known]
        if new and mode == "append":
            present.alter.add_columns(new)
            sync_version(self._folder, present.version())

    def _brought_in(self, cursor: duckdb.DuckDBPyConnection, files: list[str], state: State) -> list[str]:
        import pyarrow as pa

        if self._keys is None:
            raise InvalidInput(
                f"Table {self._table!r} is encrypted, and this store was opened without keys. Open it as the "
                "commands do, with the keys in HEADRACE_HOME/keys."
            )
        return bring_in(cursor, self._keys, self._table, files, pa.schema(state.schema.to_arrow()))
