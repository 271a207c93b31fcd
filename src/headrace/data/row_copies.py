"""Tables of any size, copied once into a file of their own, so that ranges of rows are read in little memory.

The copy keeps the order of the rows and does not follow what happens to its source. Types are those of
:mod:`headrace.data.sources`, found over all rows; so a range holds what the whole table would hold there.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.errors import InvalidInput, NotFound
from headrace.core.ports import Columns
from headrace.data.csv_files import load_csv
from headrace.data.engine import check_names, first_line
from headrace.data.frames import Array, as_column
from headrace.data.sources import PARQUET, load_parquet, media_type_of, typed_forms, write_parquet
from headrace.store.columns import literal, parquet_rows, quoted
from headrace.store.disk import sync_file, sync_folder
from headrace.store.engines import own_engine

if TYPE_CHECKING:
    import duckdb

MEMORY_MB = 512
"""What the engine holds in memory; the rest waits on disk beside the copy."""
SOURCE = "source"
"""What the table is called in a query."""


class RowCopy:
    """The rows of a finished copy; several processes may read one at the same time.

    Example::

        with RowCopy(path) as rows:
            rows.read(0, 1000)["mileage"]
    """

    def __init__(self, path: Path) -> None:
        import duckdb

        self._engine = duckdb.connect(str(path), read_only=True, config={"threads": 1})
        self.names = [str(row[0]) for row in self._engine.execute("DESCRIBE rows").fetchall()]
        found = self._engine.execute("SELECT count(*) FROM rows").fetchone()
        self.n_rows = int(found[0]) if found else 0

    def read(self, start: int, count: int) -> dict[str, Array]:
        """Rows ``start`` to ``start + count``, in order; fewer at the end of the table."""
        terms = ", ".join(f"{quoted(name)} AS c{place}" for place, name in enumerate(self.names))
        found = self._engine.execute(
            f"SELECT {terms} FROM rows WHERE rowid >= ? AND rowid < ? ORDER BY rowid", [start, start + count]
        ).fetchnumpy()
        return {name: as_column(found[f"c{place}"], name) for place, name in enumerate(self.names)}

    def close(self) -> None:
        """Release the file."""
        self._engine.close()

    def __enter__(self) -> RowCopy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def copy_file(source: Path, path: Path, *, query: str | None = None) -> None:
    """Copy the rows of a CSV or Parquet file to ``path``, which is whole as soon as it is there.

    Args:
        query: one SELECT of DuckDB over the table ``source``; its rows are copied instead. It reaches
            no file.

    Raises:
        NotFound: there is no such file.
        InvalidInput: as :func:`headrace.data.sources.read_file`; or the query cannot be run.
    """
    import duckdb

    if not source.is_file():
        raise NotFound(f"There is no file {str(source)!r}. Expected a CSV or Parquet file.")
    part = _begin(path)
    with _engine(part) as engine:
        if media_type_of(source) == PARQUET:
            forms, table = load_parquet(engine, source), "typed"
        else:
            forms, table = load_csv(engine, source), "raw"
        try:
            _keep(engine, _selection(forms, table), query, source.name)
        except duckdb.Error as error:
            raise InvalidInput(
                f"The rows of {source.name} cannot be copied: {first_line(error)} Where the file is damaged, "
                "write it again."
            ) from error
    _finish(part, path)


def copy_chunks(chunks: Iterable[Columns], path: Path, *, query: str | None = None) -> None:
    """Copy a table that comes in parts, such as one of the store; otherwise as :func:`copy_file`."""
    part = _begin(path)
    chunk_path = part.with_suffix(".chunk")
    with _engine(part) as engine:
        for place, chunk in enumerate(chunks):
            write_parquet(chunk, chunk_path)
            verb = "INSERT INTO gathered" if place else "CREATE TABLE gathered AS"
            engine.execute(f"{verb} SELECT * FROM {parquet_rows([chunk_path])}")
        chunk_path.unlink(missing_ok=True)
        _keep(engine, "SELECT * FROM gathered", query, "The table")
    _finish(part, path)


def _selection(forms: dict[str, str], table: str) -> str:
    return f"SELECT {', '.join(f'{form} AS {quoted(name)}' for name, form in forms.items())} FROM {table}"


def _keep(engine: duckdb.DuckDBPyConnection, selection: str, query: str | None, what: str) -> None:
    """Make the table ``rows`` of ``selection``, or of the query over it."""
    import duckdb

    if query is not None:
        engine.execute(f"CREATE TABLE {SOURCE} AS {selection}")
        # What is scored is what the source's digest stands for: a query reads no other file, and writes none.
        engine.execute("SET enable_external_access = false")
        engine.execute("SET lock_configuration = true")
        try:
            engine.execute(f"CREATE TABLE asked AS {_one_select(query)}")
        except duckdb.Error as error:
            raise InvalidInput(
                f"The query cannot be run: {first_line(error)}. Expected DuckDB SQL over the table "
                f"{SOURCE!r}, such as: SELECT * FROM {SOURCE} WHERE year > 2018."
            ) from error
        engine.execute("DROP VIEW IF EXISTS typed")
        forms = typed_forms(engine, "asked")
        check_names(list(forms), "The query")
        selection = _selection(forms, "typed")
    engine.execute(f"CREATE TABLE kept.rows AS {selection}")
    found = engine.execute("SELECT count(*) FROM kept.rows").fetchone()
    if not found or not found[0]:
        raise InvalidInput(f"{what} has no rows. Expected at least one row to score.")


def _one_select(query: str) -> str:
    """The query, if it is one and does nothing but select.

    Raises:
        InvalidInput: it is not.
    """
    import duckdb

    statements = duckdb.extract_statements(query)
    if [one.type for one in statements] != [duckdb.StatementType.SELECT]:
        raise InvalidInput(
            f"The query is no SELECT, or more than one. Expected one, such as: SELECT * FROM {SOURCE} "
            "WHERE year > 2018."
        )
    return str(statements[0].query)


def _engine(part: Path) -> duckdb.DuckDBPyConnection:
    """An engine whose tables are in a file beside ``part``, with ``part`` itself as ``kept``."""
    engine = own_engine(n_threads=2)
    engine.execute(f"SET memory_limit = '{MEMORY_MB}MB'")
    engine.execute(f"SET temp_directory = {literal(str(part.with_suffix('.spill')))}")
    engine.execute(f"ATTACH {literal(str(part.with_suffix('.work')))} AS work")
    engine.execute(f"ATTACH {literal(str(part))} AS kept")
    engine.execute("USE work")
    return engine


def _begin(path: Path) -> Path:
    """Where the copy is made; what a killed process left there is removed."""
    part = path.with_suffix(".copying")
    _remove(part)
    return part


def _finish(part: Path, path: Path) -> None:
    sync_file(part)
    part.replace(path)
    _remove(part)
    sync_folder(path.parent)


def _remove(part: Path) -> None:
    for left in part.parent.glob(f"{part.stem}.*"):
        if left.suffix in (".copying", ".work", ".wal", ".chunk"):
            left.unlink()
