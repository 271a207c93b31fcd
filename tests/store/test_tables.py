from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from headrace.core.clock import SystemClock
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.ports import TableStore, Transaction
from headrace.store.tables import DeltaTables
from headrace.testing import MemoryKeys, TableStoreSuite
from tests.store.children import Child, append_positions, append_rows, running


class TestDeltaTables(TableStoreSuite):
    @pytest.fixture
    def tables(self, tmp_path: Path) -> TableStore:
        return DeltaTables(tmp_path / "tables")


class TestEncryptedDeltaTables(TableStoreSuite):
    @pytest.fixture
    def tables(self, tmp_path: Path) -> TableStore:
        return DeltaTables(tmp_path / "tables", keys=MemoryKeys())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tables"


def _numbers(tables: DeltaTables, table: str, version: int | None = None) -> list[float]:
    return list(tables.query("SELECT n FROM t ORDER BY n", {"t": (table, version)})["n"])


def test_another_process_sees_each_version_as_it_is_committed(folder: Path) -> None:
    writer, reader = DeltaTables(folder), DeltaTables(folder)
    for n in range(3):
        version = writer.append("t", {"n": np.array([float(n)])})
        assert reader.version("t") == version
        assert len(_numbers(reader, "t")) == n + 1


@pytest.mark.parametrize("name", ["my tables", "tablés", "a#b", "env=prod", "a?b", "100%"])
def test_tables_are_kept_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    tables = DeltaTables(tmp_path / name)
    tables.append("t", {"env": np.array(["test"], dtype=object), "n": np.array([1.0])})
    tables.append("t", {"env": np.array(["test"], dtype=object), "n": np.array([2.0])})
    assert tables.remove("t", "n = 1") == 1
    found = tables.query("SELECT * FROM t", {"t": ("t", None)})
    assert (list(found), found["env"].tolist(), found["n"].tolist()) == (["env", "n"], ["test"], [2.0])


@pytest.mark.parametrize("name", ["a[1]", "a^b", "a|b", "a\\b", "a%20b"])
def test_a_folder_that_the_table_format_cannot_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="Choose another folder"):
        DeltaTables(tmp_path / name)


def test_a_query_leaves_nothing_to_the_next(folder: Path) -> None:
    tables = DeltaTables(folder)
    tables.append("t", {"n": np.array([1.0])})
    for change in ("SET threads = 1", "SET GLOBAL TimeZone = 'Asia/Tokyo'", "PRAGMA disable_optimizer"):
        with pytest.raises(InvalidInput, match="locked"):
            tables.query(change, {})
    assert _numbers(tables, "t") == [1.0]


@pytest.mark.requirement("DAT-05")
def test_a_table_is_a_delta_table_that_other_tools_read(folder: Path) -> None:
    DeltaTables(folder).append(
        "cars/rows", {"n": np.array([1.0]), "when": np.array(["2026-01-01"], "M8[us]")}
    )
    table = DeltaTable(folder / "cars" / "rows")
    assert [field.name for field in table.schema().fields] == ["n", "when"]
    assert table.count() == 1


@pytest.mark.requirement("DAT-05")
def test_old_versions_are_never_cleaned_away(folder: Path) -> None:
    """Long enough that a checkpoint is written, which is when Delta would clean its log."""
    tables = DeltaTables(folder)
    first = tables.append("t", {"n": np.array([0.0])})
    for n in range(1, 105):
        tables.append("t", {"n": np.array([float(n)])})
    assert list((folder / "t" / "_delta_log").glob("*.checkpoint.parquet"))
    assert _numbers(DeltaTables(folder), "t", first) == [0.0]
    configuration = DeltaTable(folder / "t").metadata().configuration
    assert configuration["delta.enableExpiredLogCleanup"] == "false"


def test_compaction_keeps_rows_and_old_versions(folder: Path) -> None:
    tables = DeltaTables(folder)
    versions = [
        tables.append("t", {"n": np.array([float(n)])}, transaction=Transaction("w", n + 1)) for n in range(6)
    ]
    compacted = tables.compact("t")
    assert compacted > versions[-1]
    assert len(DeltaTable(folder / "t").file_uris()) == 1
    assert _numbers(tables, "t") == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert _numbers(tables, "t", versions[2]) == [0.0, 1.0, 2.0]
    assert tables.position("t", "w") == 6
    assert tables.compact("t") == compacted
    with pytest.raises(NotFound):
        tables.compact("absent")


