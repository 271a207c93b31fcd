from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headrace.core.errors import NotFound, UserCodeError
from headrace.data.sources import read_file
from headrace.training.source import make_table, write_table
from tests.training.examples import write_project


def _project(folder: Path, body: str, arguments: str = "") -> Path:
    return write_project(folder, f"import headrace\n@headrace.source\ndef rides({arguments}):\n{body}")


def test_a_source_makes_the_same_file_from_the_same_rows(tmp_path: Path) -> None:
    body = (
        "    import numpy as np, pathlib\n"
        "    names = pathlib.Path('names.txt').read_text().split()\n"
        "    return {'n': np.arange(3.0), 'name': np.array(names, dtype=object), 'until': [until] * 3}\n"
    )
    folder = _project(tmp_path / "p", body, "until='always'")
    (folder / "names.txt").write_text("a b c")
    made = [make_table(folder, tmp_path / n, params={"until": "2020", "x": 1}) for n in ("one", "two")]
    assert made[0].read_bytes() == made[1].read_bytes()
    columns = read_file(made[0])
    assert columns["n"].tolist() == [0.0, 1.0, 2.0]
    assert columns["name"].tolist() == ["a", "b", "c"]
    assert columns["until"].tolist() == ["2020"] * 3


def test_frames_columns_and_paths_are_tables(tmp_path: Path) -> None:
    import pandas as pd

    (tmp_path / "cars.csv").write_text("a,b\n1,x\n2,y\n")
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    for made in (frame, {"a": np.array([1.0, 2.0]), "b": np.array(["x", "y"], object)}, "cars.csv"):
        write_table(made, tmp_path, tmp_path / "out.parquet")
        columns = read_file(tmp_path / "out.parquet")
        assert (columns["a"].tolist(), columns["b"].tolist()) == ([1.0, 2.0], ["x", "y"])


@pytest.mark.parametrize("made", [None, 7, "absent.csv", {}])
def test_what_is_no_table_is_the_users_error(tmp_path: Path, made: object) -> None:
    with pytest.raises(UserCodeError, match=r"The source returned a .* that cannot be used"):
        write_table(made, tmp_path, tmp_path / "out.parquet")


def test_what_a_source_raises_names_the_users_line(tmp_path: Path) -> None:
    folder = _project(tmp_path / "p", "    raise OSError('no network')\n")
    with pytest.raises(UserCodeError, match=r"^project\.py:4 in rides: OSError: no network$"):
        make_table(folder, tmp_path / "work")


def test_a_project_without_a_source_says_so(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "p")
    with pytest.raises(NotFound, match="has no source"):
        make_table(folder, tmp_path / "work")
