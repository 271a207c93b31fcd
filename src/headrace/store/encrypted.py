"""Parquet files with modular encryption: how an encrypted table's rows are written and read.

AES-256-GCM over every page, header and footer, as the Parquet format specifies it; column names and smallest
and largest values are in the footer, and encrypted with it. DuckDB reads such files by itself, given the key,
if a column of a row group is one page; they are written so. We read them through Arrow, which decrypts
several times as fast.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.core.ids import new_id
from headrace.core.ports import Clock, DataKeys
from headrace.store.columns import quoted
from headrace.store.disk import sync_file

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from deltalake.transaction import AddAction

_KEY = re.compile(r"\.([0-9a-f]{16})\.parquet")
_GROUP_ROWS = 50_000
_GROUP_BYTES = 256 << 20
_ONE_PAGE = 1 << 30
_FILE_ROWS = 2_000_000


def key_of_file(file: str) -> str | None:
    """The id of the key that a table's file is encrypted with, which its name tells; None: it is not.

    >>> key_of_file("0198c0de.00112233aabbccdd.parquet")
    '00112233aabbccdd'
    """
    match = _KEY.search(file)
    return None if match is None else match[1]


def table_key(keys: DataKeys, table: str, key_id: str) -> bytes:
    """The 32 bytes that a table's files are encrypted with: no other table's files open with them."""
    return keys.key(table, key_id, f"table {table}")


def write_encrypted(
    folder: Path, rows: pa.RecordBatchReader, key_id: str, key: bytes, clock: Clock, *, is_change: bool = True
) -> list[AddAction]:
    """Write ``rows`` into encrypted files below ``folder``, to which nothing refers yet.

    Returns what is to be committed.

    Args:
        is_change: False where the same rows were in the table before.
    """
    from pyarrow import parquet
    from pyarrow.parquet.encryption import create_encryption_properties

    added: list[AddAction] = []
    texts = [field.name for field in rows.schema if _is_text(field)]
    writer: parquet.ParquetWriter | None = None
    n_rows = 0
    path = folder
    for group in _groups(rows):
        if writer is None:
            path = folder / f"{new_id(clock.now())}.{key_id}.parquet"
            writer = parquet.ParquetWriter(
                path,
                rows.schema,
                encryption_properties=create_encryption_properties(footer_key=key),
                # One page for each column of a row group: DuckDB takes the pages after it for altered.
                use_dictionary=texts,
                dictionary_pagesize_limit=_ONE_PAGE,
                data_page_size=_ONE_PAGE,
                max_rows_per_page=_ONE_PAGE,
            )
        writer.write_table(group, row_group_size=_GROUP_ROWS)
        n_rows += group.num_rows
        if n_rows >= _FILE_ROWS:
            added.append(_closed(writer, path, n_rows, clock, is_change))
            writer, n_rows = None, 0
    if writer is not None:
        added.append(_closed(writer, path, n_rows, clock, is_change))
    return added


def bring_in(
    cursor: duckdb.DuckDBPyConnection,
    keys: DataKeys,
    table: str,
    files: Sequence[str],
    schema: pa.Schema,
) -> list[str]:
    """Make encrypted files known to the engine; SQL for their rows, one for each key."""
    from pyarrow import dataset
    from pyarrow.parquet.encryption import create_decryption_properties

    by_key: dict[str, list[str]] = {}
    for file in files:
        by_key.setdefault(key_of_file(file) or "", []).append(file)
    selections = []
    for key_id, paths in by_key.items():
        properties = create_decryption_properties(footer_key=table_key(keys, table, key_id))
        options = dataset.ParquetFragmentScanOptions(decryption_properties=properties)
        source = dataset.FileSystemDataset.from_paths(
            paths,
            schema=schema,
            format=dataset.ParquetFileFormat(default_fragment_scan_options=options),
            filesystem=_local(),
        )
        name = f"encrypted {table} {key_id}"
        cursor.register(name, source)
        selections.append(f"SELECT * FROM {quoted(name)}")
    return selections


def _groups(rows: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Row groups of at most 50,000 rows and about 256 MiB, which is far below what one page can hold."""
    import pyarrow as pa

    pending: list[pa.RecordBatch] = []
    n_rows = n_bytes = 0
    for batch in rows:
        each = max(1, min(_GROUP_ROWS, _GROUP_BYTES * batch.num_rows // max(batch.nbytes, 1)))
        for start in range(0, batch.num_rows, each):
            part = batch.slice(start, each)
            if pending and (n_rows + part.num_rows > _GROUP_ROWS or n_bytes + part.nbytes > _GROUP_BYTES):
                yield pa.Table.from_batches(pending)
                pending, n_rows, n_bytes = [], 0, 0
            pending.append(part)
            n_rows, n_bytes = n_rows + part.num_rows, n_bytes + part.nbytes
    if pending:
        yield pa.Table.from_batches(pending)


def _closed(writer: Any, path: Path, n_rows: int, clock: Clock, is_change: bool) -> AddAction:
    from deltalake.transaction import AddAction

    writer.close()
    path.chmod(0o600)
    sync_file(path)
    # Smallest and largest values stay out of the log, which is not encrypted.
    statistics = json.dumps({"numRecords": n_rows})
    moment_ms = int(clock.now().timestamp() * 1000)
    return AddAction(path.name, path.stat().st_size, {}, moment_ms, is_change, statistics)


def _is_text(field: pa.Field) -> bool:
    return str(field.type) in ("string", "large_string", "string_view")


def _local() -> Any:
    from pyarrow import fs

    return fs.LocalFileSystem()