def test_small_files_are_merged_as_a_table_grows(folder: Path) -> None:
    """Otherwise a project watched each minute would have forty thousand files after a month."""
    tables = DeltaTables(folder)
    versions = [
        tables.append("t", {"n": np.array([float(n)])}, transaction=Transaction("w", n + 1))
        for n in range(40)
    ]
    assert len(DeltaTable(folder / "t").file_uris()) <= 16
    assert len(set(versions)) == 40
    for reader in (tables, DeltaTables(folder)):
        assert _numbers(reader, "t") == [float(n) for n in range(40)]
        assert _numbers(reader, "t", versions[20]) == [float(n) for n in range(21)]
    assert tables.append("t", {"n": np.array([0.0])}, transaction=Transaction("w", 40)) == tables.version("t")
    assert tables.position("t", "w") == 40


def test_an_append_stands_when_its_small_files_cannot_be_merged(folder: Path, caplog: Any) -> None:
    tables = DeltaTables(folder)
    first = tables.append("t", {"n": np.array([0.0])})
    (lost,) = (folder / "t").glob("*.parquet")
    away = lost.rename(folder / "lost")
    for n in range(1, 20):
        tables.append("t", {"n": np.array([float(n)])})
    assert "its small files were not merged" in caplog.text
    away.rename(lost)
    tables.append("t", {"n": np.array([20.0])})
    assert _numbers(tables, "t") == [float(n) for n in range(21)]
    assert _numbers(tables, "t", first) == [0.0]
    assert len(DeltaTable(folder / "t").file_uris()) <= 16


def test_what_another_process_appends_is_seen_at_once(folder: Path) -> None:
    mine, other = DeltaTables(folder), DeltaTables(folder)
    for n in range(20):
        assert other.append("t", {"n": np.array([float(n)])}) <= (mine.version("t") or 0)
        assert _numbers(mine, "t") == [float(i) for i in range(n + 1)]


def test_two_thousand_columns_are_kept(folder: Path) -> None:
    tables = DeltaTables(folder)
    columns = {f"c{n}": np.array([float(n), np.nan]) for n in range(2000)}
    tables.append("wide", columns)
    found = tables.query("SELECT * FROM t", {"t": ("wide", None)})
    assert list(found) == list(columns)
    assert found["c1999"][0] == 1999.0


def test_whole_numbers_and_floats_mix_where_nothing_is_lost(folder: Path) -> None:
    tables = DeltaTables(folder)
    tables.append("t", {"n": np.array([1, 2])})
    tables.append("t", {"n": np.array([3.0, np.nan])})
    assert tables.query("SELECT sum(n) AS s FROM t", {"t": ("t", None)})["s"][0] == 6.0
    with pytest.raises(Exception, match="holds whole numbers; these rows bring numbers"):
        tables.append("t", {"n": np.array([0.5])})


def test_a_table_left_half_created_is_no_table(folder: Path) -> None:
    (folder / "t" / "_delta_log").mkdir(parents=True)
    tables = DeltaTables(folder)
    assert tables.version("t") is None
    with pytest.raises(NotFound):
        _numbers(tables, "t")
    tables.append("t", {"n": np.array([1.0])})
    assert _numbers(tables, "t") == [1.0]


def test_text_with_line_separators_comes_back(folder: Path) -> None:
    """Delta writes the least and greatest value into its log, where they must not end a line."""
    tables = DeltaTables(folder)
    text = np.array(["a\x85b", "a\u2028b", "a\nb", "a\x1db"], dtype=object)
    tables.append("t", {"text": text})
    assert list(tables.query("SELECT text FROM t", {"t": ("t", None)})["text"]) == list(text)


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
COLUMN = st.one_of(
    arrays.arrays(np.float64, 5, elements=st.floats(allow_nan=True)),
    arrays.arrays(np.int64, 5),
    arrays.arrays(np.bool_, 5),
    st.lists(st.one_of(st.none(), TEXT), min_size=5, max_size=5).map(lambda v: np.array(v, dtype=object)),
    arrays.arrays(np.int64, 5, elements=st.integers(-(2**52), 2**52)).map(lambda a: a.view("datetime64[us]")),
)


