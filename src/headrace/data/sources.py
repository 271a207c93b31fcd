"""Tables from files and data frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.core.errors import InvalidInput, NotFound
from headrace.data.csv_files import read_csv
from headrace.data.engine import check_names, first_line
from headrace.data.frames import LARGEST_EXACT, Array, as_column, as_mapping, kind_of
from headrace.store.columns import literal, parquet_rows, path_of, quoted
from headrace.store.engines import open_engine

if TYPE_CHECKING:
    import duckdb

CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
_SQL_TYPES = {"number": "DOUBLE", "text": "VARCHAR", "time": "TIMESTAMP", "boolean": "BOOLEAN"}


def read_file(path: Path, media_type: str | None = None) -> dict[str, Array]:
    r"""Read a CSV file (any of ``, ; tab |`` between fields) or a Parquet file.

    Args:
        media_type: ``text/csv`` or ``application/vnd.apache.parquet``; concluded from the bytes if None.

    Raises:
        NotFound: there is no such file.
        InvalidInput: empty, no rows, not UTF-8, no header, a duplicate column or a row of another length.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("model,price\n A1,12500\n")
    ...     file.flush()
    ...     read_file(Path(file.name))
    {'model': array(['A1'], dtype=object), 'price': array([12500.])}
    """
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}. Expected a CSV or Parquet file.")
    if (media_type or media_type_of(path)) == PARQUET:
        return _read_parquet(path)
    return read_csv(path)


def media_type_of(path: Path) -> str:
    """What the file holds, by its first bytes.

    Raises:
        InvalidInput: a compressed file or a workbook, or one that may not be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror}). Make it readable for you.") from error
    if start.startswith((b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd")):
        raise InvalidInput(
            f"{path.name} is compressed or a workbook. Expected CSV or Parquet: unpack it, or save it as CSV."
        )
    return PARQUET if start == b"PAR1" else CSV


def read_frame(frame: Any) -> dict[str, Array]:
    """A data frame as a table: pandas, Polars, Arrow, or a mapping of columns.

    Raises:
        InvalidInput: it is something else, has no rows, or two columns have the same name.
    """
    if isinstance(frame, Mapping):
        return _with_rows(as_mapping(frame), "The table")
    import duckdb

    labels = getattr(frame, "column_names", None) or getattr(frame, "columns", None)
    if labels is not None and all(isinstance(label, str | int) for label in labels):
        check_names([str(label) for label in labels], "The table")
    with open_engine() as engine:
        try:
            engine.register("frame", frame)
            # A stream of Arrow batches can be read only once.
            engine.execute("CREATE TEMP TABLE kept AS SELECT * FROM frame")
            return _with_rows(_fetched(engine, typed_forms(engine, "kept")), "The table")
        except (duckdb.Error, TypeError) as error:
            raise InvalidInput(
                f"A {type(frame).__module__}.{type(frame).__qualname__} cannot be read as a table "
                f"({first_line(error)}). Expected pandas, Polars, Arrow, or a mapping of columns."
            ) from error


def write_parquet(columns: Mapping[str, Any], path: Path) -> None:
    """Write a table that came from no file; :func:`read_file` gives the same table back.

    Raises:
        InvalidInput: columns differ in length, or two have the same name.
    """
    table = as_mapping(columns)
    check_names(list(table), "The table")
    terms = [
        f"CAST(c{i} AS {_SQL_TYPES[kind_of(values)]}) AS {quoted(name)}"
        for i, (name, values) in enumerate(table.items())
    ]
    with open_engine(n_threads=1) as engine:
        engine.register("incoming", {f"c{i}": values for i, values in enumerate(table.values())})
        engine.execute(
            f"COPY (SELECT {', '.join(terms)} FROM incoming) TO {literal(str(path))} (FORMAT parquet)"
        )


def _with_rows(table: dict[str, Array], what: str) -> dict[str, Array]:
    if not table or not len(next(iter(table.values()))):
        raise InvalidInput(f"{what} has no rows, only column names. Expected at least one row.")
    return table


def _read_parquet(path: Path) -> dict[str, Array]:
    import duckdb

    with open_engine() as engine:
        forms = load_parquet(engine, path)
        try:
            return _with_rows(_fetched(engine, forms), path.name)
        except duckdb.Error as error:
            # A schema that reads well may stand before pages that do not.
            raise _no_parquet(path, error) from error


def load_parquet(engine: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """Open a Parquet file as the engine's view ``typed``; by column name, SQL that gives the column its type.

    Raises:
        InvalidInput: it is none, or two columns have the same name.
    """
    import duckdb

    try:
        source = parquet_rows([path])
        fields = engine.execute(f"SELECT name, num_children FROM parquet_schema({path_of(path)})")
        check_names(_top_level(fields.fetchall()), path.name)
        return typed_forms(engine, source)
    except duckdb.Error as error:
        raise _no_parquet(path, error) from error


def _no_parquet(path: Path, error: Exception) -> InvalidInput:
    return InvalidInput(f"{path.name} cannot be read as Parquet: {first_line(error)} Write it again.")


def _top_level(fields: list[tuple[str, int | None]]) -> list[str]:
    """Names of a Parquet file's own columns, from its schema in depth-first order."""
    names: list[str] = []
    inside = 0
    for name, n_children in fields[1:]:
        if inside:
            inside -= 1
        else:
            names.append(name)
        inside += n_children or 0
    return names


def typed_forms(engine: duckdb.DuckDBPyConnection, source: str) -> dict[str, str]:
    """Make ``source`` the engine's view ``typed``; by column name, SQL that gives the column its type:
    numbers as float64, times in UTC, everything odd as text."""
    engine.execute(f"CREATE TEMP VIEW typed AS SELECT * FROM {source}")
    described = engine.execute("DESCRIBE typed").fetchall()
    return {str(name): _typed_form(engine, quoted(name), kind) for name, kind, *_ in described}


def _fetched(engine: duckdb.DuckDBPyConnection, forms: Mapping[str, str]) -> dict[str, Array]:
    selected = ", ".join(f"{form} AS c{place}" for place, form in enumerate(forms.values()))
    fetched = engine.execute(f"SELECT {selected} FROM typed").fetchnumpy()
    return {name: as_column(fetched[f"c{place}"], name) for place, name in enumerate(forms)}


def _typed_form(engine: duckdb.DuckDBPyConnection, name: str, kind: str) -> str:
    if kind in ("BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT"):
        found = engine.execute(f"SELECT max(abs(CAST({name} AS DOUBLE))) FROM typed").fetchone()
        if found and found[0] is not None and found[0] > LARGEST_EXACT:
            return f"CAST({name} AS VARCHAR)"
        return f"CAST({name} AS DOUBLE)"
    if kind in ("FLOAT", "DOUBLE") or kind.endswith(("INT", "INTEGER")) or kind.startswith("DECIMAL"):
        return f"CAST({name} AS DOUBLE)"
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return f"CAST({name} AS TIMESTAMP)"
    return name if kind in ("VARCHAR", "BOOLEAN") else f"CAST({name} AS VARCHAR)"
