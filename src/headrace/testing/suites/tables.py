"""What every table store promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from headrace.core.errors import InvalidInput, NotFound
from headrace.core.ports import TableStore, Transaction

ROWS = {
    "number": np.array([1.5, np.nan, -0.0, np.inf]),
    "text": np.array(["a", None, "", "ü\n'\"😀"], dtype=object),
    "flag": np.array([True, False, True, False]),
    "time": np.array(
        ["2026-01-02T03:04:05.000006", "NaT", "1969-12-31", "2400-01-01"], dtype="datetime64[us]"
    ),
    "whole": np.array([1, -2, 2**62, 0]),
}


def _all(tables: TableStore, table: str, version: int | None = None) -> dict[str, Any]:
    return tables.query("SELECT * FROM t", {"t": (table, version)})


def _numbers(tables: TableStore, table: str, version: int | None = None) -> list[float]:
    rows = tables.query("SELECT n FROM t ORDER BY n", {"t": (table, version)})
    return [float(value) for value in rows["n"]]


class _Rows:
    """What goes in comes out."""

    @pytest.mark.requirement("DAT-05")
    def test_rows_come_back_with_their_types_and_nulls(self, tables: TableStore) -> None:
        version = tables.append("cars/rows", ROWS)
        found = _all(tables, "cars/rows", version)
        assert list(found) == list(ROWS)
        for name, expected in ROWS.items():
            assert found[name].dtype == expected.dtype, name
            assert not np.ma.isMaskedArray(found[name]), name
            np.testing.assert_array_equal(found[name], expected, err_msg=name)

    def test_columns_that_are_all_null_keep_their_type(self, tables: TableStore) -> None:
        nulls = {
            "number": np.full(3, np.nan),
            "text": np.array([None] * 3, dtype=object),
            "time": np.array(["NaT"] * 3, dtype="datetime64[us]"),
        }
        tables.append("nulls", nulls)
        found = _all(tables, "nulls")
        assert np.isnan(found["number"]).all()
        assert list(found["text"]) == [None] * 3
        assert np.isnat(found["time"]).all()
        assert {name: array.dtype.kind for name, array in found.items()} == {
            "number": "f",
            "text": "O",
            "time": "M",
        }

    def test_a_table_without_rows_keeps_its_columns(self, tables: TableStore) -> None:
        tables.append("empty", {name: array[:0] for name, array in ROWS.items()})
        found = _all(tables, "empty")
        assert {name: (len(array), array.dtype.kind) for name, array in found.items()} == {
            name: (0, array.dtype.kind) for name, array in ROWS.items()
        }

    def test_whole_numbers_with_nulls_become_floats(self, tables: TableStore) -> None:
        tables.append("gaps", {"key": np.array([1.0]), "whole": np.array([7])})
        tables.append("gaps", {"key": np.array([2.0])})
        found = tables.query("SELECT whole FROM t ORDER BY key", {"t": ("gaps", None)})
        assert found["whole"].dtype == np.float64
        np.testing.assert_array_equal(found["whole"], [7.0, np.nan])

    def test_nulls_alone_fit_a_column_of_any_type(self, tables: TableStore) -> None:
        tables.append("t", {"n": np.array([1.0])})
        tables.append("t", {"n": np.array([None], dtype=object)})
        found = tables.query("SELECT n FROM t ORDER BY n", {"t": ("t", None)})
        np.testing.assert_array_equal(found["n"], [1.0, np.nan])

    def test_rows_of_another_type_are_refused(self, tables: TableStore) -> None:
        version = tables.append("t", {"n": np.array([1.0])})
        with pytest.raises(InvalidInput, match="'n'"):
            tables.append("t", {"n": np.array(["a"], dtype=object)})
        assert tables.version("t") == version

    @pytest.mark.parametrize(
        "columns",
        [
            {},
            {"a": np.array([1.0]), "b": np.array([1.0, 2.0])},
            {"a": np.array([[1.0]])},
            {"a": np.array([1, "mixed"], dtype=object)},
            {"a": np.array([1j])},
            {"": np.array([1.0])},
            {"a": np.array([1.0]), "A": np.array([1.0])},
        ],
        ids=["none", "lengths", "two dimensions", "mixed objects", "complex", "no name", "case"],
    )
    def test_what_is_no_table_is_refused(self, tables: TableStore, columns: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput):
            tables.append("t", columns)
        assert tables.version("t") is None

    @pytest.mark.parametrize("name", ["a b", 'with "quotes"', "semi;colon", "select", "Ü", "new\nline", "1"])
    def test_any_column_name_comes_back(self, tables: TableStore, name: str) -> None:
        tables.append("t", {name: np.array([1.0]), "other": np.array([2.0])})
        assert list(_all(tables, "t")) == [name, "other"]

    @pytest.mark.parametrize("name", ["", "/", "../t", "a//b", "a/../b", ".hidden", "a/", "sp ace"])
    def test_names_that_are_no_path_are_refused(self, tables: TableStore, name: str) -> None:
        with pytest.raises(InvalidInput):
            tables.append(name, {"n": np.array([1.0])})


class _History:
    """Versions and writers' positions."""

    @pytest.mark.requirement("DAT-05")
    def test_every_version_stays_readable(self, tables: TableStore) -> None:
        first = tables.append("t", {"n": np.array([1.0])})
        second = tables.append("t", {"n": np.array([2.0])})
        third = tables.replace("t", {"n": np.array([9.0])})
        assert first < second < third == tables.version("t")
        assert _numbers(tables, "t", first) == [1.0]
        assert _numbers(tables, "t", second) == [1.0, 2.0]
        assert _numbers(tables, "t", third) == _numbers(tables, "t") == [9.0]

    def test_an_append_may_bring_new_columns(self, tables: TableStore) -> None:
        before = tables.append("t", {"n": np.array([1.0])})
        tables.append("t", {"n": np.array([2.0]), "text": np.array(["new"], dtype=object)})
        found = tables.query("SELECT * FROM t ORDER BY n", {"t": ("t", None)})
        assert list(found["text"]) == [None, "new"]
        assert list(_all(tables, "t", before)) == ["n"]

    def test_an_append_may_lack_columns(self, tables: TableStore) -> None:
        tables.append("t", {"n": np.array([1.0]), "text": np.array(["a"], dtype=object)})
        tables.append("t", {"n": np.array([2.0])})
        found = tables.query("SELECT * FROM t ORDER BY n", {"t": ("t", None)})
        assert list(found["text"]) == ["a", None]

    def test_a_replacement_may_change_the_columns(self, tables: TableStore) -> None:
        old = tables.append("t", {"n": np.array([1.0]), "gone": np.array([True])})
        tables.replace("t", {"n": np.array(["text now"], dtype=object)})
        found = _all(tables, "t")
        assert list(found) == ["n"]
        assert list(found["n"]) == ["text now"]
        assert list(_all(tables, "t", old)) == ["n", "gone"]

    def test_a_replacement_may_come_first(self, tables: TableStore) -> None:
        version = tables.replace("t", {"n": np.array([1.0])})
        assert tables.version("t") == version
        assert _numbers(tables, "t") == [1.0]

    @pytest.mark.requirement("MON-06")
    def test_a_repeated_transaction_adds_nothing(self, tables: TableStore) -> None:
        assert tables.position("t", "writer") == 0
        first = tables.append("t", {"n": np.array([1.0])}, transaction=Transaction("writer", 10))
        again = tables.append("t", {"n": np.array([1.0])}, transaction=Transaction("writer", 10))
        older = tables.append("t", {"n": np.array([1.0])}, transaction=Transaction("writer", 9))
        assert first == again == older
        assert tables.position("t", "writer") == 10
        tables.append("t", {"n": np.array([2.0])}, transaction=Transaction("writer", 11))
        tables.append("t", {"n": np.array([3.0])}, transaction=Transaction("other", 1))
        assert _numbers(tables, "t") == [1.0, 2.0, 3.0]
        assert (tables.position("t", "writer"), tables.position("t", "other")) == (11, 1)

    def test_positions_outlive_a_replacement(self, tables: TableStore) -> None:
        tables.append("t", {"n": np.array([1.0])}, transaction=Transaction("writer", 10))
        tables.replace("t", {"n": np.array([2.0])})
        assert tables.position("t", "writer") == 10

    def test_a_position_below_one_is_refused(self, tables: TableStore) -> None:
        with pytest.raises(InvalidInput):
            tables.append("t", {"n": np.array([1.0])}, transaction=Transaction("writer", 0))

    def test_threads_may_append_at_once(self, tables: TableStore) -> None:
        def append(value: int) -> int:
            return tables.append("t", {"n": np.array([float(value)])})

        with ThreadPoolExecutor(8) as threads:
            versions = list(threads.map(append, range(24)))
        assert len(set(versions)) == 24
        assert _numbers(tables, "t") == [float(value) for value in range(24)]

    def test_threads_with_one_transaction_add_once(self, tables: TableStore) -> None:
        def append(_: int) -> int:
            return tables.append("t", {"n": np.array([1.0])}, transaction=Transaction("writer", 5))

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(append, range(16)))
        assert _numbers(tables, "t") == [1.0]