@settings(max_examples=25)
@given(st.lists(COLUMN, min_size=1, max_size=4))
def test_any_columns_come_back(tmp_path_factory: pytest.TempPathFactory, columns: list[Any]) -> None:
    tables = DeltaTables(tmp_path_factory.mktemp("tables"))
    version = tables.append("t", {f"c{n}": array for n, array in enumerate(columns)})
    found = tables.query("SELECT * FROM t", {"t": ("t", version)})
    for n, array in enumerate(columns):
        assert found[f"c{n}"].dtype == array.dtype
        np.testing.assert_array_equal(found[f"c{n}"], array)


@pytest.mark.requirement("DAT-05")
def test_processes_append_at_once_and_nothing_is_lost(folder: Path) -> None:
    children = [Child(append_rows, folder, "t", 100 * n, 16) for n in range(2)]
    with running(*children):
        versions = [version for child in children for message in child.finish() for version in message]
    assert len(set(versions)) == 32
    assert _numbers(DeltaTables(folder), "t") == [float(n) for n in [*range(16), *range(100, 116)]]


@pytest.mark.requirement("MON-06")
def test_processes_with_one_position_add_each_row_once(folder: Path) -> None:
    children = [Child(append_positions, folder, "t", 12) for _ in range(2)]
    with running(*children):
        for child in children:
            child.finish()
    tables = DeltaTables(folder)
    assert _numbers(tables, "t") == [float(n) for n in range(1, 13)]
    assert tables.position("t", "segment") == 12


@pytest.mark.requirement("MON-06")
@pytest.mark.parametrize("keys", [None, MemoryKeys()], ids=["clear", "encrypted"])
def test_kill_9_while_rows_are_added_and_files_are_merged_loses_none(
    folder: Path, keys: MemoryKeys | None
) -> None:
    randomly = random.Random(9)
    acknowledged = 0
    n_killed = 0
    while n_killed < 8 or (acknowledged <= 33 and n_killed < 60):  # a busy machine gets less done in between
        n_killed += 1
        child = Child(append_positions, folder, "t", 10_000, keys, acknowledged + 1)
        with running(child):
            said = [child.next()]
            SystemClock().sleep(randomly.uniform(0, 0.5))
            acknowledged = max(said + child.kill())
    tables = DeltaTables(folder, keys=keys)
    position = tables.position("t", "segment")
    assert position in {acknowledged, acknowledged + 1}, "at most the one that was under way"
    assert sorted(_numbers(tables, "t")) == [float(n) for n in range(1, position + 1)]
    assert position > 32, "files were merged meanwhile"


@pytest.mark.requirement("PRV-02")
def test_nothing_on_disk_holds_what_was_removed_and_forgotten(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    for n in range(12):
        tables.append("t", {"who": np.array([f"somebody-{n}", "somebody-else"], dtype=object)})
    tables.compact("t")
    assert tables.remove("t", "who = ?", ["somebody-7"]) == 1
    tables.forget("t")
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"somebody-7" in path.read_bytes() for path in kept)
    found = DeltaTables(tmp_path).query("SELECT count(*) AS n FROM t", {"t": ("t", None)})
    assert found["n"][0] == 23


@pytest.mark.requirement("PRV-02")
def test_another_process_that_knows_an_older_version_looks_again(tmp_path: Path) -> None:
    here, there = DeltaTables(tmp_path), DeltaTables(tmp_path)
    here.append("t", {"n": np.array([1.0, 2.0])})
    sql = "SELECT n FROM t"
    assert there.query(sql, {"t": ("t", None)})["n"].tolist() == [1.0, 2.0]
    assert here.remove("t", "n = 1") == 1
    here.forget("t")
    assert there.query(sql, {"t": ("t", None)})["n"].tolist() == [2.0]
    there.append("t", {"n": np.array([3.0])})
    assert here.query(f"{sql} ORDER BY n", {"t": ("t", None)})["n"].tolist() == [2.0, 3.0]
