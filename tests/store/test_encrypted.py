from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from deltalake import DeltaTable

from headrace.core.errors import InvalidInput, Unavailable
from headrace.core.ports import Transaction
from headrace.store.encrypted import key_of_file, table_key
from headrace.store.tables import DeltaTables
from headrace.testing import MemoryKeys

CANARY = "ada@example.org"
ALL = "SELECT * FROM t ORDER BY n"


@pytest.fixture
def keys() -> MemoryKeys:
    return MemoryKeys()


@pytest.fixture
def tables(tmp_path: Path, keys: MemoryKeys) -> DeltaTables:
    return DeltaTables(tmp_path, keys=keys)


def rows(*numbers: float, **more: Any) -> dict[str, Any]:
    # Different texts, so that what is compressed still has each as it is.
    texts = np.array([f"{CANARY} {n}" for n in numbers], dtype=object)
    return {"n": np.array(numbers), "who": texts} | more


def read(tables: DeltaTables, table: str = "cars/outcomes", version: int | None = None) -> list[float]:
    return list(tables.query(ALL, {"t": (table, version)})["n"])


def files_with(folder: Path, text: str) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]


@pytest.mark.requirement("PRV-02")
def test_values_and_statistics_are_nowhere_in_clear(tmp_path: Path, tables: DeltaTables) -> None:
    tables.append("cars/outcomes", rows(1.0, 2.0), transaction=Transaction("w", 7))
    tables.append("cars/outcomes", rows(3.0), transaction=Transaction("w", 8))
    tables.append("cars/outcomes", rows(4.0), transaction=Transaction("w", 8))
    tables.remove("cars/outcomes", "n = 2")
    tables.compact("cars/outcomes")
    assert read(tables) == [1.0, 3.0]
    assert read(tables, version=0) == [1.0, 2.0]
    assert tables.position("cars/outcomes", "w") == 8
    assert files_with(tmp_path, CANARY) == []
    assert all(p.stat().st_mode & 0o077 == 0 for p in tmp_path.rglob("*.parquet") if key_of_file(p.name))
    plain = DeltaTables(tmp_path / "plain")
    plain.append("t", rows(1.0))
    assert files_with(tmp_path / "plain", CANARY), "the test would see it"