class _Removal:
    """What has been removed and forgotten is nowhere any more."""

    @pytest.mark.requirement("PRV-02")
    def test_removed_rows_stay_in_earlier_versions_until_they_are_forgotten(self, tables: TableStore) -> None:
        tables.append("t", {"n": np.array([1.0, 2.0]), "who": np.array(["ann", "bob's"], dtype=object)})
        before = tables.append("t", {"n": np.array([3.0]), "who": np.array([None], dtype=object)})
        assert tables.remove("t", "who IN (?, ?)", ["bob's", "nobody"]) == 1
        assert _numbers(tables, "t") == [1.0, 3.0]
        assert _numbers(tables, "t", before) == [1.0, 2.0, 3.0]
        tables.forget("t")
        assert _numbers(tables, "t") == [1.0, 3.0]
        with pytest.raises((InvalidInput, NotFound)):
            _numbers(tables, "t", before)
        tables.append("t", {"n": np.array([4.0]), "who": np.array(["zoe"], dtype=object)})
        assert _numbers(tables, "t") == [1.0, 3.0, 4.0]

    @pytest.mark.requirement("PRV-02")
    def test_kept_versions_stay_readable(self, tables: TableStore) -> None:
        kept = tables.replace("t", {"n": np.array([1.0])})
        gone = tables.replace("t", {"n": np.array([2.0])})
        tables.replace("t", {"n": np.array([3.0])})
        tables.forget("t", [kept])
        assert _numbers(tables, "t", kept) == [1.0]
        assert _numbers(tables, "t") == [3.0]
        with pytest.raises((InvalidInput, NotFound)):
            _numbers(tables, "t", gone)

    def test_removing_nothing_changes_nothing(self, tables: TableStore) -> None:
        assert tables.remove("absent", "true") == 0
        assert tables.forget("absent") == 0
        version = tables.append("t", {"n": np.array([1.0, np.nan])})
        assert tables.remove("t", "n > 5") == 0
        assert tables.version("t") == version
        with pytest.raises(InvalidInput, match="nonsense"):
            tables.remove("t", "nonsense = 1")

    def test_writers_know_their_positions_after_a_removal(self, tables: TableStore) -> None:
        tables.append("t", {"n": np.array([1.0])}, transaction=Transaction("w", 5))
        assert tables.remove("t", "n = 1") == 1
        tables.forget("t")
        assert tables.position("t", "w") == 5
        tables.append("t", {"n": np.array([1.0])}, transaction=Transaction("w", 5))
        assert _numbers(tables, "t") == [], "a repeat adds nothing"


