"""CSV files: checked, read, and typed by rules of our own.

The type of a column follows from all its values, by rules that do not change with the version of a
library, so that an archived file gives the same table again:

- ``number``: every value is one, none has a leading zero (a code such as 01099), and none is a whole
  number beyond 2**53 - 1, which float64 could round; where fields are not separated by commas, ``1,5`` is
  one and a half, unless every comma of the column could be one between thousands;
- ``boolean``: every value is true or false;
- ``time``: every value is a date such as 2019-12-31, with or without a time of day, or every value can be
  read as day-month-year or as month-day-year but not as both;
- ``text`` otherwise.

Spaces around a value do not count; empty fields, NA, N/A, NaN, null and None are null.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from headrace.core.errors import InvalidInput
from headrace.data.engine import check_names, first_line
from headrace.data.frames import LARGEST_EXACT, Array, as_column
from headrace.store.columns import literal, path_of
from headrace.store.engines import open_engine

if TYPE_CHECKING:
    import duckdb

UNNAMED = "unnamed_{}"
"""Name of a column that has none in the file, with its position counted from 1."""

_NULLS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
_BATCH = 200
_CHUNK_BYTES = 1 << 20
_LONGEST_LINE_BYTES = 32 << 20
_ISO = r"\d{4}[-/]\d{1,2}[-/]\d{1,2}([ T].*)?"
_DAY_FIRST, _MONTH_FIRST = "%d{0}%m{0}%Y", "%m{0}%d{0}%Y"
_OTHER_DATE = re.compile(
    r"\d{1,2}(?P<mark>[/.-])\d{1,2}\1\d{4}(?P<clock>[ T]\d{1,2}:\d{2}(?P<seconds>:\d{2})?)?"
)


_LONG_DIGITS = 16
_DECIMAL_COMMA = r"(?i)[+-]?((0|[1-9]\d*)(,\d+)?(e[+-]?\d+)?|inf|infinity)"
_MAYBE_THOUSANDS = r"[^,]*|[+-]?[1-9]\d{0,2},\d{3}"
_WHOLE = r"[+-]?\d+"
# Engines take 01099 and 1_000 for numbers; people mean codes.
_FACTS = (
    "count({c}), "
    "count_if(TRY_CAST({c} AS DOUBLE) IS NOT NULL AND NOT regexp_full_match({c}, '[+-]?0\\d+|.*_.*')), "
    "max(strlen({c})), min({c}), max({c})"
)


class _Facts(NamedTuple):
    """What decides a column's type: how many values and numbers, the longest, first and last as text."""

    n: int
    n_numbers: int
    longest: int | None
    least: str | None
    greatest: str | None


def read_csv(path: Path) -> dict[str, Array]:
    """Read a CSV file whose fields are separated by ``,``, ``;``, tab or ``|``.

    Raises:
        InvalidInput: empty, no rows, not UTF-8, a duplicate column or a row of another length.
    """
    with open_engine() as engine:
        forms = load_csv(engine, path, kind="TEMP TABLE")
        selected = ", ".join(f"{form} AS c{place}" for place, form in enumerate(forms.values()))
        fetched = engine.execute(f"SELECT {selected} FROM raw").fetchnumpy()
        return {name: as_column(fetched[f"c{place}"], name) for place, name in enumerate(forms)}


def load_csv(engine: duckdb.DuckDBPyConnection, path: Path, *, kind: str = "TABLE") -> dict[str, str]:
    """Load a CSV file as the engine's table ``raw``; by column name, SQL that gives the column its type.

    Raises:
        InvalidInput: as :func:`read_csv`.
    """
    import duckdb

    _check_utf8(path)
    header, mark = _header(path)
    names = [name.strip() or UNNAMED.format(i) for i, name in enumerate(header, start=1)]
    check_names(names, path.name)
    fields = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(names)))
    options = (
        f"columns = {{{fields}}}, auto_detect = false, header = true, delim = {literal(mark)}, "
        f"quote = '\"', escape = '\"', nullstr = [{', '.join(map(literal, _NULLS))}], "
        f"max_line_size = {_LONGEST_LINE_BYTES}, hive_partitioning = false"
    )
    trimmed = ", ".join(f"trim(c{i}, ' \t') AS c{i}" for i in range(len(names)))
    try:
        engine.execute(f"CREATE {kind} raw AS SELECT {trimmed} FROM read_csv({path_of(path)}, {options})")
    except duckdb.Error as error:
        raise InvalidInput(_csv_problem(path, error)) from error
    found = engine.execute("SELECT count(*) FROM raw").fetchone()
    if not found or not found[0]:
        raise InvalidInput(_no_rows(path, header))
    return dict(zip(names, _column_forms(engine, len(names), mark), strict=True))


def _check_utf8(path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = 0
    blank = True
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK_BYTES)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                at = offset - pending + error.start
                byte = error.object[error.start]
                raise InvalidInput(
                    f"{path.name} is not UTF-8: the byte at offset {at} is 0x{byte:02x}. "
                    "Save it again as UTF-8 (in a spreadsheet: 'CSV UTF-8'; in a shell: iconv -t UTF-8)."
                ) from error
            blank = blank and not text.strip("\ufeff \r\n\t")
            offset += len(chunk)
            if not chunk:
                break
    if blank:
        raise InvalidInput(f"{path.name} is empty. Expected a header line and at least one row.")


class _Header(NamedTuple):
    names: list[str]
    mark: str


