"""Whatever a file holds, reading it is at most its owner's fault: no crash, no other kind of error."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.app.elsewhere.log_import import read_log
from headrace.core.errors import UserError
from headrace.data.row_copies import RowCopy, copy_file
from headrace.data.sources import read_file, write_parquet

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CSV = b'year,model,at\n2015,"a 3",2024-01-01\n2016,a4,2024-02-30\n,,\n'
LINES = b'{"year": 2015, "model": "a3"}\n\n{"year": null, "sold": true}\n'
ODD = (
    b"\0",
    b'"',
    b"\n",
    b"\r",
    b",",
    b";",
    b"\xff",
    b"1e999",
    b"9" * 40,
    b"{",
    b"[" * 2000,
    "\ud7ff\u2028".encode(),
)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "good.parquet"
    write_parquet({"year": np.array([2015.0, np.nan]), "model": np.array(["a3", None], dtype=object)}, path)
    return path.read_bytes()


def _damaged(good: bytes, data: st.DataObject) -> bytes:
    """``good`` with pieces cut out, put in or changed; or nothing of it at all."""
    if data.draw(st.integers(0, 5)) == 0:
        return data.draw(st.binary(max_size=200))
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged)))
        until = at + data.draw(st.sampled_from([0, 0, 1, 4, 40]))
        damaged[at:until] = data.draw(st.sampled_from(ODD) | st.binary(max_size=4))
    return bytes(damaged)


def _copied(path: Path) -> None:
    copy = path.with_name("copy.duckdb")
    copy_file(path, copy)
    with RowCopy(copy) as rows:
        rows.read(0, 10)
    copy.unlink()


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a table as CSV": ("rows.csv", read_file),
    "a table as Parquet": ("rows.parquet", read_file),
    "rows to score as CSV": ("rows.csv", _copied),
    "rows to score as Parquet": ("rows.parquet", _copied),
    "a log as lines": ("rows.jsonl", read_log),
}


@pytest.mark.parametrize("reader", READERS)
@FUZZ
@given(data=st.data())
def test_a_damaged_file(tmp_path: Path, parquet: bytes, reader: str, data: st.DataObject) -> None:
    name, read = READERS[reader]
    good = {".csv": CSV, ".parquet": parquet, ".jsonl": LINES}[Path(name).suffix]
    path = tmp_path / name
    path.write_bytes(_damaged(good, data))
    with suppress(UserError):
        read(path)
    for left in tmp_path.glob("copy*"):
        left.unlink()
