"""Tables that starter projects begin with."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.core.errors import InvalidInput
from headrace.projects.starters import STARTERS


@pytest.mark.parametrize("name", STARTERS)
def test_a_table_is_the_same_each_time_and_has_the_columns_it_says(tmp_path: Path, name: str) -> None:
    starter = STARTERS[name]
    path = starter.write(tmp_path)
    first = path.read_bytes()
    assert starter.write(tmp_path).read_bytes() == first
    assert path.name.startswith("made_up"), "nobody takes it for real data"
    header, *rows = csv.reader(path.read_text().splitlines())
    assert {starter.target, *(one for one in (starter.time, starter.key) if one)} <= set(header)
    assert len(rows) >= 900
    assert {len(row) for row in rows} == {len(header)}


def test_what_it_learns_with_has_to_be_there(tmp_path: Path) -> None:
    without = replace(STARTERS["xgboost"], trees="no_such_library")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"pip install 'headrace\[xgboost\]'"):
        without.write(tmp_path)
    assert list(tmp_path.iterdir()) == []
