from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.imports import impure_core, late_imports
from tests.architecture.source import ROOT, Source, expect_none, python_files, read

ROOMS = (
    "cli web app releases plugins testing serving gateway monitoring training projects checks data "
    "access store core"
).split()


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the project's contracts over the package ``headrace`` that lies in ``folder``."""
    return subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            "--no-logo",
            "--config",
            ROOT / "pyproject.toml",
            "--no-cache",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def _package(folder: Path, **files: str) -> Path:
    """A headrace with every room empty but for these files (``data__rows`` is ``data/rows.py``)."""
    for room in (*ROOMS, "store/_sql"):
        (folder / "headrace" / room).mkdir(parents=True, exist_ok=True)
        (folder / "headrace" / room / "__init__.py").touch()
    (folder / "headrace" / "__init__.py").touch()
    for name, text in files.items():
        (folder / "headrace" / (name.replace("__", "/") + ".py")).write_text(text, encoding="utf-8")
    return folder


def _snippet(root: Path, room: str, text: str) -> Source:
    path = root / "src/headrace" / room
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return read(path, root)


def test_layers_cycles_and_protected_rooms() -> None:
    result = _lint_imports(ROOT / "src")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_contracts_hold_for_an_empty_house(tmp_path: Path) -> None:
    result = _lint_imports(_package(tmp_path, app__main="import headrace.store\nimport headrace.serving\n"))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"core__a": "import headrace.store\n"}, "headrace.core.a -> headrace.store"),
        ({"serving__a": "import headrace.monitoring\n"}, "headrace.serving.a -> headrace.monitoring"),
        ({"cli__a": "import headrace.web\n"}, "headrace.cli.a -> headrace.web"),
        ({"cellar": ""}, "headrace.cellar"),
        ({"app__a": "import headrace.store._sql\n"}, "headrace.app.a -> headrace.store._sql"),
        ({"data__a": "import headrace.data.b\n", "data__b": "import headrace.data.a\n"}, ".b -> .a"),
        ({"data__a": "import headrace\n"}, "headrace.data.a -> headrace"),
    ],
    ids=["upwards", "sideways", "sideways at the top", "unplaced room", "sql", "cycle", "top package"],
)
def test_each_contract_can_break(tmp_path: Path, files: dict[str, str], said: str) -> None:
    result = _lint_imports(_package(tmp_path, **files))
    assert result.returncode != 0
    assert said in result.stdout, result.stdout + result.stderr


def test_headrace_is_imported_at_the_top_of_files() -> None:
    expect_none([problem for source in python_files("src") for problem in late_imports(source)])


def test_core_is_pure() -> None:
    sources = python_files("src/headrace/core")
    assert sources
    expect_none([problem for source in sources for problem in impure_core(source)])


def test_a_late_import_is_found_where_it_is_not_allowed(tmp_path: Path) -> None:
    text = "def f():\n    from headrace.store.open import open_store\n    return open_store\n"
    (problem,) = late_imports(_snippet(tmp_path, "app/main.py", text))
    assert problem.startswith("src/headrace/app/main.py:2 imports headrace.store.open inside a function.")
    assert late_imports(_snippet(tmp_path, "plugins/mlflow.py", text)) == []
    assert late_imports(_snippet(tmp_path, "app/b.py", "def f():\n    import scipy\n")) == []


@pytest.mark.parametrize(
    "line", ["import numpy", "from headrace.store import x", "import sqlite3", "import msgspec"]
)
def test_an_impure_core_is_found(tmp_path: Path, line: str) -> None:
    assert len(impure_core(_snippet(tmp_path, "core/a.py", f"import json\n{line}\n"))) == 1
