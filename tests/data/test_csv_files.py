from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.data.csv_files import read_csv
from headrace.data.frames import kinds, n_rows


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(content: str | bytes) -> Path:
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def column(values: list[str]) -> str:
    return "a,b\n" + "".join(f"{value},x\n" for value in values)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1", "-2.5", "", "1e3"], "number", [1.0, -2.5, None, 1000.0]),
        ([" 5", "6 "], "number", [5.0, 6.0]),
        (["NA", "nan", "1"], "number", [None, None, 1.0]),
        (["inf", "-Infinity", "1e400"], "number", [np.inf, -np.inf, np.inf]),
        (["9007199254740991", "1"], "number", [2.0**53 - 1, 1.0]),
        (["9007199254740992", "1"], "text", ["9007199254740992", "1"]),
        (["1234567890123456789.5", "1"], "number", [1234567890123456789.5, 1.0]),
        (["01099", "10115"], "text", ["01099", "10115"]),
        (["0", "0.5", "0e1"], "number", [0.0, 0.5, 0.0]),
        (["1_000", "2"], "text", ["1_000", "2"]),
        (["true", "FALSE"], "boolean", [True, False]),
        (["true", ""], "number", [1.0, None]),
        (["true", "maybe"], "text", ["true", "maybe"]),
        (["t", "f"], "text", ["t", "f"]),
        ([" Fiesta", "Focus  ", "\tKa"], "text", ["Fiesta", "Focus", "Ka"]),
        (["   ", "x", "None"], "text", [None, "x", None]),
        (["   ", "1"], "number", [None, 1.0]),
        (["2019-12-31", "", "2020-1-2"], "time", ["2019-12-31", None, "2020-01-02"]),
        (
            ["2019-12-31T23:59:00Z", "2019-12-31 23:59:00+02:00"],
            "time",
            ["2019-12-31T23:59", "2019-12-31T21:59"],
        ),
        (["2019/12/31", "2019-12-31 10:00"], "time", ["2019-12-31", "2019-12-31T10:00"]),
        (["2019-12-31", "soon"], "text", ["2019-12-31", "soon"]),
        (["2019-12-31", "2019-13-31"], "text", ["2019-12-31", "2019-13-31"]),
        (["31/12/2019", "01/02/2020"], "time", ["2019-12-31", "2020-02-01"]),
        (["12/31/2019", "01/02/2020"], "time", ["2019-12-31", "2020-01-02"]),
        (["01/02/2020", "03/04/2020"], "text", ["01/02/2020", "03/04/2020"]),
        (["01.02.2020", "03.04.2020"], "time", ["2020-02-01", "2020-04-03"]),
        (["31/12/2019 23:59", "01/02/2020 00:00"], "time", ["2019-12-31T23:59", "2020-02-01"]),
        (["12:30", "13:00"], "text", ["12:30", "13:00"]),
        (["epoch", "infinity"], "text", ["epoch", "infinity"]),
        (["20190101", "20190102"], "number", [20190101.0, 20190102.0]),
    ],
)
def test_types_follow_from_all_values(write: Any, values: list[str], kind: str, expected: list[Any]) -> None:
    table = read_csv(write(column(values)))
    assert kinds(table) == {"a": kind, "b": "text"}
    if kind == "time":
        wanted = np.array([e or "NaT" for e in expected], dtype="datetime64[us]")
        np.testing.assert_array_equal(table["a"], wanted)
    else:
        found = [None if v is None or v != v else v for v in table["a"].tolist()]  # noqa: PLR0124
        assert found == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (" \n\r\n", "is empty"),
        ("\ufeff", "is empty"),
        ("a,b\n", "a header but no rows"),
        ("a,b,a\n1,2,3\n", "the column 'a' twice"),
        ("a, a\n1,2\n", "the column 'a' twice"),
        ("Price,price\n1,2\n", "'Price' and 'price', alike but for case"),
        ("a,b\n1,2\n3\n", "line 3 has 1 values. Expected 2"),
        ("a,b\n1,2\n3,4,5\n3,4,5\n", "line 3 has 3 values. Expected 2"),
        ('a,b\n1,"x\n3,4\n', "line 2 opens a quote"),
        (b"a,b\n1,caf\xe9\n", "not UTF-8: the byte at offset 9 is 0xe9.*UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "not UTF-8: the byte at offset 0 is 0xff"),
        ('"a\nb",c\r\n1,2\r\n', "breaks a line in another way than the rows end"),
        ("a,b\r\n1,2\n3,4\r\n", "ends its lines in more than one way"),
        ("a,_row\n1,2\n", "a column '_row', a name that Headrace needs itself"),
        ("a\0,b\n1,2\n", "cannot hold a NUL byte"),
        (b"a\n" + b"x" * (1 << 20) + b"\xc3(\n", "offset 1048578 is 0xc3"),
    ],
)
def test_what_cannot_be_read(write: Any, content: str | bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_csv(write(content))


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_what_separates_fields(write: Any, mark: str) -> None:
    table = read_csv(write(f'"a,;|"{mark}b\n1{mark}2\n'))
    assert {name: values.tolist() for name, values in table.items()} == {"a,;|": [1.0], "b": [2.0]}


@pytest.mark.parametrize(
    ("mark", "values", "expected"),
    [
        (";", ["1,5", "-0,25", "", "7"], [1.5, -0.25, None, 7.0]),
        (";", ["1,5", "inf", "-Infinity", "2,5E3"], [1.5, np.inf, -np.inf, 2500.0]),
        ("\t", ["1,5", "1,234"], [1.5, 1.234]),
        (";", ["1,234", "12,500"], ["1,234", "12,500"]),
        (";", ["1,234,567", "1,5"], ["1,234,567", "1,5"]),
        (";", ["01,5", "2,5"], ["01,5", "2,5"]),
        (",", ['"1,5"', '"2,5"'], ["1,5", "2,5"]),
    ],
)
def test_decimal_commas_where_commas_do_not_separate(
    write: Any, mark: str, values: list[str], expected: list[Any]
) -> None:
    table = read_csv(write(f"a{mark}b\n" + "".join(f"{value}{mark}x\n" for value in values)))
    assert [None if v is None or v != v else v for v in table["a"].tolist()] == expected  # noqa: PLR0124


@pytest.mark.parametrize("content", ["a,b\r\n1,2\r\n", "a,b\r1,2\r", "\ufeffa,b\n1,2", 'a,b\n"1","2"\n\n'])
def test_line_ends_marks_and_quotes(write: Any, content: str) -> None:
    assert {n: v.tolist() for n, v in read_csv(write(content)).items()} == {"a": [1.0], "b": [2.0]}


def test_names_that_are_words_of_sql_and_worse(write: Any) -> None:
    names = ["select", "from", 'say "hi"', "it's", "", "c1", "price, net", "é", "a\nb", "; DROP TABLE raw"]
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    table = read_csv(write(header + "\n" + ",".join(str(i) for i in range(len(names))) + "\n"))
    assert list(table) == [name or "unnamed_5" for name in names]
    assert [values.item() for values in table.values()] == list(range(len(names)))


def test_one_column_one_row(write: Any) -> None:
    assert read_csv(write("a\n1\n"))["a"].tolist() == [1.0]


def test_two_thousand_columns(write: Any) -> None:
    names = [f"x{i}" for i in range(2000)]
    row = ",".join("word" if i % 10 == 0 else str(i) for i in range(2000))
    table = read_csv(write(",".join(names) + "\n" + f"{row}\n" * 20))
    assert list(table) == names
    assert n_rows(table) == 20
    assert table["x1999"].tolist() == [1999.0] * 20


def test_rows_stay_in_order(write: Any) -> None:
    numbers = np.random.default_rng(0).permutation(50_000)
    assert (read_csv(write("a\n" + "\n".join(map(str, numbers)) + "\n"))["a"] == numbers).all()


CELLS = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6))
def test_text_comes_back_without_the_spaces_around_it(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = tmp_path / "text.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows, ("word", "word")])
    table = read_csv(path)
    nulls = {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"}
    for index, name in enumerate(("a", "b")):
        expected = [None if row[index] in nulls else row[index].strip(" \t") or None for row in rows]
        assert table[name].tolist() == [*expected, "word"]