@pytest.mark.requirement("PRV-02")
def test_other_tools_read_it_with_the_key(tmp_path: Path, tables: DeltaTables, keys: MemoryKeys) -> None:
    """More rows than a page usually holds, and more texts than a dictionary."""
    n = 130_000
    texts = np.array([f"text {i} {i % 7}" for i in range(n)], dtype=object)
    columns = {"n": np.arange(n) * 1.0, "who": texts, "few": np.array(["a", "b"] * (n // 2), dtype=object)}
    tables.append("cars/outcomes", columns)
    (file,) = DeltaTable(tmp_path / "cars" / "outcomes").file_uris()
    key_id = key_of_file(file)
    assert key_id is not None
    key = table_key(keys, "cars/outcomes", key_id)
    with duckdb.connect() as engine:
        encoded = duckdb.execute("SELECT to_base64(from_hex(?))", [key.hex()]).fetchall()[0][0]
        engine.execute(f"PRAGMA add_parquet_key('k', '{encoded}')")
        source = f"read_parquet('{file}', encryption_config = {{footer_key: 'k'}})"
        found = engine.execute(f"SELECT count(*), sum(n), count(DISTINCT who), min(few) FROM {source}")
        assert found.fetchall() == [(n, n * (n - 1) / 2, n, "a")]
    assert tables.query("SELECT count(DISTINCT who) AS d FROM t", {"t": ("cars/outcomes", 0)})["d"][0] == n


@pytest.mark.requirement("PRV-02")
def test_old_rows_stay_readable_when_it_is_switched_and_rotated(
    tmp_path: Path, tables: DeltaTables, keys: MemoryKeys
) -> None:
    keys.encrypts = False
    tables.append("cars/outcomes", rows(1.0))
    keys.encrypts = True
    tables.append("cars/outcomes", rows(2.0, more=np.array(["x"], dtype=object)))
    keys.rotate()
    last = tables.append("cars/outcomes", rows(3.0))
    found = DeltaTables(tmp_path, keys=keys).query(ALL, {"t": ("cars/outcomes", None)})
    assert list(found["n"]) == [1.0, 2.0, 3.0]
    assert list(found["more"]) == [None, "x", None]
    assert len(files_with(tmp_path, CANARY)) == 1
    compacted = tables.compact("cars/outcomes")
    assert compacted > last
    assert tables.compact("cars/outcomes") == compacted
    assert read(tables, version=last) == [1.0, 2.0, 3.0], "earlier versions stay until they are forgotten"
    tables.forget("cars/outcomes")
    assert files_with(tmp_path, CANARY) == []
    keys.lose()
    assert read(tables) == [1.0, 2.0, 3.0]
    keys.encrypts = False
    tables.compact("cars/outcomes")
    assert read(DeltaTables(tmp_path)) == [1.0, 2.0, 3.0]


def test_small_files_of_an_encrypted_table_are_merged_as_it_grows(
    tmp_path: Path, tables: DeltaTables, keys: MemoryKeys
) -> None:
    versions = [tables.append("cars/outcomes", rows(float(n))) for n in range(10)]
    keys.rotate()
    versions += [tables.append("cars/outcomes", rows(float(n))) for n in range(10, 40)]
    assert len(DeltaTable(tmp_path / "cars" / "outcomes").file_uris()) <= 16
    for reader in (tables, DeltaTables(tmp_path, keys=keys)):
        assert sorted(read(reader)) == [float(n) for n in range(40)]
        assert sorted(read(reader, version=versions[20])) == [float(n) for n in range(21)]
    assert files_with(tmp_path, CANARY) == []


@pytest.mark.requirement("PRV-02")
def test_a_file_that_was_altered_or_moved_is_refused(tmp_path: Path, tables: DeltaTables) -> None:
    tables.append("cars/outcomes", rows(1.0))
    tables.append("cars/predictions", rows(2.0))
    (outcomes,) = DeltaTable(tmp_path / "cars" / "outcomes").file_uris()
    (predictions,) = DeltaTable(tmp_path / "cars" / "predictions").file_uris()
    whole = Path(predictions).read_bytes()
    shutil.copy(outcomes, predictions)
    with pytest.raises(InvalidInput, match="The query did not run"):
        read(tables, "cars/predictions")
    for at in range(10, len(whole), 97):
        Path(predictions).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(InvalidInput, match="The query did not run"):
            read(tables, "cars/predictions")
    Path(predictions).write_bytes(whole)
    assert read(tables, "cars/predictions") == [2.0]


@pytest.mark.requirement("PRV-02")
def test_without_its_key_a_table_says_which_is_missing(
    tmp_path: Path, tables: DeltaTables, keys: MemoryKeys
) -> None:
    tables.append("cars/outcomes", rows(1.0))
    keys.rotate()
    keys.lose()
    for use in (read, lambda t: t.remove("cars/outcomes", "true"), lambda t: t.compact("cars/outcomes")):
        with pytest.raises(Unavailable, match="Key 0{16} of 'cars/outcomes' is not here"):
            use(tables)
    with pytest.raises(InvalidInput, match="is encrypted, and this store was opened without keys"):
        read(DeltaTables(tmp_path))


def test_another_schema_replaces_the_table(tables: DeltaTables) -> None:
    tables.append("cars/rows", rows(1.0))
    times = np.array(["2026-01-02T03:04:05"], dtype="M8[us]")
    version = tables.replace("cars/rows", {"when": times, "n": np.array(["text"], dtype=object)})
    found = tables.query("SELECT * FROM t", {"t": ("cars/rows", version)})
    assert list(found) == ["when", "n"]
    assert list(found["n"]) == ["text"]
    assert found["when"] == times
    assert list(tables.query("SELECT * FROM t", {"t": ("cars/rows", 0)})["n"]) == [1.0]
    tables.append("cars/rows", {"when": times, "n": np.array(["b"], dtype=object), "later": times})
    assert tables.query("SELECT count(later) AS c FROM t", {"t": ("cars/rows", None)})["c"][0] == 1


def test_no_rows_and_very_long_texts(tables: DeltaTables) -> None:
    empty = {"n": np.zeros(0), "who": np.zeros(0, dtype=object)}
    tables.append("cars/outcomes", empty, transaction=Transaction("w", 1))
    tables.append("cars/outcomes", empty, transaction=Transaction("w", 2))
    assert read(tables) == []
    assert tables.position("cars/outcomes", "w") == 2
    long = np.array(["x" * 3_000_000, None, "y"], dtype=object)
    tables.append("cars/outcomes", {"n": np.array([1.0, 2.0, 3.0]), "who": long})
    assert [t and len(t) for t in tables.query(ALL, {"t": ("cars/outcomes", None)})["who"]] == [
        3_000_000, None, 1,
    ]  # fmt: skip


@pytest.mark.requirement("PRV-02")
def test_a_query_goes_on_when_another_process_has_just_forgotten_the_newest_version(
    tmp_path: Path, tables: DeltaTables, keys: MemoryKeys
) -> None:
    tables.append("cars/outcomes", rows(1.0))
    reader = DeltaTables(tmp_path, keys=keys)
    assert read(reader) == [1.0]
    state = reader._state

    def outdated(table: str, version: int | None) -> Any:
        found = state(table, version)
        if not done:
            done.append(1)
            tables.remove("cars/outcomes", "n = 9")
            tables.append("cars/outcomes", rows(2.0))
            tables.remove("cars/outcomes", "n = 1")
            tables.forget("cars/outcomes")
        return found

    done: list[int] = []
    reader._state = outdated  # type: ignore[method-assign]
    assert read(reader) == [2.0]
