from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import arro3.core as arrow
import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput, NotFound
from headrace.data.frames import content_digest, kinds
from headrace.data.sources import CSV, PARQUET, media_type_of, read_file, read_frame, write_parquet
from tests.data.strategies import tables


def parquet(folder: Path, select: str) -> Path:
    path = folder / "table.parquet"
    duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


def test_the_bytes_say_what_a_file_is(tmp_path: Path) -> None:
    path = parquet(tmp_path, "SELECT 1 AS a")
    assert media_type_of(path) == PARQUET
    other = path.rename(tmp_path / "misnamed.csv")
    assert read_file(other)["a"].tolist() == [1.0]
    (tmp_path / "a.dat").write_text("a\n1\n")
    assert media_type_of(tmp_path / "a.dat") == CSV


@pytest.mark.parametrize("name", ["cars[1]", "cars*", "cars?"])
def test_a_file_is_read_and_never_another_that_its_name_could_mean(tmp_path: Path, name: str) -> None:
    (tmp_path / "cars1.csv").write_text("n\n1\n")
    (tmp_path / f"{name}.csv").write_text("n\n2\n")
    assert read_file(tmp_path / f"{name}.csv")["n"].tolist() == [2.0]
    write_parquet({"n": np.array([1.0])}, tmp_path / "cars1.parquet")
    write_parquet({"n": np.array([2.0])}, tmp_path / f"{name}.parquet")
    assert read_file(tmp_path / f"{name}.parquet")["n"].tolist() == [2.0]


def test_a_folder_s_name_is_no_column_and_replaces_none(tmp_path: Path) -> None:
    folder = tmp_path / "year=2020" / "kind=van"
    folder.mkdir(parents=True)
    write_parquet({"year": np.array([1999.0])}, folder / "cars.parquet")
    (folder / "cars.csv").write_text("year\n1999\n")
    for name in ("cars.parquet", "cars.csv"):
        table = read_file(folder / name)
        assert list(table) == ["year"]
        assert table["year"].tolist() == [1999.0]


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        read_file(tmp_path / "absent.csv")
    with zipfile.ZipFile(tmp_path / "book.xlsx", "w") as file:
        file.writestr("sheet", "1")
    with pytest.raises(InvalidInput, match="book.xlsx is compressed or a workbook"):
        read_file(tmp_path / "book.xlsx")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    with pytest.raises(InvalidInput, match="broken.parquet cannot be read as Parquet"):
        read_file(tmp_path / "broken.parquet")


def test_parquet_types(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        """SELECT * FROM (VALUES
          (1::TINYINT, 2::BIGINT, 9007199254740993::BIGINT, 1.5::DECIMAL(5,2), 'a', true, true,
           DATE '2020-01-02', TIMESTAMP '2020-01-02 03:04:05', TIMESTAMPTZ '2020-01-02 03:04:05+02',
           TIME '10:00', [1, 2], 'x'::BLOB, 'NaN'::FLOAT),
          (NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, 2::FLOAT))
          t(tiny, big, id, dec, word, maybe, flag, day, moment, zoned, clock, list, raw, "real")""",
    )
    table = read_file(path)
    assert kinds(table) == {
        "tiny": "number",
        "big": "number",
        "id": "text",
        "dec": "number",
        "word": "text",
        "maybe": "number",
        "flag": "boolean",
        "day": "time",
        "moment": "time",
        "zoned": "time",
        "clock": "text",
        "list": "text",
        "raw": "text",
        "real": "number",
    }
    assert table["id"].tolist() == ["9007199254740993", None]
    assert str(table["zoned"][0]) == "2020-01-02T01:04:05.000000"
    assert table["clock"][0] == "10:00:00"


def test_parquet_without_rows_and_with_nested_columns(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has no rows"):
        read_file(parquet(tmp_path, "SELECT 1 AS a WHERE false"))
    nested = parquet(tmp_path, "SELECT {'a': 1, 'b': [2]} AS s, [{'s': 1}] AS t, 1 AS a")
    assert list(read_file(nested)) == ["s", "t", "a"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(tables(min_rows=1))
def test_what_is_written_is_read(tmp_path: Path, table: dict[str, NDArray[Any]]) -> None:
    write_parquet(table, tmp_path / "t.parquet")
    first = (tmp_path / "t.parquet").read_bytes()
    again = read_file(tmp_path / "t.parquet")
    assert list(again) == list(table)
    assert kinds(again) == kinds(table)
    assert content_digest(again) == content_digest(table)
    write_parquet(table, tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").read_bytes() == first


EXPECTED = {"a": [1.0, 2.0], "b": ["x", None]}


def as_lists(table: dict[str, NDArray[Any]]) -> dict[str, list[Any]]:
    return {name: values.tolist() for name, values in table.items()}


def test_frames_of_every_kind() -> None:
    table = arrow.Table.from_pydict(
        {
            "a": arrow.Array([1, 2], arrow.DataType.int64()),
            "b": arrow.Array(["x", None], arrow.DataType.utf8()),
        }
    )
    for frame in (
        {"a": [1, 2], "b": ["x", None]},
        pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
        table,
        arrow.RecordBatchReader.from_stream(table),
    ):
        assert as_lists(read_frame(frame)) == EXPECTED


def test_pandas_types() -> None:
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime(["2020-01-01", "NaT"]),
            "zoned": pd.to_datetime(["2020-01-01T02:00+02:00", "NaT"], utc=True),
            "kind": pd.Categorical(["u", None]),
            "maybe": pd.array([1, None], dtype="Int64"),
            "id": [2**60, 1],
            7: [True, False],
        }
    )
    table = read_frame(frame)
    assert kinds(table) == {
        "day": "time",
        "zoned": "time",
        "kind": "text",
        "maybe": "number",
        "id": "text",
        "7": "boolean",
    }
    assert str(table["zoned"][0]) == "2020-01-01T00:00:00.000000"
    assert table["id"][0] == str(2**60)


def test_what_is_no_frame() -> None:
    with pytest.raises(InvalidInput, match="builtins.int cannot be read as a table"):
        read_frame(3)
    with pytest.raises(InvalidInput, match="no rows"):
        read_frame({"a": []})
    with pytest.raises(InvalidInput, match="'a' twice"):
        read_frame(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(InvalidInput, match="'a' and 'A', alike but for case"):
        read_frame(pd.DataFrame([[1, 2]], columns=["a", "A"]))
    with pytest.raises(InvalidInput, match="differ in length"):
        read_frame({"a": [1], "b": [1, 2]})
