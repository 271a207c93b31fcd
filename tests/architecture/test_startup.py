"""Starting costs nothing: nobody waits for a library that the command does not use."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

HEAVY = frozenset(
    "alembic cedarpy dbos deltalake duckdb fastapi lightgbm mlflow numpy onnx onnxruntime pandas plotly "
    "polars pyarrow scipy sklearn sqlalchemy starlette torch uvicorn".split()
)
IMPORT_STARTS, HELP_STARTS = 5, 15
"""As many starts of a bare interpreter, of which each takes about 20 ms, starting may take beside one: 100 ms
to import, 300 ms until a command helps."""
ROUNDS = 7
ATTEMPTS = 5
CLI = ROOT / "src/headrace/cli/main.py"

needs_cli = pytest.mark.skipif(not CLI.exists(), reason="src/headrace/cli/main.py is not written yet")


def _elapsed_s(command: Sequence[str | Path]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def extra_starts(command: Sequence[str | Path], limit: float, attempts: int = ATTEMPTS) -> float:
    """What ``command`` takes beyond a bare interpreter, in starts of one; medians.

    Another program on the machine can only make it look slower, so the best of several attempts counts.
    """
    bare = [sys.executable, "-c", "pass"]
    _elapsed_s(command)  # compiles and fills the disk cache
    best = float("inf")
    for _ in range(attempts):
        pairs = [(_elapsed_s(command), _elapsed_s(bare)) for _ in range(ROUNDS)]
        medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
        best = min(best, medians[0] / medians[1] - 1)
        if best <= limit:
            break
    return best


def loaded(statement: str, *, whole: bool = False) -> set[str]:
    """Modules in memory after ``statement`` ran in a new interpreter: their whole names, or first parts."""
    code = f"{statement}\nimport sys\nfor name in sys.modules: print(name)"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {name if whole else name.partition(".")[0] for name in result.stdout.split()}


def test_importing_headrace_loads_nothing_heavy() -> None:
    assert loaded("import headrace") & HEAVY == set()


@needs_cli
def test_the_command_line_loads_nothing_heavy() -> None:
    assert loaded("import headrace.cli.main") & HEAVY == set()


def test_training_and_scoring_load_no_database() -> None:
    heavy = {"alembic", "dbos", "mlflow", "pandas", "pyarrow", "scipy", "sklearn", "sqlalchemy"}
    assert loaded("import headrace.training.worker") & heavy == set()


@needs_cli
def test_commands_that_ask_nobody_load_no_client() -> None:
    named = ("status", "check", "run", "release", "model", "data", "project", "llm", "audit")
    assert "httpx" not in loaded("import " + ", ".join(f"headrace.cli.{name}" for name in named))


@needs_cli
def test_status_loads_nothing_that_builds() -> None:
    assert "headrace.app.operations" not in loaded("import headrace.cli.status", whole=True)


@needs_cli
def test_a_command_collects_its_garbage_and_not_among_its_modules() -> None:
    told = "atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 10_000))"
    code = f"import atexit, gc, headrace.cli.main as cli\n{told}\ncli.main(['release', 'ls', '--help'])"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "True True"


@pytest.mark.alone
def test_importing_headrace_is_instant() -> None:
    assert extra_starts([sys.executable, "-c", "import headrace"], IMPORT_STARTS) <= IMPORT_STARTS


@needs_cli
@pytest.mark.alone
def test_help_is_instant() -> None:
    command: list[str | Path] = [Path(sys.executable).with_name("headrace"), "--help"]
    assert extra_starts(command, HELP_STARTS) <= HELP_STARTS


def test_a_heavy_import_is_found() -> None:
    assert "numpy" in loaded("import numpy") & HEAVY


@pytest.mark.alone
def test_a_slow_start_is_found() -> None:
    slow = [sys.executable, "-c", "import numpy"]
    assert extra_starts(slow, IMPORT_STARTS, attempts=1) > IMPORT_STARTS
