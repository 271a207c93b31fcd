from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from headrace.core.errors import InvalidInput, NotFound
from headrace.data.frames import concat, content_digest
from headrace.data.row_copies import RowCopy, copy_chunks, copy_file
from headrace.data.sources import read_file


def _ranges(path: Path, size: int) -> dict[str, Any]:
    with RowCopy(path) as rows:
        return concat([rows.read(start, size) for start in range(0, rows.n_rows, size)])


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_ranges_are_the_table_that_is_read_at_once(tmp_path: Path, form: str) -> None:
    source, copy = tmp_path / f"t.{form}", tmp_path / "rows.duckdb"
    duckdb.sql(
        "COPY (SELECT i AS n, 'c' || (i % 7) AS text, i % 2 = 0 AS even, "
        "CASE WHEN i % 5 > 0 THEN i / 3 END AS gap, "
        f"DATE '2020-01-01' + CAST(i AS INTEGER) AS day FROM range(500) t(i)) TO '{source}' (FORMAT {form})"
    )
    copy_file(source, copy)
    assert content_digest(_ranges(copy, 64)) == content_digest(read_file(source))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.duckdb", source.name]


def test_a_query_chooses_and_orders_rows(tmp_path: Path) -> None:
    source, copy = tmp_path / "t.csv", tmp_path / "rows.duckdb"
    source.write_text("a,b\n1,x\n2,y\n3,z\n")
    copy_file(source, copy, query="SELECT b, a * 2 AS double FROM source WHERE a > 1 ORDER BY a DESC;")
    with RowCopy(copy) as rows:
        assert rows.names == ["b", "double"]
        assert rows.read(0, 10)["b"].tolist() == ["z", "y"]
        assert rows.read(1, 1)["double"].tolist() == [4.0]


def test_a_table_in_chunks(tmp_path: Path) -> None:
    chunks: list[dict[str, Any]] = [{"a": np.arange(3.0)}, {"a": np.array([9.0])}]
    copy_chunks(chunks, tmp_path / "rows.duckdb")
    assert _ranges(tmp_path / "rows.duckdb", 2)["a"].tolist() == [0.0, 1.0, 2.0, 9.0]


@pytest.mark.parametrize(
    ("text", "query", "message"),
    [
        ("a\n1\n", "SELECT nothing FROM source", "query cannot be run"),
        ("a\n1\n", "SELECT * FROM read_csv('/etc/passwd', header = false)", "query cannot be run"),
        ("a\n1\n", "SELECT * FROM source) UNION ALL (SELECT 2", "query cannot be run"),
        ("a\n1\n", "SELECT 1 AS a; ATTACH 'other.db'", "no SELECT, or more than one"),
        ("a\n1\n", "COPY source TO 'other.csv'", "no SELECT, or more than one"),
        ("a\n1\n", "", "no SELECT, or more than one"),
        ("a\n1\n", "SELECT * FROM source WHERE a > 1", "no rows"),
        ("a\n", None, "no rows"),
        ("", None, "is empty"),
    ],
)
def test_what_gives_no_rows_is_refused_and_leaves_no_copy(
    tmp_path: Path, text: str, query: str | None, message: str
) -> None:
    source = tmp_path / "t.csv"
    source.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        copy_file(source, tmp_path / "rows.duckdb", query=query)
    assert not (tmp_path / "rows.duckdb").exists()


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        copy_file(tmp_path / "absent.csv", tmp_path / "rows.duckdb")
