"""Versioned columnar tables: Delta Lake in a folder, read and written through DuckDB.

A query reads the exact list of files that a version consists of, so what it sees never changes. Appends
carry their writer's position in the same commit, so a repeated append adds nothing.
"""

from __future__ import annotations

import logging
import random
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from headrace.core.clock import SystemClock
from headrace.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from headrace.core.ports import Clock, Columns, DataKeys, Transaction
from headrace.store.columns import incoming, outgoing, quoted
from headrace.store.delta_log import forget_statistics, is_newest, mark_whole, sync_version, take_back_torn
from headrace.store.disk import disk_refused, folder_of, locked, make_folder
from headrace.store.engines import open_engine
from headrace.store.merging import Merge, due
from headrace.store.processes import boot_id
from headrace.store.versions import Keyed, State

if TYPE_CHECKING:
    from deltalake import DeltaTable

_UNNAMEABLE = re.compile(r"[][^|\\]|%[0-9A-Fa-f]{2}")
_log = logging.getLogger("headrace.store")
_ATTEMPTS = 60
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.25
_KEPT_STATES = 256


class DeltaTables:
    """Delta tables below ``path``; implements ``TableStore``.

    Numbers are stored with NULL for NaN and come back as NaN, also in integer columns (which become
    float64 when a value is null); text null is ``None``; a boolean column with nulls, which arises where
    rows predate the column, comes back as an object array of ``True``, ``False`` and ``None``. ``keys`` says
    which tables are encrypted; without it none is. A path that the table format cannot name is
    :class:`InvalidInput`.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tables = DeltaTables(Path(folder))
    ...     version = tables.append("cars/rows", {"price": np.array([1.0, 2.0])})
    ...     tables.query("SELECT sum(price) AS total FROM t", {"t": ("cars/rows", version)})
    {'total': array([3.])}
    """

    def __init__(self, path: Path, clock: Clock | None = None, keys: DataKeys | None = None) -> None:
        unnamed = _UNNAMEABLE.search(str(path))
        if unnamed:
            raise InvalidInput(
                f"Tables cannot be kept in {str(path)!r}: {unnamed[0]!r} cannot be in the address of one. "
                "Choose another folder."
            )
        self._path = path
        self._keys = keys
        self._clock: Clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._boot = boot_id()
        self._whole: set[str] = set()
        self._synced: dict[str, int] = {}
        self._newest: dict[str, DeltaTable] = {}
        self._states: OrderedDict[tuple[str, int], State] = OrderedDict()

    def append(self, table: str, columns: Columns, *, transaction: Transaction | None = None) -> int:
        """Add rows (new columns are allowed) and return the version; durable when it returns.

        A transaction whose position is not above the writer's stored one adds nothing.

        Raises:
            InvalidInput: rows that do not fit the table, or a position below 1.
            Conflict: other writers kept winning for about ten seconds.
            Unavailable: the disk refused.
        """
        if transaction is not None and transaction.position < 1:
            raise InvalidInput(f"Position {transaction.position} is no position. Expected 1 or more.")

        def attempt() -> int:
            present = self._load(table)
            if transaction is not None and present is not None:
                stored = present.transaction_version(transaction.writer) or 0
                if transaction.position <= stored:
                    return present.version()
            version = self._write(table, columns, present, "append", transaction)
            if present is not None:
                self._merge_small(table, present)
            return version

        return self._retried(table, attempt)

    def replace(self, table: str, columns: Columns) -> int:
        """Make these the table's rows; earlier versions stay readable. Returns the version.

        Raises as :meth:`append` does.
        """

        def attempt() -> int:
            return self._write(table, columns, self._load(table), "overwrite", None)

        return self._retried(table, attempt)

    def compact(self, table: str) -> int:
        """Merge all files into large ones; returns the version. Rows and old versions stay.

        Files that are kept in clear, or under another key than the table's current one, are written anew.

        Raises:
            NotFound: there is no such table.
        """
        if self.version(table) is None:
            raise _missing(table)

        def attempt() -> int:
            present = self._load(table)
            if present is None:
                raise _missing(table)
            self._merged(table, present)
            return present.version()

        return self._retried(table, attempt)

    def remove(self, table: str, where: str, parameters: Sequence[Any] = ()) -> int:
        """Take out the rows for which the condition ``where`` (DuckDB SQL) holds; returns how many.

        Writers' positions stay. What was taken out is still in earlier versions until :meth:`forget`.

        Raises:
            InvalidInput: the condition does not run.
        """
        import duckdb

        removed = 0

        def attempt() -> int:
            nonlocal removed
            present = self._load(table)
            if present is None:
                return 0
            with open_engine() as cursor:
                keyed = self._keyed(table)
                rows = keyed.selection(cursor, keyed.describe(present))
                left = f"SELECT * FROM ({rows}) AS t WHERE NOT coalesce(({where}), false)"
                try:
                    counting = f"SELECT count(*) FROM ({rows}) AS t WHERE {where}"
                    found = cursor.execute(counting, list(parameters)).fetchall()
                    removed = int(found[0][0])
                    relation = cursor.sql(left, params=list(parameters))
                except duckdb.Error as error:
                    raise InvalidInput(f"The condition did not run: {error}\nCondition: {where}") from error
                return self._overwrite(table, present, relation) if removed else present.version()

        self._retried(table, attempt)
        return removed

    def forget(self, table: str, keep: Collection[int] = ()) -> int:
        """Delete for good what no kept version consists of; returns how many files.

        The newest version is always kept. A query of another one that is under way may fail.
        """
        deleted = 0

        def attempt() -> int:
            nonlocal deleted
            present = self._load(table)
            if present is None:
                return 0
            before = present.version()
            self._sync(table, before)
            gone = present.vacuum(
                retention_hours=0,
                dry_run=False,
                enforce_retention_duration=False,
                full=True,
                keep_versions=sorted({*keep, before}),
            )
            deleted = len(gone)
            for version in range(before, present.version() + 1):
                sync_version(self._folder(table), version)
            present.create_checkpoint()
            forget_statistics(self._folder(table), present.version())
            return present.version()

        self._retried(table, attempt)
        return deleted

    def query(
        self, sql: str, tables: Mapping[str, tuple[str, int | None]], parameters: Sequence[Any] = ()
    ) -> dict[str, Any]:
        """Run DuckDB SQL over ``{alias: (table, version or None for newest)}``; numpy columns.

        Raises:
            NotFound: a table or version is missing.
            InvalidInput: the SQL does not run.
        """
        import duckdb

        try:
            try:
                return self._selected(sql, tables, parameters)
            except (duckdb.IOException, duckdb.InvalidInputException):
                # Perhaps another process has just forgotten the version that was the newest: look again.
                return self._selected(sql, tables, parameters)
        except duckdb.Error as error:
            raise InvalidInput(
                f"The query did not run: {error}\nTables: {dict(tables)}. Query: {sql}"
            ) from error

    def _selected(
        self, sql: str, tables: Mapping[str, tuple[str, int | None]], parameters: Sequence[Any]
    ) -> dict[str, Any]:
        states = {alias: self._state(table, version) for alias, (table, version) in tables.items()}
        with open_engine() as cursor:
            for alias, state in states.items():
                rows = self._keyed(tables[alias][0]).selection(cursor, state)
                cursor.execute(f"CREATE TEMP VIEW {quoted(alias)} AS {rows}")
            return outgoing(cursor.execute(sql, list(parameters)).fetchnumpy())

    def version(self, table: str) -> int | None:
        """The newest version, or None if there is no such table."""
        with self._lock:
            present = self._refreshed(table)
            return None if present is None else present.version()

    def position(self, table: str, writer: str) -> int:
        """The position that ``writer`` last stored with an append; 0 before the first."""
        with self._lock:
            present = self._refreshed(table)
            return 0 if present is None else (present.transaction_version(writer) or 0)

    def _folder(self, table: str) -> Path:
        return folder_of(self._path, table, "A table")

    def _load(self, table: str, version: int | None = None) -> DeltaTable | None:
        """The table as it now stands on disk, or at ``version``."""
        folder = self._folder(table)
        if not (folder / "_delta_log").is_dir():
            return None  # 21 MB before the library: a gateway alone may never have a table
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(folder, version=version)
        except TableNotFoundError:
            return None

    def _refreshed(self, table: str) -> DeltaTable | None:
        """A kept handle brought up to date, which is four times quicker than a new one."""
        self._examined(table)
        present = self._newest.get(table)
        if present is None:
            present = self._load(table)
            if present is not None:
                self._newest[table] = present
        elif not is_newest(self._folder(table), present.version()):
            present.update_incremental()
        return present

    def _state(self, table: str, version: int | None) -> State:
        with self._lock:
            present = self._refreshed(table)
            if present is None:
                raise _missing(table)
            newest = present.version()
            wanted = newest if version is None else version
            if not 0 <= wanted <= newest:
                raise NotFound(
                    f"Table {table!r} has no version {wanted}. Expected 0 to {newest}, or None for newest."
                )
            known = self._states.get((table, wanted))
            if known is None:
                found = present if wanted == newest else self._load(table, wanted)
                if found is None:
                    raise _missing(table)
                known = self._states[table, wanted] = self._keyed(table).describe(found)
                if len(self._states) > _KEPT_STATES:
                    self._states.popitem(last=False)
            self._states.move_to_end((table, wanted))
            return known

    def _write(
        self,
        table: str,
        columns: Columns,
        present: DeltaTable | None,
        mode: Literal["append", "overwrite"],
        transaction: Transaction | None,
    ) -> int:
        keyed = self._keyed(table)
        stored = {} if present is None or mode == "overwrite" else keyed.describe(present).fields
        rows = incoming(table, columns, stored)
        if present is not None:
            self._sync(table, present.version())
        with open_engine() as cursor:
            cursor.register("incoming", rows.arrays)
            version = keyed.commit(present, cursor.sql(rows.sql), mode, transaction)
        self._sync(table, version)
        if present is None:
            mark_whole(self._folder(table), self._boot)
        return version

    def _overwrite(self, table: str, present: DeltaTable, relation: Any) -> int:
        self._sync(table, present.version())
        version = self._keyed(table).commit(present, relation, "overwrite")
        self._sync(table, version)
        return version

    def _merge_small(self, table: str, present: DeltaTable) -> None:
        """Housekeeping after an append, which stands whatever becomes of this: the next one tries again."""
        try:
            merge, keyed = due(present), self._keyed(table)
            if merge is not None and keyed.is_of_one_kind(keyed.describe(present)):
                self._merged(table, present, merge)
        except Exception as error:  # noqa: BLE001 - three libraries may raise theirs; the rows are stored
            _log.warning("table %s: its small files were not merged: %s", table, error)

    def _merged(self, table: str, present: DeltaTable, merge: Merge | None = None) -> None:
        """One commit that changes no row; of all files, or of those that ``merge`` names."""
        before = present.version()
        self._sync(table, before)
        keyed = self._keyed(table)
        state = keyed.describe(present)
        if keyed.current() is None and not keyed.is_due(state):
            present.optimize.compact(target_size=None if merge is None else merge.size_bytes)
        elif len(state.files) > 1 or keyed.is_due(state):
            if merge is not None:
                names = {Path(file).name for file in merge.files}
                state = state._replace(files=tuple(f for f in state.files if Path(f).name in names))
            replaced = None if merge is None else merge.files
            with open_engine() as cursor:
                rows = cursor.sql(keyed.selection(cursor, state))
                keyed.commit(present, rows, "rewrite", replaced=replaced)
        if present.version() != before:
            self._sync(table, present.version())
            present.create_checkpoint()

    def _keyed(self, table: str) -> Keyed:
        return Keyed(table, self._folder(table), self._keys, self._clock)

    def _sync(self, table: str, version: int) -> None:
        if self._synced.get(table) != version:
            sync_version(self._folder(table), version)
            self._synced[table] = version

    def _examined(self, table: str) -> Path:
        """The table's folder, after a look at what a power failure may have left."""
        folder = self._folder(table)
        if table not in self._whole:
            take_back_torn(folder, self._boot)
            self._whole.add(table)
        return folder

    def _retried(self, table: str, attempt: Callable[[], int]) -> int:
        """Write alone among Headrace's threads and processes; try again when another tool committed first.

        Without the lock, two processes that create a table at once would both succeed, and a position
        could be stored twice.
        """
        from deltalake.exceptions import CommitFailedError, DeltaError

        folder = self._examined(table)
        pause_s = _FIRST_PAUSE_S
        for _ in range(_ATTEMPTS):
            try:
                make_folder(folder)
                with locked(folder):
                    return attempt()
            except CommitFailedError:
                self._clock.sleep(pause_s * random.uniform(0.5, 1.5))
                pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
            except OSError as error:
                raise disk_refused("write table", folder, error) from error
            except DeltaError as error:
                raise Unavailable(
                    f"Table {table!r} could not be written: {error}. Nothing was acknowledged. "
                    "Check the disk (df, dmesg), then try again."
                ) from error
        raise Conflict(f"Table {table!r} kept changing while it was written. Try again when it is quieter.")


def _missing(table: str) -> NotFound:
    return NotFound(f"There is no table {table!r} here. Check its name and HEADRACE_STORAGE_URL.")