def _header(path: Path) -> _Header:
    """The first record and what separates its fields: of ``, ; tab |`` the one found most often."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        start = file.readline()
        outside_quotes = re.sub(r'"[^"]*"?', "", start)
        mark = max(",;\t|", key=outside_quotes.count)
        rest = io.StringIO(start + file.read(_CHUNK_BYTES) if start.count('"') % 2 else start)
        try:
            return _Header(next(csv.reader(rest, delimiter=mark, strict=True)), mark)
        except (csv.Error, StopIteration) as error:
            raise InvalidInput(f"The header of {path.name} cannot be read: {error}.") from error


def _no_rows(path: Path, header: list[str]) -> str:
    broken = next((name for name in header if "\n" in name or "\r" in name), None)
    if broken is None:
        return f"{path.name} has a header but no rows. Expected at least one row."
    return (
        f"{path.name} cannot be read: the name {broken!r} breaks a line in another way than the rows end. "
        "Take the line break out of the name."
    )


def _csv_problem(path: Path, error: Exception) -> str:
    text = str(error)
    line = re.search(r"CSV Error on Line: (\d+)", text)
    where = f"{path.name}, line {line[1]}" if line else path.name
    fields = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if fields:
        return (
            f"{where} has {fields[2]} values. Expected {fields[1]}, as in the header. "
            "Mend the row; a value with a separator in it needs quotes."
        )
    if "unterminated quote" in text:
        return f'{where} opens a quote (") that is never closed. Close it, or double a quote inside a value.'
    if "state machine" in text:
        return (
            f"{where} ends its lines in more than one way (Windows, Unix, old Mac). Expected one. "
            "Save it again, or in a shell: dos2unix FILE."
        )
    return f"{where} cannot be read as CSV: {first_line(error)}"


def _column_forms(engine: duckdb.DuckDBPyConnection, n_columns: int, mark: str) -> list[str]:
    """SQL that gives each column its type."""
    forms: list[str] = []
    for start in range(0, n_columns, _BATCH):
        names = [f"c{i}" for i in range(start, min(start + _BATCH, n_columns))]
        terms = ", ".join(_FACTS.format(c=name) for name in names)
        row = engine.execute(f"SELECT {terms} FROM raw").fetchone() or ()
        for place, name in enumerate(names):
            facts = _Facts(*row[5 * place : 5 * place + 5])
            if facts.least == "":  # a field of spaces, trimmed
                engine.execute(f"UPDATE raw SET {name} = nullif({name}, '')")
                facts = _Facts(*(engine.execute(f"SELECT {_FACTS.format(c=name)} FROM raw").fetchone() or ()))
            forms.append(_form(engine, name, facts, mark))
    return forms


def _form(engine: duckdb.DuckDBPyConnection, name: str, facts: _Facts, mark: str) -> str:
    if facts.n == facts.n_numbers:
        return name if _is_long_id(engine, name, facts) else f"CAST({name} AS DOUBLE)"
    sample = facts.greatest or ""
    if sample.lower() in ("true", "false") and _all(engine, name, r"(?i)true|false"):
        return f"CAST({name} AS BOOLEAN)"
    if mark != "," and _has_decimal_commas(engine, name, facts):
        return f"CAST(replace({name}, ',', '.') AS DOUBLE)"
    return _moment(engine, name, sample) or name


def _has_decimal_commas(engine: duckdb.DuckDBPyConnection, name: str, facts: _Facts) -> bool:
    ends = (facts.least or "", facts.greatest or "")
    return (
        all(re.fullmatch(_DECIMAL_COMMA, end) for end in ends)
        and _all(engine, name, _DECIMAL_COMMA)
        and not _all(engine, name, _MAYBE_THOUSANDS)
    )


def _is_long_id(engine: duckdb.DuckDBPyConnection, name: str, facts: _Facts) -> bool:
    """Whether all values are whole and float64 would round one of them."""
    ends = (facts.least or "", facts.greatest or "")
    if (facts.longest or 0) < _LONG_DIGITS or not all(re.fullmatch(_WHOLE, end) for end in ends):
        return False
    small = f"CASE WHEN abs(CAST({name} AS DOUBLE)) <= {LARGEST_EXACT} THEN 1 END"
    return _all(engine, name, _WHOLE) and not _fits(engine, name, small)


def _moment(engine: duckdb.DuckDBPyConnection, name: str, sample: str) -> str | None:
    """SQL that makes times of a column; None if it holds something else, or two readings are possible."""
    if re.fullmatch(_ISO, sample) and _all(engine, name, _ISO):
        form = f"CAST(TRY_CAST({name} AS TIMESTAMPTZ) AS TIMESTAMP)"
        return form if _fits(engine, name, form) else None
    match = _OTHER_DATE.fullmatch(sample)
    if match is None:
        return None
    clock = ""
    if match["clock"]:
        clock = match["clock"][0] + ("%H:%M:%S" if match["seconds"] else "%H:%M")
    readings = [order.format(match["mark"]) + clock for order in (_DAY_FIRST, _MONTH_FIRST)]
    forms = [f"try_strptime({name}, {literal(reading)})" for reading in readings]
    fitting = [form for form in forms if _fits(engine, name, form)]
    return fitting[0] if len(fitting) == 1 or (fitting and match["mark"] == ".") else None


def _all(engine: duckdb.DuckDBPyConnection, name: str, pattern: str) -> bool:
    return _fits(engine, name, f"CASE WHEN regexp_full_match({name}, {literal(pattern)}) THEN 1 END")


def _fits(engine: duckdb.DuckDBPyConnection, name: str, form: str) -> bool:
    """Whether ``form`` has a value wherever the column has one."""
    found = engine.execute(f"SELECT count({form}) = count({name}) FROM raw").fetchone()
    return bool(found and found[0])