class TableStoreSuite(_Rows, _History, _Removal):
    """Fixture ``tables``: an empty store."""

    def test_a_query_joins_tables_and_takes_parameters(self, tables: TableStore) -> None:
        tables.append("left", {"key": np.array(["a", "b"], dtype=object), "x": np.array([1.0, 2.0])})
        tables.append("right", {"key": np.array(["b", "c"], dtype=object), "y": np.array([20.0, 30.0])})
        found = tables.query(
            "SELECT l.key, x + y AS total FROM l JOIN r USING (key) WHERE y > ?",
            {"l": ("left", None), "r": ("right", None)},
            [10],
        )
        assert (list(found["key"]), list(found["total"])) == (["b"], [22.0])

    def test_counting_gives_whole_numbers(self, tables: TableStore) -> None:
        tables.append("t", ROWS)
        found = tables.query("SELECT count(*) AS n, count(number) AS known FROM t", {"t": ("t", None)})
        assert found["n"].dtype == np.int64
        assert (found["n"][0], found["known"][0]) == (4, 3)

    def test_missing_tables_and_versions_are_not_found(self, tables: TableStore) -> None:
        assert tables.version("absent") is None
        assert tables.position("absent", "writer") == 0
        with pytest.raises(NotFound, match="absent"):
            _all(tables, "absent")
        version = tables.append("t", {"n": np.array([1.0])})
        for missing in (version + 1, -1):
            with pytest.raises(NotFound):
                _all(tables, "t", missing)

    def test_sql_that_does_not_run_is_bad_input(self, tables: TableStore) -> None:
        tables.append("t", {"n": np.array([1.0])})
        with pytest.raises(InvalidInput, match="nonsense"):
            tables.query("SELECT nonsense FROM t", {"t": ("t", None)})

    def test_a_query_sees_no_python_variables(self, tables: TableStore) -> None:
        secret = {"value": np.array([1.0])}
        assert secret
        with pytest.raises(InvalidInput):
            tables.query("SELECT * FROM secret", {})
